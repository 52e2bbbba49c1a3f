/*
 * What nodes of a cluster keep together besides the directory: where a playlist goes on, and which node counts which viewer
 * without a connection. The rules are in shared-ledger.ts and shared-sessions.ts, once for every store. Each call rejects with
 * DirectoryError `away` when the store is out of reach or doesn't answer in time.
 */

/** How to go on with a stream's playlist, kept for a while. */
export interface SavedState {
  /** Of encodeStreamField. */
  readonly field: string;
  readonly state: string;
  readonly keepMs: number;
}

/** A viewer without a connection, and how long what is said of it holds. */
export interface SessionTime {
  readonly id: string;
  /** From now on. */
  readonly keepMs: number;
}

/** What a store tells its SharedState; must not throw. */
export interface SharedStoreListener {
  /** A connection is there, or messages are heard from now on. May come repeatedly. */
  onConnected(): void;
  /** Sessions were ended, here or elsewhere. */
  onEnded(sessions: readonly SessionTime[]): void;
  /** Something in the store made no sense and was ignored. */
  onMalformed(where: string): void;
}

/** Entries in one call at most. */
export const MAX_BATCH = 500;
/** Ended sessions that a store keeps at most; past it those go that would be forgotten first. */
export const MAX_ENDED = 100_000;

/** The place itself: memory (memory-shared-store.ts) or Redis (redis-shared-store.ts). */
export interface SharedStore {
  /** Begins to connect; goes on trying until close. Called once. */
  start(listener: SharedStoreListener): void;
  saveStates(states: readonly SavedState[]): Promise<void>;
  loadState(field: string): Promise<string | undefined>;
  /** For each whether the node counts it for that time: nobody else does. */
  claimSessions(nodeId: string, sessions: readonly SessionTime[]): Promise<readonly boolean[]>;
  /** Gives up those that the node counts. */
  releaseSessions(nodeId: string, ids: readonly string[]): Promise<void>;
  /** Refuses them everywhere for that time, and tells every node. */
  endSessions(sessions: readonly SessionTime[]): Promise<void>;
  /** Those that are refused now, with the time that is left. */
  endedSessions(): Promise<readonly SessionTime[]>;
  /** Ends the connections; idempotent. Calls in progress reject. */
  close(): void;
}
