import type { Gate, Publication, SessionInfo, Viewing } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';

/** Entries at most; above what a node may have of connections. */
const MAX_ENTRIES = 200_000;

/**
 * Keeps what sessions said of themselves when they asked to publish or play, for the API: the hub needs none of it. The
 * outermost gate. An entry goes when its session does, which `sweep` is told.
 */
export class SessionLedger implements Gate {
  readonly #inner: Gate;
  /** By session id; `true` once the session was not found in a sweep. */
  readonly #entries = new Map<string, { readonly info: SessionInfo; isMissing: boolean }>();

  constructor(inner: Gate) {
    this.#inner = inner;
  }

  /** Sessions known now. */
  get size(): number {
    return this.#entries.size;
  }

  publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    this.#enter(session);
    return this.#inner.publish(key, session, onRevoked);
  }

  play(key: StreamKey, session: SessionInfo): Promise<Viewing> {
    this.#enter(session);
    return this.#inner.play(key, session);
  }

  vhost(host: string): ReturnType<Gate['vhost']> {
    return this.#inner.vhost(host);
  }

  /** What a session said of itself; undefined for what never came by here, such as this node's own relays. */
  get(id: string): SessionInfo | undefined {
    return this.#entries.get(id)?.info;
  }

  /** Forgets those that are not in `present` for the second time: one that asks now has not begun yet. */
  sweep(present: ReadonlySet<string>): void {
    for (const [id, entry] of this.#entries) {
      if (present.has(id)) entry.isMissing = false;
      else if (entry.isMissing) this.#entries.delete(id);
      else entry.isMissing = true;
    }
  }

  #enter(info: SessionInfo): void {
    if (this.#entries.size < MAX_ENTRIES) this.#entries.set(info.id, { info, isMissing: false });
  }
}
