import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Clock, Timer } from './clock.ts';
import { microTime, sleep, systemClock } from './clock.ts';

/** The content of a Lease (coordination.k8s.io/v1 LeaseSpec). */
export interface LeaseRecord {
  /** Empty: nobody holds it. */
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
  /** MicroTime, see microTime(). */
  readonly acquireTime: string;
  readonly renewTime: string;
  readonly leaseTransitions: number;
}

/** A record as read, with the version that a write in its place has to name. */
export interface StoredLease {
  readonly record: LeaseRecord;
  readonly version: string;
}

/** Limits of one call of a LeaseStore. */
export interface LeaseCall {
  readonly timeoutMs: number;
}

/** Where the lease is kept; kube/lease-store.ts keeps it in Kubernetes. Both reject on failure. */
export interface LeaseStore {
  /** The lease, or undefined if there is none. */
  read(call: LeaseCall): Promise<StoredLease | undefined>;
  /** Writes in the place of `version` (undefined: creates); returns `conflict` if another write came first. */
  write(record: LeaseRecord, version: string | undefined, call: LeaseCall): Promise<StoredLease | 'conflict'>;
}

/** Options of a LeaderLease. */
export interface LeaderLeaseOptions {
  readonly store: LeaseStore;
  /** Unique to this process, not only to its pod: a restarted container must not take itself for its predecessor. */
  readonly identity: string;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Gets the gauge leader_election_master_status. */
  readonly registry?: Registry;
  /** Label `name` of the gauge; `livecluster-operator` unless told. */
  readonly name?: string;
}

/** Why it is over. */
export type LeaseEnd = { readonly kind: 'lost'; readonly why: string } | { readonly kind: 'released' };

const LEASE_DURATION_MS = 15_000;
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2000;
const RETRY_JITTER = 1.2;
const CALL_TIMEOUT_MS = 5000;

/**
 * Leader election on a Lease, as client-go's leaderelection does it. Whether another's lease has run out is judged by
 * this process's monotonic clock since the record last changed, never by the times in it: clocks of nodes differ. One
 * object serves for one leadership: once lost, the process has to end.
 */
export class LeaderLease {
  /** True as soon as this process leads; false if it was released before. */
  readonly acquired: Promise<boolean>;
  /** Resolves once, when a leadership is lost or release() was called. */
  readonly ended: Promise<LeaseEnd>;

  readonly #store: LeaseStore;
  readonly #identity: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #name: string;
  readonly #gauge: Gauge<'name'> | undefined;
  readonly #stopping = new AbortController();
  #resolveAcquired: (isAcquired: boolean) => void = () => {};
  #resolveEnded: (end: LeaseEnd) => void = () => {};
  #running: Promise<void> | undefined;
  #releasing: Promise<void> | undefined;
  #isLeader = false;
  /** When the last successful write was sent, on the monotonic clock. */
  #lastRenewMs = Number.NEGATIVE_INFINITY;
  #deadline: Timer | undefined;
  #held: StoredLease | undefined;
  #observed = '';
  #observedMs = 0;

  constructor(options: LeaderLeaseOptions) {
    this.#store = options.store;
    this.#identity = options.identity;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#name = options.name ?? 'livecluster-operator';
    this.#gauge = options.registry && masterStatusGauge(options.registry);
    this.#gauge?.set({ name: this.#name }, 0);
    this.acquired = new Promise((resolve) => {
      this.#resolveAcquired = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Whether this process leads, as far as it knows. For writes ask isWriteAllowed. */
  get isLeader(): boolean {
    return this.#isLeader;
  }

  /** Whether a write may be sent now: this process leads, and its last renewal is less than 10 s ago. */
  isWriteAllowed(): boolean {
    return this.#isLeader && this.#clock.monotonicMs() < this.#lastRenewMs + RENEW_DEADLINE_MS;
  }

  /** Begins to try for the lease; a second call, or one after release(), does nothing. */
  start(): void {
    if (this.#running || this.#isStopped) return;
    this.#running = this.#run();
  }

  /**
   * Gives the lease up, so that another can have it at once: call it after everything that writes has ended. Idempotent;
   * never rejects: an API server that does not answer means that the others wait for the lease to run out.
   */
  release(reason: string): Promise<void> {
    // Once lost there is nothing to give up, nor a call worth waiting for.
    this.#releasing ??= this.#isStopped ? Promise.resolve() : this.#giveUp(reason);
    return this.#releasing;
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #giveUp(reason: string): Promise<void> {
    this.#stop();
    this.#resolveEnded({ kind: 'released' });
    this.#resolveAcquired(false);
    // A write under way can still get the lease.
    await this.#running;
    this.#setLeader(false);
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    try {
      const now = microTime(this.#clock.nowMs());
      const record = { ...held.record, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
      const written = await this.#store.write(record, held.version, { timeoutMs: CALL_TIMEOUT_MS });
      this.#log.info({ reason, isReleased: written !== 'conflict' }, 'leader lease given up');
    } catch (error) {
      this.#log.warn({ err: error, reason }, 'leader lease could not be given up, it will run out');
    }
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#attempt();
      } catch (error) {
        this.#log.warn({ err: error, isLeader: this.#isLeader }, 'leader lease could not be read or written');
      }
      if (this.#isStopped) return;
      const delayMs = this.#isLeader ? RETRY_MS : RETRY_MS * (1 + RETRY_JITTER * this.#random());
      await sleep(this.#clock, delayMs, this.#stopping.signal);
    }
  }

  /** One go at taking or renewing the lease. */
  async #attempt(): Promise<void> {
    if (this.#isLeader && !this.isWriteAllowed()) {
      this.#lose('it was not renewed in time');
      return;
    }
    const stored = await this.#store.read({ timeoutMs: CALL_TIMEOUT_MS });
    if (this.#isStopped) return;
    this.#observe(stored?.record);
    const holder = stored?.record.holderIdentity ?? '';
    if (holder !== '' && holder !== this.#identity) {
      if (this.#isLeader) {
        this.#lose(`${holder} took it over`);
        return;
      }
      if (!this.#hasRunOut(stored?.record)) return;
    }
    const sentMs = this.#clock.monotonicMs();
    const written = await this.#store.write(this.#nextRecord(stored?.record), stored?.version, {
      timeoutMs: CALL_TIMEOUT_MS,
    });
    if (written === 'conflict') {
      // Somebody wrote in between. Whether it was another leader, the next read says.
      this.#log.info({ isLeader: this.#isLeader }, 'leader lease was written by another');
      return;
    }
    // Kept even when stopped meanwhile: release() then gives it up.
    this.#held = written;
    this.#observe(written.record);
    if (!this.#isStopped) this.#renewed(sentMs);
  }

  #renewed(sentMs: number): void {
    this.#lastRenewMs = sentMs;
    this.#deadline?.cancel();
    const leftMs = sentMs + RENEW_DEADLINE_MS - this.#clock.monotonicMs();
    // Independent of any call under way, which could take longer.
    this.#deadline = this.#clock.after(leftMs, () => this.#lose('it was not renewed in time'));
    if (this.#isLeader) return;
    this.#setLeader(true);
    this.#log.info({ identity: this.#identity }, 'became leader');
    this.#resolveAcquired(true);
  }

  #nextRecord(current: LeaseRecord | undefined): LeaseRecord {
    const now = microTime(this.#clock.nowMs());
    const isOurs = current?.holderIdentity === this.#identity;
    return {
      holderIdentity: this.#identity,
      leaseDurationSeconds: LEASE_DURATION_MS / 1000,
      acquireTime: isOurs ? current.acquireTime : now,
      renewTime: now,
      leaseTransitions: current ? current.leaseTransitions + (isOurs ? 0 : 1) : 0,
    };
  }

  #observe(record: LeaseRecord | undefined): void {
    const content = JSON.stringify(record) ?? '';
    if (content === this.#observed) return;
    this.#observed = content;
    this.#observedMs = this.#clock.monotonicMs();
  }

  #hasRunOut(record: LeaseRecord | undefined): boolean {
    const durationMs =
      record && record.leaseDurationSeconds > 0 ? record.leaseDurationSeconds * 1000 : LEASE_DURATION_MS;
    return this.#clock.monotonicMs() >= this.#observedMs + durationMs;
  }

  #lose(why: string): void {
    if (!this.#isLeader || this.#isStopped) return;
    this.#stop();
    this.#held = undefined;
    this.#setLeader(false);
    this.#log.error({ why }, 'leadership lost');
    this.#resolveEnded({ kind: 'lost', why });
  }

  /** No further attempt, and no loss any more. While release() waits, the lease stays good for the time it has left. */
  #stop(): void {
    this.#stopping.abort();
    this.#deadline?.cancel();
  }

  #setLeader(isLeader: boolean): void {
    this.#isLeader = isLeader;
    this.#gauge?.set({ name: this.#name }, isLeader ? 1 : 0);
  }
}

function masterStatusGauge(registry: Registry): Gauge<'name'> {
  return new Gauge({
    name: 'leader_election_master_status',
    help: '1 on the replica that holds the leader lease, 0 on the others.',
    labelNames: ['name'],
    registers: [registry],
  });
}
