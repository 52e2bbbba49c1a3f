/*
 * Metrics of a media node. Label values come from fixed sets, so the number of series a node has is bounded whatever its
 * clients do: no label ever holds the name of a stream, a vhost, an address or a text from the wire.
 */

/** Label values of each label name. */
export const METRIC_LABELS = {
  /** Of media; of connections also `rtmps`, and `http` for every use of the HTTP port. */
  protocol: ['rtmp', 'rtmps', 'flv', 'ts', 'aac', 'mp3', 'hls', 'dash', 'http'],
  /** Why an RTMP connection ended. */
  code: [
    'peer', // the other side closed
    'reset', // the peer left with something unread, as players do, or its process died
    'socket', // the network broke
    'timeout', // silent too long
    'slow', // it did not read what it was sent
    'tls', // an RTMPS client that spoke no TLS, none that is served, or did not trust the certificate
    'refused', // by the gate or a limit
    'closed', // the node wished it: drain, deletion, another publisher, a viewer that never caught up
    'unreachable', // no connection could be made
    'internal', // a fault of the node, with a line in its log
    'protocol', // lawful messages in an unlawful order
    // What the other side sent means nothing:
    'handshake',
    'chunk',
    'message-too-large',
    'amf',
    'amf-encode',
    'flv',
    'codec-config',
    'http',
  ],
  /** Fields of a Vhost's `limits`. */
  limit: ['maxPublishers', 'maxViewers', 'maxViewersPerStream', 'maxIngestKbps'],
  /** Why something that an encoder sent is not carried on. */
  reason: [
    'codec', // no player here knows it
    'track', // one too many of E-RTMP's multitrack
    'empty-config', // a sequence header with nothing in it
    'no-config', // a frame before its sequence header
    'data', // a data message that is for servers alone, or too large
  ],
  /** Where a file of a packaged stream came from. */
  source: [
    'owner', // the node that packages the stream
    'others', // nodes that had fetched it, when its owner lacked it
    'parts', // put together from parts that were here
    'nobody', // nowhere to be had
  ],
  /** Class of an HTTP answer. */
  status: ['2xx', '3xx', '4xx', '5xx'],
  /** Of the event loop's delay, of players' queues, of streams' GOPs and skews; `1` is the longest. */
  quantile: ['0.5', '0.99', '1'],
} as const;

interface MetricDefinition {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly labels: readonly (keyof typeof METRIC_LABELS | 'role' | 'hash' | 'version')[];
}

/** Every metric of a media node; `nodejs_*` and `process_*` come from prom-client besides. */
export const METRICS = {
  info: {
    name: 'livecluster_node_info',
    type: 'gauge',
    help: 'Always 1; its labels tell the role and version of the node.',
    labels: ['role', 'version'],
  },
  configInfo: {
    name: 'livecluster_config_info',
    type: 'gauge',
    help: 'Always 1; its label is the hash of the configuration in force.',
    labels: ['hash'],
  },
  configRejected: {
    name: 'livecluster_config_rejected_total',
    type: 'counter',
    help: 'Configurations refused while the one before stayed in force.',
    labels: [],
  },
  ready: { name: 'livecluster_ready', type: 'gauge', help: '1 when the node takes new sessions.', labels: [] },
  draining: { name: 'livecluster_draining', type: 'gauge', help: '1 while the node drains.', labels: [] },
  streams: {
    name: 'livecluster_streams',
    type: 'gauge',
    help: 'Streams with a source on this node, pulled ones included.',
    labels: [],
  },
  publishers: {
    name: 'livecluster_publishers',
    type: 'gauge',
    help: 'Encoders that publish on this node.',
    labels: ['protocol'],
  },
  players: {
    name: 'livecluster_players',
    type: 'gauge',
    help: 'Viewers on this node, relays apart.',
    labels: ['protocol'],
  },
  relayPlayers: {
    name: 'livecluster_relay_players',
    type: 'gauge',
    help: 'Other nodes that fetch a stream from this one.',
    labels: [],
  },
  connections: {
    name: 'livecluster_connections',
    type: 'gauge',
    help: 'Open connections of all protocols.',
    labels: ['protocol'],
  },
  connectionsAccepted: {
    name: 'livecluster_connections_accepted_total',
    type: 'counter',
    help: 'Connections accepted.',
    labels: ['protocol'],
  },
  connectionsRefused: {
    name: 'livecluster_connections_refused_total',
    type: 'counter',
    help: 'Connections refused because the node had as many as it may.',
    labels: [],
  },
  limitsReached: {
    name: 'livecluster_limits_reached_total',
    type: 'counter',
    help: 'Sessions refused, and for maxIngestKbps publishers ended, because a limit of their Vhost was reached.',
    labels: ['limit'],
  },
  certificateNotAfter: {
    name: 'livecluster_certificate_not_after_timestamp_seconds',
    type: 'gauge',
    help: 'When the certificate of RTMPS that ends first does so, in seconds since 1970; absent without one.',
    labels: [],
  },
  rtmpConnectionsEnded: {
    name: 'livecluster_rtmp_connections_ended_total',
    type: 'counter',
    help: 'RTMP and RTMPS connections that ended, by cause.',
    labels: ['code'],
  },
  httpResponses: {
    name: 'livecluster_http_responses_total',
    type: 'counter',
    help: 'Answers of the HTTP port; an endless one counts when its player has left.',
    labels: ['status'],
  },
  receivedBytes: {
    name: 'livecluster_received_bytes_total',
    type: 'counter',
    help: 'Bytes of media taken from encoders and other nodes.',
    labels: [],
  },
  sentBytes: {
    name: 'livecluster_sent_bytes_total',
    type: 'counter',
    help: 'Bytes of media handed to the sockets of viewers and other nodes.',
    labels: [],
  },
  receivedFrames: {
    name: 'livecluster_received_frames_total',
    type: 'counter',
    help: 'Frames taken from encoders and other nodes.',
    labels: [],
  },
  mediaIgnored: {
    name: 'livecluster_rtmp_media_ignored_total',
    type: 'counter',
    help: 'What encoders sent over RTMP and is not carried on: messages, or tracks of a message.',
    labels: ['reason'],
  },
  droppedFrames: {
    name: 'livecluster_dropped_frames_total',
    type: 'counter',
    help: 'Frames that no player could use: before the first key frame, or at a seam.',
    labels: [],
  },
  skippedFrames: {
    name: 'livecluster_skipped_frames_total',
    type: 'counter',
    help: 'Frames that players too slow for the stream did not get.',
    labels: [],
  },
  playerSkips: {
    name: 'livecluster_player_skips_total',
    type: 'counter',
    help: 'Times a player was too slow and went on at a later key frame.',
    labels: [],
  },
  playerQueue: {
    name: 'livecluster_player_queue_seconds',
    type: 'gauge',
    help: 'Media that waits in the sockets of players and other nodes now, over all of them.',
    labels: ['quantile'],
  },
  gop: {
    name: 'livecluster_gop_seconds',
    type: 'gauge',
    help: 'Time between key frames, over the streams with video.',
    labels: ['quantile'],
  },
  avSkew: {
    name: 'livecluster_av_skew_seconds',
    type: 'gauge',
    help: 'Distance of audio and video times as they come, in either direction, over the streams with both.',
    labels: ['quantile'],
  },
  seams: {
    name: 'livecluster_seams_total',
    type: 'counter',
    help: 'Sources that went on in a stream where another one had been.',
    labels: [],
  },
  discontinuities: {
    name: 'livecluster_discontinuities_total',
    type: 'counter',
    help: "Jumps of a source's clock that players did not see.",
    labels: [],
  },
  pulls: { name: 'livecluster_pulls', type: 'gauge', help: 'Streams fetched from other nodes now.', labels: [] },
  pullsStarted: {
    name: 'livecluster_pulls_started_total',
    type: 'counter',
    help: 'Connections begun to fetch a stream from another node.',
    labels: [],
  },
  forwards: {
    name: 'livecluster_forwards',
    type: 'gauge',
    help: 'Publishers on this node that are handed on to an origin now.',
    labels: [],
  },
  claims: {
    name: 'livecluster_claims_total',
    type: 'counter',
    help: 'Streams claimed in the directory for an encoder.',
    labels: [],
  },
  takeovers: {
    name: 'livecluster_takeovers_total',
    type: 'counter',
    help: 'Streams taken over from an owner that was gone or gave way.',
    labels: [],
  },
  publishersAwaited: {
    name: 'livecluster_publishers_awaited',
    type: 'gauge',
    help: 'Streams whose publisher is gone and may come back; see publish.grace of a Vhost.',
    labels: [],
  },
  publishersResumed: {
    name: 'livecluster_publishers_resumed_total',
    type: 'counter',
    help: 'Publishers that went on with a stream in which another one had been a moment before.',
    labels: [],
  },
  fences: {
    name: 'livecluster_fences_total',
    type: 'counter',
    help: 'Publishers ended because another origin owns their stream.',
    labels: [],
  },
  recordings: { name: 'livecluster_recordings', type: 'gauge', help: 'Streams that are recorded now.', labels: [] },
  recordedBytes: {
    name: 'livecluster_recorded_bytes_total',
    type: 'counter',
    help: 'Bytes of recordings written.',
    labels: [],
  },
  recordedFiles: {
    name: 'livecluster_recorded_files_total',
    type: 'counter',
    help: 'Recordings finished.',
    labels: [],
  },
  recordingErrors: {
    name: 'livecluster_recording_errors_total',
    type: 'counter',
    help: 'Times a recording ended because it could not be written; each has a line in the log that says how to mend it.',
    labels: [],
  },
  recordingDroppedFrames: {
    name: 'livecluster_recording_dropped_frames_total',
    type: 'counter',
    help: 'Frames that are in no recording because it could not be written, or not as fast as they came.',
    labels: [],
  },
  recordingWaiting: {
    name: 'livecluster_recording_waiting_bytes',
    type: 'gauge',
    help: 'Bytes of recordings that wait for their upload.',
    labels: [],
  },
  directoryHeals: {
    name: 'livecluster_directory_heals_total',
    type: 'counter',
    help: 'Times the directory came back and the node wrote its records again.',
    labels: [],
  },
  directoryMalformed: {
    name: 'livecluster_directory_malformed_total',
    type: 'counter',
    help: 'Values of the directory that made no sense and were passed over.',
    labels: [],
  },
  directoryUp: { name: 'livecluster_directory_up', type: 'gauge', help: '1 while the directory answers.', labels: [] },
  packagings: {
    name: 'livecluster_packagings',
    type: 'gauge',
    help: 'Streams that this node cuts into segments, those included that ended a short time ago.',
    labels: [],
  },
  packagedSegments: {
    name: 'livecluster_packaged_segments_total',
    type: 'counter',
    help: 'Segments completed, whatever formats they are in.',
    labels: [],
  },
  packagedBytes: {
    name: 'livecluster_packaged_bytes',
    type: 'gauge',
    help: 'Memory that segments of streams packaged here take.',
    labels: [],
  },
  packagedForcedCuts: {
    name: 'livecluster_packaged_forced_cuts_total',
    type: 'counter',
    help: "Segments cut without a key frame, because an encoder's GOP was longer than the target duration.",
    labels: [],
  },
  packagedDropped: {
    name: 'livecluster_packaged_segments_dropped_total',
    type: 'counter',
    help: 'Segments that left the memory before their time, because it was full.',
    labels: [],
  },
  packagedDiskErrors: {
    name: 'livecluster_packaged_disk_errors_total',
    type: 'counter',
    help: 'Files of segments that could not be written to disk and stayed in memory alone.',
    labels: [],
  },
  packagedFramesDropped: {
    name: 'livecluster_packaged_frames_dropped_total',
    type: 'counter',
    help: 'Frames in no segment: before a key frame, broken, or of a codec that segments do not carry.',
    labels: [],
  },
  packagingTakeovers: {
    name: 'livecluster_packaging_takeovers_total',
    type: 'counter',
    help: "Playlists of other nodes, or of this one's life before, that this node went on with.",
    labels: [],
  },
  packagedFollowed: {
    name: 'livecluster_packaged_followed',
    type: 'gauge',
    help: 'Streams packaged by other nodes that this node follows for its viewers.',
    labels: [],
  },
  packagedFetchedBytes: {
    name: 'livecluster_packaged_fetched_bytes',
    type: 'gauge',
    help: 'Memory that files of streams packaged by other nodes take.',
    labels: [],
  },
  packagedFetched: {
    name: 'livecluster_packaged_fetched_files_total',
    type: 'counter',
    help: 'Files of streams packaged by other nodes, by where they came from; each once, however many viewers ask for it.',
    labels: ['source'],
  },
  packagedPolls: {
    name: 'livecluster_packaged_polls_total',
    type: 'counter',
    help: 'Requests for the playlists of streams packaged by other nodes; one at a time for each stream.',
    labels: [],
  },
  sharedFailures: {
    name: 'livecluster_shared_failures_total',
    type: 'counter',
    help: 'Writes of playlist states, and claims of viewers without a connection, that the shared store did not take.',
    labels: [],
  },
  autoWindow: {
    name: 'livecluster_auto_merge_window_seconds',
    type: 'gauge',
    help: 'How long streams of vhosts with mwLatency auto are collected now until they are written; 0 is each frame at once.',
    labels: [],
  },
  eventLoopLag: {
    name: 'livecluster_event_loop_lag_seconds',
    type: 'gauge',
    help: 'Delay of the event loop since the scrape before.',
    labels: ['quantile'],
  },
} as const satisfies Record<string, MetricDefinition>;
