import type { SessionInfo } from '../stream/gate.ts';
import type { Stream } from '../stream/stream.ts';

/*
 * Viewers of segments have no connection, and each of their requests may reach another node. What names such a viewer is its
 * session id, which the signed context in its playlist's address holds; what the nodes of a cluster must agree on is here.
 */

/** What the nodes of a cluster know of sessions together. */
export interface ViewerSessions {
  /** Whether a session was ended, here or elsewhere. Synchronous: asked with each request for a playlist. */
  isEnded(id: string): boolean;
  /** Ends a session on every node; what it asks from now on is refused, for `keepMs` at least. Idempotent, never throws. */
  end(id: string, keepMs: number): void;
  /** Told of each session that was ended, once, wherever that was done; answers how to stop it (idempotent). */
  onEnded(listener: (id: string) => void): () => void;
  /**
   * Whether this node is the one to count the session, for `keepMs` from now: the first that asks is, until it releases it or
   * has not asked again in time. Asked at a session's first request and again while it goes on. Never rejects; without word of
   * the others the answer is true, so that a viewer is rather counted twice than not at all.
   */
  claim(id: string, keepMs: number): Promise<boolean>;
  /** The session left this node: another one may count it. Idempotent, never throws. */
  release(id: string): void;
}

/** A viewer without a lasting connection that this node counts, as the API lists it. */
export interface Visitor {
  readonly id: string;
  readonly session: SessionInfo;
  readonly stream: Stream;
  readonly startedAtMs: number;
  /** What it was sent, as far as that is known to be its own: playlists, and what came on the same connections. */
  readonly bytesOut: number;
  /** Ends it on every node; idempotent. */
  close(reason: string): void;
}

/** Ended sessions that are remembered at most; past it the oldest is forgotten. */
const MAX_ENDED = 100_000;

/** The sessions of a node that has no others beside it. */
export class LocalViewerSessions implements ViewerSessions {
  /** Id → when it may be forgotten, in the order of their ends. */
  readonly #ended = new Map<string, number>();
  readonly #listeners = new Set<(id: string) => void>();
  readonly #now: () => number;

  /** `now`: milliseconds since 1970; default Date.now. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  isEnded(id: string): boolean {
    const untilMs = this.#ended.get(id);
    if (untilMs === undefined) return false;
    if (untilMs > this.#now()) return true;
    this.#ended.delete(id);
    return false;
  }

  end(id: string, keepMs: number): void {
    const wasEnded = this.isEnded(id);
    this.#ended.delete(id);
    if (this.#ended.size >= MAX_ENDED) {
      const [oldest] = this.#ended.keys();
      if (oldest !== undefined) this.#ended.delete(oldest);
    }
    this.#ended.set(id, this.#now() + keepMs);
    if (wasEnded) return;
    for (const listener of this.#listeners) listener(id);
  }

  onEnded(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  claim(): Promise<boolean> {
    return Promise.resolve(true);
  }

  release(): void {
    // Nobody else could take it.
  }
}
