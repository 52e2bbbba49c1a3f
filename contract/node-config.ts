import { createHash } from 'node:crypto';
import { z } from 'zod';
import { LOG_LEVELS } from './names.ts';

/*
 * The configuration of a media node that can change while it runs. The operator (or `make run`) renders it from the
 * LiveCluster and its Vhosts, mounts it as `config.json` and pushes it to the admin port; the node validates it, swaps
 * it in whole and reports its hash. What needs a new pod (ports, role, addresses) is in node-env.ts.
 */

const durationMs = z
  .int()
  .min(0)
  .max(86_400_000 * 7);

const pathTemplate = z.string().min(1).max(512);

const limit = z.int().min(1).max(10_000_000);

/** One virtual host, every default filled in. Durations are in milliseconds. */
export const VhostConfig = z.strictObject({
  /** Part of its streams' names: `metadata.name` of the Vhost, or `__defaultVhost__` for the one with the catch-all host. */
  name: z.string().min(1).max(253),
  /** Host names it answers to; `__defaultVhost__` catches every other. */
  hosts: z.array(z.string().min(1).max(253)).min(1).max(64),
  enabled: z.boolean(),
  publish: z.strictObject({
    /** What a second publisher of a live stream gets: refused with BadName, or the place of the first. */
    takeover: z.enum(['Reject', 'Replace']),
    /** How long a publisher may stay silent before its first audio or video message. */
    firstPacketTimeoutMs: durationMs,
    /** How long it may stay silent afterwards. */
    idleTimeoutMs: durationMs,
    /** How long a stream whose publisher is gone keeps its place in the cluster for the next one; 0: not at all. */
    graceMs: durationMs,
  }),
  play: z.strictObject({
    /** Begin a new player at the last key frame instead of the next one. */
    gopCache: z.boolean(),
    /** Media a player's queue may hold; past it the player skips to the next key frame. */
    queueLengthMs: durationMs,
    /** How long media is collected until it is written: by the load, each video frame at once, or milliseconds. */
    mwLatency: z.union([z.enum(['auto', 'realtime']), z.int().min(10).max(2_000)]),
    /** Players get the publisher's own timestamps, jumps and all. */
    atc: z.boolean(),
    /** Audio and video are put in the order of their timestamps. */
    mixCorrect: z.boolean(),
  }),
  httpRemux: z.strictObject({
    enabled: z.boolean(),
    /** Path template with `[vhost]`, `[app]` and `[stream]`, ending in `.flv`. */
    mount: z.string().min(1).max(512),
  }),
  hls: z.strictObject({
    enabled: z.boolean(),
    /** With low latency always fmp4, with keys always ts. */
    container: z.enum(['ts', 'fmp4']),
    fragmentMs: durationMs,
    windowMs: durationMs,
    cleanup: z.boolean(),
    disposeMs: durationMs,
    ctx: z.boolean(),
    /** Path templates below the root of the HTTP port; see the CRD for their variables. */
    m3u8File: pathTemplate,
    tsFile: pathTemplate,
    fmp4File: pathTemplate,
    lowLatency: z.strictObject({ enabled: z.boolean(), partMs: durationMs }),
    keys: z.strictObject({
      enabled: z.boolean(),
      fragmentsPerKey: z.int().min(1).max(10_000),
      keyFile: pathTemplate,
      /** A template where it holds `[`, else what stands before the key file; empty: relative to the playlist. */
      keyUrl: z.string().max(1_024),
    }),
  }),
  dash: z.strictObject({ enabled: z.boolean(), mpdFile: pathTemplate }),
  dvr: z.strictObject({
    enabled: z.boolean(),
    plan: z.enum(['Session', 'Segment']),
    durationMs,
    waitKeyframe: z.boolean(),
    /** Ends in .flv or .mp4; see the CRD for its variables. */
    path: pathTemplate,
    /** Patterns of `app/stream`, where `*` stands for any characters; empty: all. */
    applyTo: z.array(z.string().min(1).max(512)).max(256),
  }),
  security: z.strictObject({
    /** Value of Access-Control-Allow-Origin per allowed origin; `*` alone allows all. */
    cors: z.strictObject({ allowOrigins: z.array(z.string().min(1).max(253)).max(64) }),
  }),
  /** Each for one node; none where it is left out. */
  limits: z.strictObject({
    /** Streams with an encoder, or with an edge that hands one on. */
    maxPublishers: limit.optional(),
    maxViewers: limit.optional(),
    maxViewersPerStream: limit.optional(),
    /** Kilobits a second that an encoder may send for longer than a moment. */
    maxIngestKbps: limit.optional(),
  }),
  cluster: z.strictObject({ edgePublish: z.enum(['Forward', 'Deny']) }),
});
export type VhostConfig = z.infer<typeof VhostConfig>;

export const NodeConfig = z.strictObject({
  version: z.literal(1),
  logLevel: z.enum(LOG_LEVELS),
  /** Sockets of all protocols together that the node accepts; the next one is refused. */
  maxConnections: z.int().min(1).max(1_000_000),
  /** How long a pull goes on after its last viewer has left. */
  pullHoldMs: durationMs,
  /** How long a drain waits for sessions to end by themselves. */
  drainMs: durationMs,
  vhosts: z.array(VhostConfig).min(1).max(1_000),
});
export type NodeConfig = z.infer<typeof NodeConfig>;

/** Settings of a Vhost that says nothing but its hosts. The CRD's defaults are these (a test holds them together). */
export const VHOST_DEFAULTS = {
  enabled: true,
  publish: { takeover: 'Reject', firstPacketTimeoutMs: 20_000, idleTimeoutMs: 5_000, graceMs: 10_000 },
  play: { gopCache: true, queueLengthMs: 10_000, mwLatency: 'auto', atc: false, mixCorrect: false },
  httpRemux: { enabled: true, mount: '[vhost]/[app]/[stream].flv' },
  hls: {
    enabled: true,
    container: 'ts',
    fragmentMs: 2_000,
    windowMs: 10_000,
    cleanup: true,
    disposeMs: 30_000,
    ctx: true,
    m3u8File: '[app]/[stream].m3u8',
    tsFile: '[app]/[stream]-[seq].ts',
    fmp4File: '[app]/[stream]-[track]-[seq].m4s',
    lowLatency: { enabled: false, partMs: 500 },
    keys: { enabled: false, fragmentsPerKey: 5, keyFile: '[app]/[stream]-[seq].key', keyUrl: '' },
  },
  dash: { enabled: false, mpdFile: '[app]/[stream].mpd' },
  dvr: {
    enabled: false,
    plan: 'Session',
    durationMs: 30_000,
    waitKeyframe: true,
    path: '[app]/[stream].[timestamp].flv',
    applyTo: [],
  },
  security: { cors: { allowOrigins: ['*'] } },
  limits: {},
  cluster: { edgePublish: 'Forward' },
} as const satisfies Omit<z.input<typeof VhostConfig>, 'name' | 'hosts'>;

/**
 * The identity of a configuration: SHA-256, hex, over its JSON with keys sorted at every level, so that renderer and
 * node agree whatever order their keys came in.
 */
export function nodeConfigHash(config: NodeConfig): string {
  return createHash('sha256')
    .update(JSON.stringify(sortKeys(config)))
    .digest('hex');
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, child]) => [key, sortKeys(child)]),
  );
}
