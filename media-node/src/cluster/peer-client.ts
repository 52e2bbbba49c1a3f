import { lookup as dnsLookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { PEER_PATHS, PeerPublisher } from '#contract/peer-api.ts';
import type { PeerYield } from '#contract/peer-api.ts';
import { parseJson } from '#contract/directory-keys.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { NodeEntry, OwnerRecord } from './directory.ts';
import { outranks } from './directory.ts';
import { Limiter } from './limiter.ts';
import type { OriginFinder, OriginsAnswer, ProbeAnswer, PublisherProbe } from './ports.ts';
import type { RelayTarget } from '../stream/relay.ts';

/** An answer of a peer is a line of JSON; more is not read. */
const MAX_ANSWER_BYTES = 8_192;
/** Connection errors that mean "no such process any more", not "slow". */
const REFUSED_CODES = new Set(['ECONNREFUSED']);

export interface PeerClientOptions {
  readonly nodeId: string;
  /** Bearer token of the admin ports of this cluster, read at each request so that a new one is taken up. */
  readonly token: () => string;
}

/** Asks other nodes at their admin ports; see contract/peer-api.ts. */
export class PeerClient implements PublisherProbe {
  readonly #options: PeerClientOptions;

  constructor(options: PeerClientOptions) {
    this.#options = options;
  }

  async ask(owner: OwnerRecord, key: StreamKey, timeoutMs: number): Promise<ProbeAnswer> {
    return forOwner(await this.publisher(owner, key, timeoutMs), owner);
  }

  async yield(owner: OwnerRecord, key: StreamKey, timeoutMs: number): Promise<ProbeAnswer> {
    const body: PeerYield = { version: 1, epoch: owner.epoch, by: this.#options.nodeId };
    const reply = await this.#request(owner, PEER_PATHS.yield, key, timeoutMs, JSON.stringify(body));
    return forOwner(reply, owner);
  }

  /** What the node at an address says of a stream; 'refused' when nothing listens there. Never rejects. */
  publisher(address: AdminAddress, key: StreamKey, timeoutMs: number): Promise<PeerReply> {
    return this.#request(address, PEER_PATHS.publisher, key, timeoutMs);
  }

  async #request(
    address: AdminAddress,
    path: string,
    key: StreamKey,
    timeoutMs: number,
    body?: string,
  ): Promise<PeerReply> {
    try {
      const response = await fetch(peerUrl(address, path, key), {
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          authorization: `Bearer ${this.#options.token()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await boundedText(response);
      if (!response.ok || text === undefined) return 'silent';
      return parseJson(PeerPublisher, text) ?? 'silent';
    } catch (error) {
      return REFUSED_CODES.has(causeCode(error)) ? 'refused' : 'silent';
    }
  }
}

/** 'silent' also stands for answers that make no sense, a wrong token among them: nothing may be concluded from them. */
export type PeerReply = PeerPublisher | 'refused' | 'silent';

function forOwner(reply: PeerReply, owner: OwnerRecord): ProbeAnswer {
  if (reply === 'silent') return { kind: 'silent' };
  if (reply === 'refused' || reply.nodeId !== owner.nodeId || !reply.published) return { kind: 'no' };
  return { kind: 'yes', owner: reply.epoch === null ? owner : { ...owner, epoch: reply.epoch } };
}

function ownerOf(reply: PeerPublisher): OwnerRecord | undefined {
  if (!reply.published || reply.epoch === null) return undefined;
  const { nodeId, host, rtmpPort, adminPort, epoch } = reply;
  return { nodeId, host, rtmpPort, adminPort, epoch };
}

/** Throws TypeError for a host that no URL can have. */
function peerUrl({ host, adminPort }: AdminAddress, path: string, key: StreamKey): URL {
  const url = new URL(`http://${isIPv6(host) ? `[${host}]` : host}:${adminPort}${path}`);
  url.search = new URLSearchParams({ vhost: key.vhost, app: key.app, stream: key.stream }).toString();
  return url;
}

async function boundedText(response: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    // Leaving the loop cancels the body.
    if (size > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Code of the system error that fetch wraps, also when it tried several addresses. */
function causeCode(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  if (cause instanceof AggregateError) {
    const codes = cause.errors.map((each: unknown) => codeOf(each));
    return codes.every((code) => code === codes[0]) ? (codes[0] ?? '') : '';
  }
  return codeOf(cause);
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

export interface OriginFinderOptions {
  readonly nodeId: string;
  readonly client: PeerClient;
  /** The origins' admin ports: of the headless Service by DNS, and those known from the directory. */
  readonly addresses: () => Promise<readonly AdminAddress[]>;
  /** Questions at once, over all streams. Default 32. */
  readonly maxAtOnce?: number;
  /** How long an origin may take to answer. Default 700 ms. */
  readonly timeoutMs?: number;
  /** How long an answer is kept. Default 1 s. */
  readonly keepMs?: number;
  /** Answers kept at most. Default 1,000. */
  readonly maxKept?: number;
  /** Origins asked at most. Default 64. */
  readonly maxOrigins?: number;
  readonly now?: () => number;
}

/** Asks each origin at its admin port. */
export class PeerOriginFinder implements OriginFinder {
  readonly #options: Required<OriginFinderOptions>;
  readonly #kept = new Map<string, { readonly untilMs: number; readonly answer: Promise<OriginsAnswer> }>();
  readonly #limiter: Limiter;

  constructor(options: OriginFinderOptions) {
    this.#options = {
      maxAtOnce: 32,
      timeoutMs: 700,
      keepMs: 1_000,
      maxKept: 1_000,
      maxOrigins: 64,
      now: Date.now,
      ...options,
    };
    this.#limiter = new Limiter(this.#options.maxAtOnce);
  }

  find(key: StreamKey, options: { readonly fresh?: boolean } = {}): Promise<OriginsAnswer> {
    const { now, keepMs, maxKept } = this.#options;
    const id = streamKeyId(key);
    const kept = this.#kept.get(id);
    if (options.fresh !== true && kept !== undefined && kept.untilMs > now()) return kept.answer;
    const answer = this.#askAll(key);
    this.#kept.delete(id);
    this.#kept.set(id, { untilMs: now() + keepMs, answer });
    // Insertion order is age: the first one is the oldest.
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKept) break;
      this.#kept.delete(oldest);
    }
    return answer;
  }

  async #askAll(key: StreamKey): Promise<OriginsAnswer> {
    const { addresses, maxOrigins, nodeId } = this.#options;
    const known = await addresses().catch(() => []);
    const distinct = new Map(known.map((each) => [addressId(each), each]));
    const asked = [...distinct.values()].slice(0, maxOrigins);
    const replies = await Promise.all(asked.map((address) => this.#askOne(address, key)));
    const answers = replies.filter((reply) => typeof reply === 'object').filter((reply) => reply.nodeId !== nodeId);
    const owners = answers.map(ownerOf).filter((owner) => owner !== undefined);
    const reachable = new Map(answers.map((answer) => [answer.nodeId, answer]));
    return {
      owner: owners.reduce<OwnerRecord | undefined>((a, b) => (a === undefined || outranks(b, a) ? b : a), undefined),
      isClaiming: answers.some(({ published, epoch }) => published && epoch === null),
      reachable: [...reachable.values()].map((each) => ({
        nodeId: each.nodeId,
        host: each.host,
        rtmpPort: each.rtmpPort,
      })) satisfies RelayTarget[],
    };
  }

  #askOne(address: AdminAddress, key: StreamKey): Promise<PeerReply> {
    const { client, timeoutMs } = this.#options;
    return this.#limiter.run(() => client.publisher(address, key, timeoutMs));
  }
}

/** Where an admin port is. */
export interface AdminAddress {
  readonly host: string;
  readonly adminPort: number;
}

/** Equal for equal addresses. */
export function addressId({ host, adminPort }: AdminAddress): string {
  return `${host} ${adminPort}`;
}

/**
 * The origins' admin ports: the nodes last seen in the directory, and what DNS says of the headless Service. DNS is given
 * `timeoutMs`; when it fails its last answer counts.
 */
export function originAddresses(options: {
  readonly known: () => readonly NodeEntry[];
  /** Left out: only the known nodes. */
  readonly dns?: { readonly host: string; readonly adminPort: number; readonly timeoutMs?: number };
}): () => Promise<readonly AdminAddress[]> {
  const { known, dns } = options;
  let last: readonly AdminAddress[] = [];
  return async () => {
    if (dns !== undefined) {
      const found = await Promise.race([
        dnsLookup(dns.host, { all: true }).catch(() => undefined),
        delay(dns.timeoutMs ?? 500, undefined, { ref: false }),
      ]);
      if (found !== undefined) last = found.map(({ address }) => ({ host: address, adminPort: dns.adminPort }));
    }
    return [...known().map(({ host, adminPort }) => ({ host, adminPort })), ...last];
  };
}
