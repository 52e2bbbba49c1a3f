import { Cluster, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { directoryKeys, DirectoryChange, NodeLease, parseJson, StreamRecord } from '#contract/directory-keys.ts';
import type { DirectoryKeys } from '#contract/directory-keys.ts';
import { DirectoryError } from './directory.ts';
import type {
  BeatReply,
  DirectoryStore,
  ScanPage,
  StoreClaim,
  StoreClaimResult,
  StoreEntry,
  StoreListener,
} from './directory-store.ts';
import { ASSERT, BEAT, CLAIM, DROP, LIVE_NODES, RELEASE } from './redis-scripts.ts';
import type { Script } from './redis-scripts.ts';
import type { RedisAddress } from './redis-url.ts';

export interface RedisStoreOptions {
  readonly address: RedisAddress;
  readonly namespace: string;
  readonly cluster: string;
  /** After this a call is given up. Default 500 ms. */
  readonly commandTimeoutMs?: number;
  /** Between tries to connect, at most. Default 1 s: healing may take 5 s in all. */
  readonly maxReconnectMs?: number;
  /** Between checks that the subscription's connection still answers. Default 2 s. */
  readonly pingMs?: number;
}

type Resolved = (error: null, address: string) => void;

/** Calls in a row without an answer after which the connection is made anew: it may be half open. */
const TIMEOUTS_TO_RECONNECT = 3;

/** The directory's state in Redis or a Redis Cluster. */
export class RedisStore implements DirectoryStore {
  readonly #keys: DirectoryKeys;
  readonly #commandTimeoutMs: number;
  readonly #pingMs: number;
  readonly #redis: Redis | Cluster;
  /** Subscriptions need a connection of their own; in a Redis Cluster any node hears every message. */
  readonly #subscriber: Redis;
  #listener: StoreListener | undefined;
  #wasSubscribed = false;
  #timeouts = 0;
  #ping: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RedisStoreOptions) {
    this.#keys = directoryKeys(options.namespace, options.cluster);
    this.#commandTimeoutMs = options.commandTimeoutMs ?? 500;
    this.#pingMs = options.pingMs ?? 2_000;
    const { address } = options;
    const retry = (times: number): number => backoffMs(times, options.maxReconnectMs ?? 1_000);
    const common = {
      replyMapping: 'legacy' as const,
      username: address.username,
      password: address.password,
      db: address.db,
      lazyConnect: true,
      connectTimeout: 1_000,
      commandTimeout: this.#commandTimeoutMs,
      // The defaults keep claims through an outage and play them back when streams have long gone elsewhere.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      autoResubscribe: false,
      // A replica that was once the master refuses writes: find the new one.
      reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
      tls: address.tls ? { servername: address.host } : undefined,
    } satisfies RedisOptions;
    const { host, port } = address;
    const { lazyConnect, enableOfflineQueue, ...redisOptions } = common;
    this.#subscriber = new Redis({
      ...common,
      host,
      port,
      retryStrategy: retry,
      connectionName: 'livecluster-changes',
    });
    this.#redis = address.cluster
      ? new Cluster([{ host, port }], {
          redisOptions,
          lazyConnect,
          enableOfflineQueue,
          clusterRetryStrategy: retry,
          slotsRefreshTimeout: 1_000,
          // TLS proves names: an address in place of the name would not match the certificate.
          ...(address.tls ? { dnsLookup: (name: string, callback: Resolved) => callback(null, name) } : {}),
        })
      : new Redis({ ...common, host, port, retryStrategy: retry, connectionName: 'livecluster' });
  }

  start(listener: StoreListener): void {
    this.#listener = listener;
    this.#redis.on('ready', () => {
      this.#timeouts = 0;
      listener.onConnected();
    });
    this.#redis.on('close', () => listener.onDisconnected());
    this.#subscriber.on('ready', () => void this.#subscribe());
    this.#subscriber.on('message', (_channel: string, message: string) => this.#received(message));
    // Without a listener ioredis prints each failed try; what matters shows as failed heartbeats.
    this.#redis.on('error', ignore);
    this.#subscriber.on('error', ignore);
    this.#redis.connect().catch(ignore);
    this.#subscriber.connect().catch(ignore);
    this.#ping = setInterval(() => void this.#checkSubscriber(), this.#pingMs);
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#bounded(this.#subscriber.subscribe(this.#keys.changes));
    } catch {
      // A connection without its subscription is worth nothing: begin again.
      if (!this.#closed) this.#subscriber.disconnect(true);
      return;
    }
    if (this.#wasSubscribed) this.#listener?.onGap();
    this.#wasSubscribed = true;
  }

  async #checkSubscriber(): Promise<void> {
    if (this.#subscriber.status !== 'ready') return;
    try {
      await this.#bounded(this.#subscriber.ping());
    } catch {
      if (!this.#closed && this.#subscriber.status === 'ready') this.#subscriber.disconnect(true);
    }
  }

  #received(message: string): void {
    const change = parseJson(DirectoryChange, message);
    if (change === undefined) this.#listener?.onMalformed('a message on the change channel');
    else this.#listener?.onChange(change);
  }

  async beat(lease: NodeLease, leaseMs: number): Promise<BeatReply> {
    const { nodePrefix, nodes, born } = this.#keys;
    const args = [JSON.stringify(lease), String(Math.round(leaseMs)), lease.nodeId];
    const reply = await this.#run(BEAT, [`${nodePrefix}${lease.nodeId}`, nodes, born], args);
    const [former, time] = strings(reply);
    const timeMs = Number(time);
    if (former === undefined || !Number.isFinite(timeMs)) throw this.#senseless('the answer to a heartbeat');
    return { previousBeat: former === '' ? undefined : parseJson(NodeLease, former)?.beat, timeMs };
  }

  async claim(claim: StoreClaim): Promise<StoreClaimResult> {
    const { streams, epoch, born, changes } = this.#keys;
    const args = [
      claim.field,
      claim.claimant.nodeId,
      JSON.stringify(claim.claimant),
      claim.expected?.nodeId ?? '',
      String(claim.expected?.epoch ?? 0),
      String(claim.floorEpoch),
      claim.settledAgeMs === undefined ? '' : String(claim.settledAgeMs),
      String(claim.notAfterMs),
      changes,
    ];
    // Once more at most, after a record that makes no sense was removed.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const [kind, value] = strings(await this.#run(CLAIM, [streams, epoch, born], args));
      if (kind === 'ok' && Number.isSafeInteger(Number(value))) return { kind, epoch: Number(value) };
      if (kind === 'unsettled' || kind === 'late') return { kind };
      if (kind !== 'busy' || value === undefined) break;
      const record = await this.#recordOrDrop(claim.field, value);
      if (record !== undefined) {
        return { kind: 'busy', record, alive: (await this.alive([record.nodeId])).has(record.nodeId) };
      }
    }
    throw this.#senseless('the answer to a claim');
  }

  async assertRecords(entries: readonly StoreEntry[]): Promise<readonly (StreamRecord | undefined)[]> {
    const { streams, epoch, changes } = this.#keys;
    const nodeId = entries[0]?.record.nodeId;
    if (nodeId === undefined) return [];
    const pairs = entries.flatMap(({ field, record }) => [field, JSON.stringify(record)]);
    const answers = strings(await this.#run(ASSERT, [streams, epoch], [nodeId, changes, ...pairs]));
    if (answers.length !== entries.length) throw this.#senseless('the answer to a check of records');
    const higher: (StreamRecord | undefined)[] = [];
    for (const [index, { field }] of entries.entries()) {
      const raw = answers[index] ?? '';
      // A broken one is removed; the next check writes ours.
      higher.push(raw === '' ? undefined : await this.#recordOrDrop(field, raw));
    }
    return higher;
  }

  async release(
    nodeId: string,
    entries: readonly { readonly field: string; readonly epoch: number | null }[],
  ): Promise<void> {
    const pairs = entries.flatMap(({ field, epoch }) => [field, epoch === null ? '' : String(epoch)]);
    await this.#run(RELEASE, [this.#keys.streams], [nodeId, this.#keys.changes, ...pairs]);
  }

  async lookup(field: string): Promise<{ readonly record: StreamRecord; readonly alive: boolean } | undefined> {
    const raw = await this.#call(() => this.#redis.hget(this.#keys.streams, field));
    if (raw === null) return undefined;
    const record = await this.#recordOrDrop(field, raw);
    if (record === undefined) return undefined;
    return { record, alive: (await this.alive([record.nodeId])).has(record.nodeId) };
  }

  async alive(nodeIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (nodeIds.length === 0) return new Set();
    const leases = await this.#leases(nodeIds);
    return new Set(nodeIds.filter((_, index) => leases[index] !== null));
  }

  async nodes(): Promise<readonly NodeLease[]> {
    const ids = strings(await this.#run(LIVE_NODES, [this.#keys.nodes], []));
    if (ids.length === 0) return [];
    const found: NodeLease[] = [];
    for (const raw of await this.#leases(ids)) {
      if (typeof raw !== 'string') continue;
      const lease = parseJson(NodeLease, raw);
      if (lease === undefined) this.#listener?.onMalformed('a node’s lease');
      else found.push(lease);
    }
    return found;
  }

  #leases(nodeIds: readonly string[]): Promise<(string | null)[]> {
    return this.#call(() => this.#redis.mget(nodeIds.map((id) => `${this.#keys.nodePrefix}${id}`)));
  }

  async scan(cursor: string, count: number): Promise<ScanPage> {
    const [next, flat] = await this.#call(() => this.#redis.hscan(this.#keys.streams, cursor, 'COUNT', count));
    const entries: StoreEntry[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const [field, raw] = [flat[at] ?? '', flat[at + 1] ?? ''];
      const record = await this.#recordOrDrop(field, raw);
      if (record !== undefined) entries.push({ field, record });
    }
    return { cursor: next, entries };
  }

  async leave(nodeId: string): Promise<void> {
    await this.#call(() => this.#redis.del(`${this.#keys.nodePrefix}${nodeId}`));
    await this.#call(() => this.#redis.zrem(this.#keys.nodes, nodeId));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ping);
    this.#subscriber.disconnect();
    this.#redis.disconnect();
  }

  /** A record that another process wrote; one that makes no sense is deleted, or its stream could never be claimed. */
  async #recordOrDrop(field: string, raw: string): Promise<StreamRecord | undefined> {
    const record = parseJson(StreamRecord, raw);
    if (record !== undefined) return record;
    this.#listener?.onMalformed('a stream’s record');
    await this.#run(DROP, [this.#keys.streams], [field, raw]);
    return undefined;
  }

  #senseless(what: string): DirectoryError {
    this.#listener?.onMalformed(what);
    return new DirectoryError('away', `${what} makes no sense; is the address that of a Redis server?`);
  }

  /** Runs a script by its hash, with its source when Redis lacks it. */
  #run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#call(async () => {
      try {
        return await this.#redis.evalsha(script.sha1, keys.length, ...keys, ...args);
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return this.#redis.eval(script.source, keys.length, ...keys, ...args);
      }
    });
  }

  async #call<T>(command: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new DirectoryError('closed', 'the directory is closed');
    try {
      const reply = await this.#bounded(command());
      this.#timeouts = 0;
      return reply;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (/timed out/i.test(message)) {
        this.#timeouts += 1;
        if (this.#timeouts >= TIMEOUTS_TO_RECONNECT && !this.#closed) {
          this.#timeouts = 0;
          this.#redis.disconnect(true);
        }
      }
      // ioredis hangs the command with its arguments on its errors, AUTH's password too: only the text goes on.
      // oxlint-disable-next-line preserve-caught-error
      throw new DirectoryError('away', `Redis did not do it: ${message}`);
    }
  }

  /** ioredis' own timeout doesn't cover a Redis Cluster's redirections and retries. */
  async #bounded<T>(reply: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('Command timed out')), this.#commandTimeoutMs + 20);
    });
    try {
      return await Promise.race([reply, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** 50 ms doubling to the bound, a quarter of it at random so that nodes don't come back in step. */
function backoffMs(times: number, maxMs: number): number {
  const fullMs = Math.min(maxMs, 50 * 2 ** Math.min(times - 1, 10));
  return Math.round(fullMs * (0.75 + 0.25 * Math.random()));
}

function strings(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.map((each: unknown) => (typeof each === 'string' ? each : String(each))) : [];
}

function ignore(): void {}
