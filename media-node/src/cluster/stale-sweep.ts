import type { Logger } from 'pino';
import type { DirectoryStore, StoreEntry } from './directory-store.ts';

export interface StaleSweepOptions {
  readonly store: DirectoryStore;
  readonly ownNodeId: string;
  /** Between steps. */
  readonly everyMs: number;
  /** How long a node must have been seen without a lease. */
  readonly staleMs: number;
  readonly now: () => number;
  readonly logger: Logger;
  /** A record of this node that it does not know of. */
  readonly isOwnLeftover: (entry: StoreEntry) => boolean;
}

/** Records looked at in a step. */
const PAGE = 100;
/** Dead nodes remembered. */
const MAX_DEAD = 1_000;

/**
 * Deletes records that nobody will ever release: of nodes long without a lease, and own ones left by a claim whose answer
 * got lost. A page a step, each record compared before it goes.
 */
export class StaleSweep {
  readonly #options: StaleSweepOptions;
  /** Node id → when it was first seen without a lease. */
  readonly #deadSinceMs = new Map<string, number>();
  #cursor = '0';
  #lastStepMs: number;
  #running = false;

  constructor(options: StaleSweepOptions) {
    this.#options = options;
    this.#lastStepMs = options.now();
  }

  /** Called with every heartbeat; works when it is time. Failures wait for the next step. */
  step(): void {
    const { everyMs, now } = this.#options;
    if (this.#running || now() - this.#lastStepMs < everyMs) return;
    this.#lastStepMs = now();
    this.#running = true;
    void this.#page()
      .catch(() => {
        this.#cursor = '0';
      })
      .finally(() => {
        this.#running = false;
      });
  }

  async #page(): Promise<void> {
    const { store, staleMs, now, logger, isOwnLeftover, ownNodeId } = this.#options;
    const { cursor, entries } = await store.scan(this.#cursor, PAGE);
    this.#cursor = cursor;
    const others = [...new Set(entries.map(({ record }) => record.nodeId))].filter((id) => id !== ownNodeId);
    const alive = others.length === 0 ? new Set<string>() : await store.alive(others);
    for (const id of others) {
      if (alive.has(id)) this.#deadSinceMs.delete(id);
      else if (!this.#deadSinceMs.has(id)) this.#deadSinceMs.set(id, now());
    }
    for (const oldest of this.#deadSinceMs.keys()) {
      if (this.#deadSinceMs.size <= MAX_DEAD) break;
      this.#deadSinceMs.delete(oldest);
    }
    const stale = entries.filter((entry) => {
      if (isOwnLeftover(entry)) return true;
      const since = this.#deadSinceMs.get(entry.record.nodeId);
      return since !== undefined && now() - since >= staleMs;
    });
    for (const { field, record } of stale) {
      await store.release(record.nodeId, [{ field, epoch: record.epoch }]);
    }
    if (stale.length > 0) logger.info({ records: stale.length }, 'swept records of nodes that are gone');
  }
}
