import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { SharedLedger } from './shared-ledger.ts';
import { SharedSessions } from './shared-sessions.ts';
import type { SharedStore } from './shared-store.ts';

export interface SharedStateOptions {
  readonly nodeId: string;
  readonly logger: Logger;
}

const START_WAIT_MS = 2_000;
const CLOSE_WAIT_MS = 1_000;

/** What a node shares with the others besides the directory. */
export class SharedState {
  readonly ledger: SharedLedger;
  readonly sessions: SharedSessions;
  readonly #store: SharedStore;
  readonly #log: Logger;
  #closing: Promise<void> | undefined;

  constructor(store: SharedStore, options: SharedStateOptions) {
    this.#store = store;
    this.#log = options.logger.child({ component: 'shared-state' });
    this.ledger = new SharedLedger(store);
    this.sessions = new SharedSessions(store, options.nodeId);
  }

  /** Calls to the store that failed, since the start. */
  get failures(): number {
    return this.ledger.counts.failed + this.sessions.counts.failed;
  }

  /** Begins to connect, and goes on trying; resolves when the store answers, or after a while without. Called once. */
  async start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#store.start({
      onConnected: () => {
        this.ledger.connected();
        void this.#learn(resolve);
      },
      onEnded: (sessions) => this.sessions.ended(sessions),
      onMalformed: (where) => this.#log.warn({ where }, 'the shared store holds what makes no sense'),
    });
    await Promise.race([promise, delay(START_WAIT_MS, undefined, { ref: false })]);
  }

  async #learn(onAnswer: () => void): Promise<void> {
    if (await this.sessions.connected()) onAnswer();
  }

  /** Tells the store what is left to tell, for at most a second, and ends; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const settled = Promise.all([this.ledger.settled(), this.sessions.settled()]);
    await Promise.race([settled, delay(CLOSE_WAIT_MS, undefined, { ref: false })]);
    this.ledger.close();
    this.sessions.close();
    this.#store.close();
  }
}
