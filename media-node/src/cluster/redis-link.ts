import { Cluster, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { DirectoryError } from './directory.ts';
import type { RedisAddress } from './redis-url.ts';

export interface RedisLinkOptions {
  readonly address: RedisAddress;
  /** What the connections are called in Redis' own list. */
  readonly name: string;
  /** Messages of this channel are heard. */
  readonly channel: string;
  /** After this a call is given up. Default 500 ms. */
  readonly commandTimeoutMs?: number | undefined;
  /** Between tries to connect, at most. Default 1 s: healing may take 5 s in all. */
  readonly maxReconnectMs?: number | undefined;
  /** Between checks that the subscription's connection still answers. Default 2 s. */
  readonly pingMs?: number | undefined;
}

export interface RedisLinkListener {
  /** A connection is there. May come repeatedly. */
  onConnected(): void;
  /** The connection is gone. May come repeatedly, and not at all when the network goes silent. */
  onDisconnected(): void;
  onMessage(message: string): void;
  /** Messages are heard from now on; `isAgain`: some may have been missed since the last time. */
  onSubscribed(isAgain: boolean): void;
}

type Resolved = (error: null, address: string) => void;

/** After this a Redis that took the connection is asked by another one. */
const HANDSHAKE_MS = 2_000;

/** Calls in a row without an answer after which the connection is made anew: it may be half open. */
const TIMEOUTS_TO_RECONNECT = 3;

/** Two connections to a Redis or a Redis Cluster, for calls and for one channel; made again whenever they break. */
export class RedisLink {
  readonly #channel: string;
  readonly #commandTimeoutMs: number;
  readonly #pingMs: number;
  readonly #redis: Redis | Cluster;
  /** Subscriptions need a connection of their own; in a Redis Cluster any node hears every message. */
  readonly #subscriber: Redis;
  #listener: RedisLinkListener | undefined;
  #wasSubscribed = false;
  #timeouts = 0;
  #ping: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RedisLinkOptions) {
    this.#channel = options.channel;
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
      // For what ioredis asks while it connects; calls are given up by #bounded.
      commandTimeout: HANDSHAKE_MS,
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
      connectionName: `${options.name}-changes`,
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
      : new Redis({ ...common, host, port, retryStrategy: retry, connectionName: options.name });
  }

  /** Begins to connect; goes on trying until close. Called once. */
  start(listener: RedisLinkListener): void {
    this.#listener = listener;
    this.#redis.on('ready', () => {
      this.#timeouts = 0;
      listener.onConnected();
    });
    this.#redis.on('close', () => listener.onDisconnected());
    this.#subscriber.on('ready', () => void this.#subscribe());
    this.#subscriber.on('message', (_channel: string, message: string) => listener.onMessage(message));
    // Without a listener ioredis prints each failed try; what matters shows as failed heartbeats.
    this.#redis.on('error', ignore);
    this.#subscriber.on('error', ignore);
    this.#redis.connect().catch(ignore);
    this.#subscriber.connect().catch(ignore);
    this.#ping = setInterval(() => void this.#checkSubscriber(), this.#pingMs);
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#bounded(this.#subscriber.subscribe(this.#channel));
    } catch {
      // A connection without its subscription is worth nothing: begin again.
      if (!this.#closed) this.#subscriber.disconnect(true);
      return;
    }
    this.#listener?.onSubscribed(this.#wasSubscribed);
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

  /** Ends the connections; idempotent. Calls in progress reject. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ping);
    this.#subscriber.disconnect();
    this.#redis.disconnect();
  }

  /**
   * Runs a script. It goes with its source each time: sent by its hash and once more where Redis has forgotten it, it
   * would run after calls that were made after it, and a check of records bring back one that was released.
   */
  run(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.call((redis) => redis.eval(script, keys.length, ...keys, ...args));
  }

  /** Rejects with DirectoryError `away` or `closed`. */
  async call<T>(command: (redis: Redis | Cluster) => Promise<T>): Promise<T> {
    if (this.#closed) throw new DirectoryError('closed', 'the directory is closed');
    try {
      const reply = await this.#bounded(command(this.#redis));
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

  /**
   * ioredis' own timeout doesn't cover a Redis Cluster's redirections and retries, and takes a process that was held up for a
   * silent Redis: timers run before the sockets are looked at, in which the reply may wait.
   */
  async #bounded<T>(reply: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      const giveUp = (): void => reject(new Error('Command timed out'));
      timer = setTimeout(() => setImmediate(giveUp), this.#commandTimeoutMs);
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

/** A reply of texts; anything else counts as none. */
export function strings(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.map((each: unknown) => (typeof each === 'string' ? each : String(each))) : [];
}

function ignore(): void {}
