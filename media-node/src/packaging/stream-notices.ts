import { MOST_NOTICES } from '#contract/admin-api.ts';
import type { StreamNotice } from '#contract/admin-api.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamKey } from '../stream/stream-key.ts';

/** A notice is listed for so long after it was last true: the operator looks every few seconds, a new one after its start. */
const KEPT_MS = 600_000;

/** What is wrong with streams, for the operator to tell: one notice a stream, code and codec, the newest MOST_NOTICES. */
export class StreamNotices {
  /** Oldest first. */
  readonly #notices = new Map<string, StreamNotice>();
  readonly #now: () => number;

  /** `now`: milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  tell(key: StreamKey, code: string, detail: StreamNotice['detail'], codec?: string): void {
    const id = `${code}/${codec ?? ''}/${streamKeyId(key)}`;
    const { vhost, app, stream } = key;
    this.#notices.delete(id);
    this.#notices.set(id, {
      vhost,
      app,
      stream,
      code,
      detail,
      ...(codec !== undefined && { codec }),
      atMs: this.#now(),
    });
    if (this.#notices.size <= MOST_NOTICES) return;
    const [oldest] = this.#notices.keys();
    if (oldest !== undefined) this.#notices.delete(oldest);
  }

  /** Newest last. */
  list(): StreamNotice[] {
    const since = this.#now() - KEPT_MS;
    for (const [id, { atMs }] of this.#notices) if (atMs < since) this.#notices.delete(id);
    return [...this.#notices.values()];
  }
}
