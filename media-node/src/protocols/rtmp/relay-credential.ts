import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { StreamKey } from '../../stream/stream-key.ts';

/*
 * How a node proves to another that it belongs to the cluster: its RTMP connect object carries this credential in the
 * property RELAY_PROPERTY. It is good for one connection, one stream, one direction and one node, and for half a minute.
 */

/** The connect object's property. */
export const RELAY_PROPERTY = 'livecluster';

/**
 * Property that tells a stream's clock (Stream.clock): in the answer to a node that plays, in the connect object of one
 * that publishes.
 */
export const RELAY_CLOCK = 'livecluster_clock';

/** The clock in a value from another node; undefined for what is none. */
export function clockOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^[\w-]{1,64}$/.test(value) ? value : undefined;
}

/** Clocks of nodes may differ by this much. */
const WINDOW_MS = 30_000;
/** Credentials seen in the time in which they could be used again; each takes about 100 bytes. */
const MAX_NONCES = 100_000;
const MAX_PATH = 16;
const MAX_TEXT = 1_024;

/** What a relay connection is for. */
export interface RelayGrant {
  readonly action: 'play' | 'publish';
  /** Exactly the stream, its vhost by name. */
  readonly key: StreamKey;
  /** Ids of the nodes the media has passed, the asking one last. */
  readonly path: readonly string[];
}

/** The credential as it travels: values that AMF0 can carry. */
export interface RelayCredential {
  readonly v: 1;
  readonly action: string;
  readonly vhost: string;
  readonly app: string;
  readonly stream: string;
  readonly path: string[];
  /** Id of the node it is meant for. */
  readonly to: string;
  /** Milliseconds since 1970. */
  readonly ts: number;
  readonly nonce: string;
  /** HMAC-SHA256, hex, over the fields above. */
  readonly mac: string;
}

/** Makes a credential for one connection to the node `to`. `relayKey` is the cluster's shared secret. */
export function signRelay(relayKey: Buffer, grant: RelayGrant, to: string, nowMs: number): RelayCredential {
  const { vhost, app, stream } = grant.key;
  const fields = { action: grant.action, vhost, app, stream, path: [...grant.path], to, ts: nowMs };
  const nonce = randomBytes(16).toString('hex');
  return { v: 1, ...fields, nonce, mac: macOf(relayKey, { ...fields, nonce }).toString('hex') };
}

/** Why a credential proves nothing; the text is for the log of the node that was asked. */
export type RelayRefusal = 'malformed' | 'wrong-key' | 'other-node' | 'stale' | 'used';

/** Checks credentials for one node, and remembers those it saw as long as they could be used again. */
export class RelayVerifier {
  readonly #relayKey: Buffer;
  readonly #nodeId: string;
  readonly #now: () => number;
  /** Nonce → when it may be forgotten; in the order of arrival. */
  readonly #seen = new Map<string, number>();

  constructor(relayKey: Buffer, nodeId: string, now: () => number = Date.now) {
    this.#relayKey = relayKey;
    this.#nodeId = nodeId;
    this.#now = now;
  }

  /** The grant, or why there is none. Never throws, whatever the value is. */
  verify(value: unknown): RelayGrant | RelayRefusal {
    const credential = readCredential(value);
    if (credential === undefined) return 'malformed';
    const { action, vhost, app, stream, path, to, ts, nonce, mac } = credential;
    if (action !== 'play' && action !== 'publish') return 'malformed';
    if (!timingSafeEqual(macOf(this.#relayKey, credential), Buffer.from(mac, 'hex'))) return 'wrong-key';
    if (to !== this.#nodeId) return 'other-node';
    const nowMs = this.#now();
    if (Math.abs(nowMs - ts) > WINDOW_MS) return 'stale';
    this.#forget(nowMs);
    if (this.#seen.has(nonce) || this.#seen.size >= MAX_NONCES) return 'used';
    this.#seen.set(nonce, nowMs + 2 * WINDOW_MS);
    return { action, key: { vhost, app, stream }, path };
  }

  #forget(nowMs: number): void {
    for (const [nonce, untilMs] of this.#seen) {
      if (untilMs > nowMs) return;
      this.#seen.delete(nonce);
    }
  }
}

function macOf(relayKey: Buffer, fields: Omit<RelayCredential, 'v' | 'mac'>): Buffer {
  const { action, vhost, app, stream, path, to, ts, nonce } = fields;
  const text = JSON.stringify(['livecluster-relay-1', action, vhost, app, stream, path, to, ts, nonce]);
  return createHmac('sha256', relayKey).update(text).digest();
}

function readCredential(value: unknown): RelayCredential | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  const { v, action, vhost, app, stream, path, to, ts, nonce, mac } = value as Record<string, unknown>;
  const isText = (text: unknown): text is string => typeof text === 'string' && text.length <= MAX_TEXT;
  if (v !== 1 || !isText(action) || !isText(vhost) || !isText(app) || !isText(stream) || !isText(to)) return undefined;
  if (!Array.isArray(path) || path.length < 1 || path.length > MAX_PATH || !path.every(isText)) return undefined;
  if (typeof ts !== 'number' || !Number.isSafeInteger(ts)) return undefined;
  if (!isText(nonce) || !/^[0-9a-f]{32}$/.test(nonce) || !isText(mac) || !/^[0-9a-f]{64}$/.test(mac)) return undefined;
  return { v, action, vhost, app, stream, path, to, ts, nonce, mac };
}
