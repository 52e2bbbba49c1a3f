import { z } from 'zod';
import { ROLES } from './names.ts';

/*
 * The admin port of a media node, as the operator uses it. Every request but the probes and the metrics carries
 * `Authorization: Bearer <admin token>`; without it: 401. What nodes ask each other there is in peer-api.ts.
 *
 *   GET  /healthz   200 while the process works at all.
 *   GET  /readyz    200 when the node takes new TCP sessions, else 503; one line of text a reason.
 *   GET  /metrics   Prometheus text.
 *   GET  /config    200 ConfigState.
 *   PUT  /config    body: NodeConfig. In force at once: 200 ConfigPushed. Refused, the old one stays: 422 AdminError.
 *   GET  /status    200 NodeStatus.
 *   POST /drain     No new session from here on; the ones there are may stay for drainMs. 202 NodeStatus at once.
 *   POST /close     Ends everything at once, for a cluster that is being deleted. 202 NodeStatus at once.
 *
 * Any other method on these paths: 405. Errors carry AdminError as their body.
 */

export const ADMIN_PATHS = {
  health: '/healthz',
  ready: '/readyz',
  metrics: '/metrics',
  config: '/config',
  status: '/status',
  drain: '/drain',
  close: '/close',
} as const;

/** Largest body of a pushed configuration. */
export const MAX_CONFIG_BYTES = 8 * 1024 * 1024;

const hash = z.string().regex(/^[0-9a-f]{64}$/);

export const ConfigState = z.object({
  /** nodeConfigHash of the configuration in force. */
  hash,
  /** The last configuration that was refused since; null when the last one was taken. */
  rejected: z.object({ reason: z.string(), atMs: z.number() }).nullable(),
});
export type ConfigState = z.infer<typeof ConfigState>;

export const ConfigPushed = z.object({ hash, changed: z.boolean() });
export type ConfigPushed = z.infer<typeof ConfigPushed>;

/** `starting`: not listening yet. `draining`: no new sessions. `closed`: about to exit. */
const NODE_STATES = ['starting', 'ready', 'draining', 'closed'] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** A node lists so many notices at most, the newest. */
export const MOST_NOTICES = 16;

/** Figures of the notice `KeyFramesTooFar`: a segment had to be cut without a key frame. */
export const KeyFramesTooFar = z.object({
  /** From one key frame to the next; while no next one has come, so far. */
  keyFrameDistanceMs: z.number().min(0),
  targetDurationMs: z.number().min(0),
  /** hls.fragment of the Vhost: an encoder's key frame interval up to this is never too long. */
  fragmentMs: z.number().min(0),
});
export type KeyFramesTooFar = z.infer<typeof KeyFramesTooFar>;

/** Of the notice `CodecLeftOut`: segments lack a track, for what they are written in does not carry its codec. */
export const CodecLeftOut = z.object({
  /** 1: MPEG-TS alone does not carry it; fragmented MP4 does. 0: neither does. */
  inMp4: z.union([z.literal(0), z.literal(1)]),
});
export type CodecLeftOut = z.infer<typeof CodecLeftOut>;

/** What whoever publishes a stream, or keeps its Vhost, should mend. */
export const StreamNotice = z.object({
  /** The resolved Vhost's name, app and stream: never a query. */
  vhost: z.string(),
  app: z.string(),
  stream: z.string(),
  /** Reason of an Event: `KeyFramesTooFar`, `CodecLeftOut`. Of a newer node it may be one that the reader does not know. */
  code: z.string(),
  /** The code's figures. */
  detail: z.record(z.string(), z.number()),
  /** The codec that the notice is of, where it is of one; as media-node/src/media/track.ts names them. */
  codec: z.string().max(32).optional(),
  /** When it was last so: milliseconds since 1970 by the node's clock. */
  atMs: z.number(),
});
export type StreamNotice = z.infer<typeof StreamNotice>;

export const NodeStatus = z.object({
  nodeId: z.string(),
  role: z.enum(ROLES),
  state: z.enum(NODE_STATES),
  /** The product's version. */
  software: z.string(),
  config: ConfigState,
  /** Open connections of all protocols, relays included. */
  sessions: z.int().min(0),
  /** Streams that an encoder publishes on this node. */
  streams: z.int().min(0),
  /** Players that are no relay. */
  viewers: z.int().min(0),
  /** Streams fetched from other nodes now. */
  pulls: z.int().min(0),
  /**
   * Of the streams that this node packages, one a stream and code, those of the last minutes. An older node says nothing;
   * what a newer one says in another form is passed over, so that its status is read all the same.
   */
  notices: z.array(StreamNotice).optional().catch(undefined),
});
export type NodeStatus = z.infer<typeof NodeStatus>;

/** Body of every answer from 400 on. */
export const AdminError = z.object({ error: z.string() });
export type AdminError = z.infer<typeof AdminError>;
