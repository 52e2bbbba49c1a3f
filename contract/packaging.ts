import { z } from 'zod';

/*
 * What a packaged stream looks like at a moment: everything that a playlist or manifest says, without being one. The origin
 * that has the encoder makes it; every node renders HLS and DASH from it, so that one answer serves all formats and viewers.
 *
 * Nodes fetch it on the admin port, with `Authorization: Bearer <admin token>` (names in the query, as in peer-api.ts):
 *
 *   GET /cluster/packaging?vhost=…&app=…&stream=…[&after=<revision>&of=<nodeId>&waitMs=…]
 *       200, PackagingSnapshot. With `after` it waits until the revision is higher, or another node's, at most `waitMs`
 *       (MAX_PACKAGING_WAIT_MS at most); then 204 when nothing changed. Before there is anything to play it waits as well: 0 is
 *       a revision that none has. 404: this node does not package the stream.
 *   GET /cluster/packaging/file?vhost=…&app=…&stream=…&file=…
 *       200, the bytes of a file that a snapshot named, of a stream that this node packages or follows. 404: it is not here, or
 *       not any more; no other node was asked.
 *   GET /cluster/packaging/state?vhost=…&app=…&stream=…
 *       200, at most MAX_PACKAGING_STATE_BYTES of JSON: what this node knows of the stream, which it packages or follows, as a
 *       text of the ledger, for the node that is about to go on with it (media-node/src/packaging/ledger-state.ts). 404: nothing;
 *       no other node was asked.
 */

export const PACKAGING_PATHS = {
  snapshot: '/cluster/packaging',
  file: '/cluster/packaging/file',
  state: '/cluster/packaging/state',
} as const;
export const MAX_PACKAGING_WAIT_MS = 20_000;
/** Of a stream's state, in the ledger and between nodes. */
export const MAX_PACKAGING_STATE_BYTES = 64 * 1024;

/** `ts`: everything in MPEG-TS. `video`, `audio`: one CMAF track each. */
export const RENDITIONS = ['ts', 'video', 'audio'] as const;
export type RenditionName = (typeof RENDITIONS)[number];

const timeMs = z.number().min(0);
/** Path below the root of the HTTP port, as the Vhost's templates gave it; never begins with `/`, no `.` or `..` segments. */
const file = z.string().min(1).max(2_048);

/** Bytes that may be fetched by their path. */
const PackagedFile = z.object({ file, bytes: z.int().min(0) });

export const PackagedPart = PackagedFile.extend({
  durationMs: timeMs,
  /** Begins with a key frame, or is audio. */
  isIndependent: z.boolean(),
});
export type PackagedPart = z.infer<typeof PackagedPart>;

/** One rendition's file of a segment; complete, unless the segment is the open one. */
export const PackagedMedia = PackagedFile.extend({
  /** Decoding time of its first sample on the stream's time line: what its container says (TS: a second more, modulo 2^33 of 90 kHz). */
  startMs: timeMs,
  durationMs: timeMs,
  /** How much later than its decoding time the first sample is shown; left out where that is not at all. */
  compositionMs: z.number().optional(),
  /** Of low latency alone; empty for segments that are too old to list them. */
  parts: z.array(PackagedPart).max(1_000),
  /** Begins with a key frame, or is audio. */
  isIndependent: z.boolean(),
  /** The rendition's initialization section in force; fragmented MP4 alone. */
  init: PackagedFile.optional(),
});
export type PackagedMedia = z.infer<typeof PackagedMedia>;

export const PackagedSegment = z.object({
  /** Media sequence number, the same in all renditions. Never goes back, whichever node packages. */
  seq: z.int().min(0),
  /** Wall clock of its first sample, milliseconds since 1970. */
  programDateTimeMs: z.number(),
  /** It does not continue the one before it: another encoder, another codec, another node. */
  isDiscontinuity: z.boolean(),
  /**
   * The segments from one discontinuity up to the next are a run: the first one's number, wall clock and decoding time, in
   * each segment of it. A Period of DASH is a run, and must begin at the same time in every manifest though its first segment
   * has left the window. Left out: what is known is the first segment listed.
   */
  run: z.object({ seq: z.int().min(0), programDateTimeMs: z.number(), startMs: timeMs }).optional(),
  /** Nobody has its media: an origin died while it was being written. */
  isGap: z.boolean(),
  /**
   * AES-128: the key of this segment. The initialization vector is `iv`, 32 hex digits; `seq` is the segment that the key began
   * with, from which a node that goes on with the playlist derives it.
   */
  key: z
    .object({
      file,
      uri: z.string().min(1).max(4_096),
      iv: z.string().regex(/^[0-9a-f]{32}$/),
      seq: z.int().min(0).optional(),
    })
    .optional(),
  media: z.partialRecord(z.enum(RENDITIONS), PackagedMedia),
});
export type PackagedSegment = z.infer<typeof PackagedSegment>;

/** What a rendition holds, for multivariant playlists and manifests. */
export const PackagedTrack = z.object({
  kind: z.enum(['video', 'audio']),
  /** RFC 6381, such as avc1.64001f. */
  codecs: z.string().min(1).max(128),
  /** Bits a second: the highest of any complete segment so far, and the mean. */
  peakBitrate: z.int().min(0),
  averageBitrate: z.int().min(0),
  width: z.int().min(0).optional(),
  height: z.int().min(0).optional(),
  /** Frames a second as measured, rounded to thousandths. */
  frameRate: z.number().min(0).optional(),
  sampleRate: z.int().min(0).optional(),
  channels: z.int().min(0).optional(),
  /** As media-node/src/media/track.ts names them, for who looks at the stream; an older node does not tell. */
  codec: z.string().max(32).optional(),
  profile: z.string().max(64).optional(),
  level: z.string().max(32).optional(),
  /** False: the rendition `ts` leaves it out, for MPEG-TS does not carry its codec. */
  isInTs: z.boolean().optional(),
});
export type PackagedTrack = z.infer<typeof PackagedTrack>;

/** What older segments of a playlist hold, where that is something else than what the newest do. */
export const FormerTracks = z.object({
  /** Number of the first segment that does not hold them any more. */
  beforeSeq: z.int().min(0),
  tracks: z.array(PackagedTrack).max(2),
});
export type FormerTracks = z.infer<typeof FormerTracks>;
/** Encoders that change more often within a window have their oldest segments described as the next ones. */
export const MOST_FORMER_TRACKS = 6;

export const PackagingSnapshot = z.object({
  version: z.literal(1),
  /** Who packages, and its count of changes: a playlist version is this pair. */
  nodeId: z.string().min(1).max(128),
  revision: z.int().min(1),
  /** The stream ended: no segment will follow. */
  isEnded: z.boolean(),
  /** Whole seconds; never changes while the playlist lives. */
  targetDurationS: z.int().min(1),
  /** Of low latency; left out without. */
  partTargetMs: z.number().min(1).optional(),
  /** Every segment that is listed begins with a key frame. */
  isIndependent: z.boolean(),
  /** Discontinuities that left the playlist before the first segment listed. */
  discontinuitySequence: z.int().min(0),
  /** Of the newest segments. */
  tracks: z.array(PackagedTrack).max(2),
  /** Of older ones that are listed, `beforeSeq` rising; left out where there are none. */
  formerTracks: z.array(FormerTracks).max(MOST_FORMER_TRACKS).optional(),
  /** Complete segments in order, their numbers rising by one. May be empty with low latency, when `open` has parts. */
  segments: z.array(PackagedSegment).max(4_000),
  /** Those before this number are of another node, which may have died with them; left out where none are listed. */
  ownFrom: z.int().min(0).optional(),
  /** The segment being written, with the parts that are complete; low latency alone. */
  open: PackagedSegment.optional(),
  /**
   * Where each rendition's next part will be, as long as parts follow; low latency alone. A file named here may be read before
   * it is there, and may never be: when the segment ends first, the next part is the first one of the next segment.
   */
  nextPart: z.partialRecord(z.enum(RENDITIONS), file).optional(),
  /**
   * What only another node needs that goes on with this playlist: what its segments look like (one of another format begins
   * another playlist), and the salt of its keys, which is no secret by itself.
   */
  lineage: z.object({ format: z.string().max(8_192), salt: z.string().max(64) }).optional(),
});
export type PackagingSnapshot = z.infer<typeof PackagingSnapshot>;
