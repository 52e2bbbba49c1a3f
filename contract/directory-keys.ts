import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { ROLES } from './names.ts';

/*
 * Names and values of the directory in Redis. All keys of one cluster carry one hash tag, `{namespace/cluster}`, so that
 * scripts over several of them work on Redis Cluster and many clusters can share one Redis. Values are JSON with a
 * version; what doesn't fit its schema is treated as absent, never as a reason to stop.
 */

/** Epochs are milliseconds since 1970 or a little ahead; past this bound (year 4821) a value is broken. */
export const MAX_EPOCH = 90_000_000_000_000;

/** Most streams, nodes and bytes a name may take; longer ones are refused before they reach Redis. */
const MAX_FIELD_LENGTH = 4_096;

/** Keys and channel of one cluster. `tag` is `namespace/cluster`; both are DNS labels, so braces can't occur. */
export function directoryKeys(namespace: string, cluster: string): DirectoryKeys {
  const tag = `{${namespace}/${cluster}}`;
  return {
    streams: `${tag}:streams`,
    epoch: `${tag}:epoch`,
    born: `${tag}:born`,
    nodes: `${tag}:nodes`,
    nodePrefix: `${tag}:node:`,
    changes: `${tag}:changes`,
    packagingPrefix: `${tag}:packaging:`,
    sessionPrefix: `${tag}:session:`,
    ended: `${tag}:ended`,
    endings: `${tag}:endings`,
  };
}

export interface DirectoryKeys {
  /** Hash: stream field ({@link encodeStreamField}) → {@link StreamRecord}. */
  readonly streams: string;
  /** String: the last epoch given. */
  readonly epoch: string;
  /** String: Redis TIME in ms at which this data set was begun; young data may lack live streams. */
  readonly born: string;
  /** Sorted set of node ids, scored by the Redis TIME in ms at which their lease ends. */
  readonly nodes: string;
  /** Followed by a node id: string with {@link NodeLease}, which Redis expires. */
  readonly nodePrefix: string;
  /** Pub/sub channel of {@link DirectoryChange}. */
  readonly changes: string;
  /** Followed by a stream field: string, what the next node needs to go on with its playlist; Redis expires it. */
  readonly packagingPrefix: string;
  /** Followed by the id of a viewer's session without a connection: string, the node that counts it; Redis expires it. */
  readonly sessionPrefix: string;
  /** Sorted set of ids of sessions that were ended, scored by the Redis TIME in ms until which they are refused. */
  readonly ended: string;
  /** Pub/sub channel of {@link SessionsEnded}. */
  readonly endings: string;
}

const port = z.int().min(0).max(65_535);
const host = z.string().min(1).max(253);
const epoch = z.int().min(1).max(MAX_EPOCH);

/** Pod uid, a dot, 8 random bytes in hex: a restarted container is another node. */
export const NodeId = z.string().regex(/^[A-Za-z0-9-]{1,64}\.[0-9a-f]{16}$/, {
  error: 'must be a pod uid, a dot and 16 hex digits',
});
export type NodeId = z.infer<typeof NodeId>;

/** The id of a node from its pod's uid; another one at every call. */
export function newNodeId(podUid: string): NodeId {
  return NodeId.parse(`${podUid}.${randomBytes(8).toString('hex')}`);
}

/** What a node says of itself, renewed with every heartbeat. */
export const NodeLease = z.object({
  version: z.literal(1),
  nodeId: NodeId,
  role: z.enum(ROLES),
  /** Address under which the other nodes reach it. */
  host,
  rtmpPort: port,
  httpPort: port,
  adminPort: port,
  /** Number at the end of the pod's name. */
  ordinal: z.int().min(0).max(1_000_000),
  /** The software's version. */
  software: z.string().max(64),
  /** Sessions the node serves now; forwarded publishes go to the origin with the fewest. */
  load: z.number().min(0),
  /** Counts the heartbeats; an older one than the node remembers shows that Redis lost data. */
  beat: z.int().min(0),
});
export type NodeLease = z.infer<typeof NodeLease>;

/** Who has a stream. The address stands here because a take-over needs it when the lease is gone. */
export const StreamRecord = z.object({
  version: z.literal(1),
  nodeId: NodeId,
  host,
  rtmpPort: port,
  adminPort: port,
  epoch,
});
export type StreamRecord = z.infer<typeof StreamRecord>;

/** A message on the change channel. */
export const DirectoryChange = z.object({
  version: z.literal(1),
  kind: z.enum(['claimed', 'released']),
  /** {@link encodeStreamField} */
  field: z.string().min(1).max(MAX_FIELD_LENGTH),
  nodeId: NodeId,
  epoch,
});
export type DirectoryChange = z.infer<typeof DirectoryChange>;

/** Id of a viewer's session without a connection, as its signed context holds it. */
const SessionId = z.string().min(1).max(128);

/** A message on the channel of endings: sessions that are refused from now on, and for how long. */
export const SessionsEnded = z.object({
  version: z.literal(1),
  sessions: z.array(z.object({ id: SessionId, keepMs: z.number().min(0) })).max(1_000),
});
export type SessionsEnded = z.infer<typeof SessionsEnded>;

/** The three names of a stream; see StreamKey of the media node. */
export interface StreamFieldParts {
  readonly vhost: string;
  readonly app: string;
  readonly stream: string;
}

/**
 * A stream as a field of the streams hash: vhost, app and stream, each percent-encoded, joined by `/` (an app may hold
 * one). Undefined for a name that has no UTF-8 form (lone surrogates) or is too long.
 */
export function encodeStreamField(parts: StreamFieldParts): string | undefined {
  let field: string;
  try {
    field = `${encodeURIComponent(parts.vhost)}/${encodeURIComponent(parts.app)}/${encodeURIComponent(parts.stream)}`;
  } catch {
    return undefined;
  }
  return field.length <= MAX_FIELD_LENGTH ? field : undefined;
}

/** Reverses {@link encodeStreamField}; undefined for anything it could not have made. */
export function decodeStreamField(field: string): StreamFieldParts | undefined {
  const [vhost, app, stream, ...rest] = field.split('/');
  if (vhost === undefined || app === undefined || stream === undefined || rest.length > 0) return undefined;
  try {
    const parts = {
      vhost: decodeURIComponent(vhost),
      app: decodeURIComponent(app),
      stream: decodeURIComponent(stream),
    };
    return encodeStreamField(parts) === field ? parts : undefined;
  } catch {
    return undefined;
  }
}

/** Parses JSON against a schema; undefined when either fails. For values that other processes wrote. */
export function parseJson<T>(schema: z.ZodType<T>, text: string): T | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}
