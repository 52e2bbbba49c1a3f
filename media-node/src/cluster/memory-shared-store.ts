import { DirectoryError } from './directory.ts';
import type { SavedState, SessionTime, SharedStore, SharedStoreListener } from './shared-store.ts';

/** What the nodes of one process share, for `make run` and tests. Faults can be put in. */
export class MemorySharedBackend {
  readonly now: () => number;
  readonly states = new Map<string, { readonly state: string; readonly untilMs: number }>();
  readonly holders = new Map<string, { readonly nodeId: string; readonly untilMs: number }>();
  readonly ended = new Map<string, number>();
  readonly #stores = new Set<MemorySharedStore>();
  #isAway = false;

  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  /** Fault: out of reach for every node, as a stopped Redis is. */
  setAway(isAway: boolean): void {
    const wasAway = this.#isAway;
    this.#isAway = isAway;
    if (wasAway && !isAway) for (const store of this.#stores) store.connected();
  }

  join(store: MemorySharedStore): void {
    this.#stores.add(store);
  }

  part(store: MemorySharedStore): void {
    this.#stores.delete(store);
  }

  tell(sessions: readonly SessionTime[]): void {
    for (const store of this.#stores) store.told(sessions);
  }

  /** Forgets what is over. */
  sweep(): void {
    const nowMs = this.now();
    for (const [field, { untilMs }] of this.states) if (untilMs <= nowMs) this.states.delete(field);
    for (const [id, { untilMs }] of this.holders) if (untilMs <= nowMs) this.holders.delete(id);
    for (const [id, untilMs] of this.ended) if (untilMs <= nowMs) this.ended.delete(id);
  }
}

/** One node's connection to a backend. */
export class MemorySharedStore implements SharedStore {
  readonly #backend: MemorySharedBackend;
  #listener: SharedStoreListener | undefined;
  #isClosed = false;

  constructor(backend: MemorySharedBackend) {
    this.#backend = backend;
  }

  start(listener: SharedStoreListener): void {
    this.#listener = listener;
    this.#backend.join(this);
    this.connected();
  }

  connected(): void {
    queueMicrotask(() => {
      if (!this.#isClosed && !this.#backend.isAway) this.#listener?.onConnected();
    });
  }

  told(sessions: readonly SessionTime[]): void {
    // As over a wire: never within the step that caused it.
    queueMicrotask(() => {
      if (!this.#isClosed) this.#listener?.onEnded(sessions);
    });
  }

  saveStates(states: readonly SavedState[]): Promise<void> {
    return this.#step((nowMs) => {
      for (const { field, state, keepMs } of states)
        this.#backend.states.set(field, { state, untilMs: nowMs + keepMs });
    });
  }

  loadState(field: string): Promise<string | undefined> {
    return this.#step(() => this.#backend.states.get(field)?.state);
  }

  claimSessions(nodeId: string, sessions: readonly SessionTime[]): Promise<readonly boolean[]> {
    return this.#step((nowMs) =>
      sessions.map(({ id, keepMs }) => {
        const holder = this.#backend.holders.get(id);
        if (holder !== undefined && holder.nodeId !== nodeId) return false;
        this.#backend.holders.set(id, { nodeId, untilMs: nowMs + keepMs });
        return true;
      }),
    );
  }

  releaseSessions(nodeId: string, ids: readonly string[]): Promise<void> {
    return this.#step(() => {
      for (const id of ids) if (this.#backend.holders.get(id)?.nodeId === nodeId) this.#backend.holders.delete(id);
    });
  }

  endSessions(sessions: readonly SessionTime[]): Promise<void> {
    return this.#step((nowMs) => {
      for (const { id, keepMs } of sessions) this.#backend.ended.set(id, nowMs + keepMs);
      this.#backend.tell(sessions);
    });
  }

  endedSessions(): Promise<readonly SessionTime[]> {
    return this.#step((nowMs) => [...this.#backend.ended].map(([id, untilMs]) => ({ id, keepMs: untilMs - nowMs })));
  }

  close(): void {
    this.#isClosed = true;
    this.#backend.part(this);
  }

  async #step<T>(work: (nowMs: number) => T): Promise<T> {
    if (this.#isClosed) throw new DirectoryError('closed', 'the shared store is closed');
    if (this.#backend.isAway) throw new DirectoryError('away', 'the shared store is out of reach');
    this.#backend.sweep();
    const result = work(this.#backend.now());
    // An answer takes a turn, as any other does.
    await Promise.resolve();
    return result;
  }
}
