import type { Logger } from 'pino';
import { z } from 'zod';
import type { ObjectStore } from './object-store.ts';
import { ObjectStoreError } from './object-store.ts';

/** A node writes its journal anew so often while it has uploads. */
const BEAT_MS = 60_000;
/** A journal that is older than this is of a node that is gone. */
const STALE_MS = 10 * 60_000;
/** How often a node looks for such. */
const RESCUE_MS = 3 * 60_000;
/** Journals that one look takes up. */
const MOST_RESCUED = 20;
const MOST_UPLOADS = 10_000;

const Journal = z.object({
  version: z.literal(1),
  uploads: z.array(z.object({ key: z.string().min(1), uploadId: z.string().min(1) })).max(MOST_UPLOADS),
});

export interface UploadJournalOptions {
  readonly store: ObjectStore;
  /** Of all recordings in the bucket. */
  readonly prefix: string;
  /** Names this pod among all that ever write to the bucket. */
  readonly owner: string;
  readonly log: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/**
 * Which uploads a node has begun, as an object in the bucket itself: `<prefix>.livecluster/uploads/<pod>.json`, written again
 * each minute while there are any. When it is not, its node is gone with its disk; another one then completes what was
 * uploaded, which is whole up to its last part. Nobody else's uploads are touched.
 */
export class UploadJournal {
  readonly #options: UploadJournalOptions;
  readonly #folder: string;
  readonly #uploads = new Map<string, string>();
  readonly #timers: NodeJS.Timeout[] = [];
  /** Writes one after the other, so that the last one stays. */
  #writing: Promise<void> = Promise.resolve();
  #isWritten = false;

  constructor(options: UploadJournalOptions) {
    this.#options = options;
    this.#folder = `${options.prefix}.livecluster/uploads/`;
  }

  /** Looks for what other nodes left, now and then. */
  start(): void {
    const every = (ms: number, work: () => Promise<void>) => {
      const timer = setInterval(() => void work().catch(() => undefined), ms);
      timer.unref();
      this.#timers.push(timer);
    };
    every(BEAT_MS, async () => (this.#uploads.size > 0 ? this.#write() : undefined));
    every(RESCUE_MS, () => this.rescue());
    void this.rescue().catch(() => undefined);
  }

  /** To be awaited before the upload's first part. Rejects with ObjectStoreError. */
  add(key: string, uploadId: string): Promise<void> {
    this.#uploads.set(uploadId, key);
    return this.#write();
  }

  /** It is completed or gone. Never rejects: the next write tells. */
  async remove(uploadId: string): Promise<void> {
    if (this.#uploads.delete(uploadId)) await this.#write().catch(() => undefined);
  }

  /** Completes the uploads of nodes that are gone. Rejects with ObjectStoreError when the bucket can't be read. */
  async rescue(): Promise<void> {
    const { store, owner, log, now = Date.now } = this.#options;
    const journals = await store.list(this.#folder);
    // Its own may be of a process before this one, in the same pod.
    const own = this.#uploads.size > 0 ? this.#keyOf(owner) : undefined;
    const stale = journals.filter(({ key, modifiedMs }) => key !== own && now() - modifiedMs > STALE_MS);
    for (const { key } of stale.slice(0, MOST_RESCUED)) {
      try {
        await this.#rescue(key);
      } catch (error) {
        log.warn(
          { journal: key, fault: (error as Error).message },
          'uploads of a node that is gone cannot be completed yet',
        );
      }
    }
  }

  /** Idempotent. The journal stays while it has uploads. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#writing.catch(() => undefined);
  }

  async #rescue(journalKey: string): Promise<void> {
    const { store, prefix, log } = this.#options;
    const text = await store.get(journalKey);
    if (text === undefined) return;
    for (const { key, uploadId } of readJournal(text)) {
      if (!key.startsWith(prefix)) continue;
      try {
        const parts = await store.listParts(key, uploadId);
        if (parts.length === 0) await store.abortUpload(key, uploadId);
        else await store.completeUpload(key, uploadId, parts);
        log.info(
          { key, parts: parts.length },
          'the recording of a node that is gone was completed with what it had uploaded',
        );
      } catch (error) {
        // Completed, by its node or by another one that looked.
        if (!(error instanceof ObjectStoreError && error.code === 'gone')) throw error;
      }
    }
    await store.delete(journalKey);
  }

  #write(): Promise<void> {
    const { store, owner } = this.#options;
    const before = this.#writing;
    const write = (async () => {
      await before.catch(() => undefined);
      const uploads = [...this.#uploads].map(([uploadId, key]) => ({ key, uploadId }));
      if (uploads.length > 0) {
        const text = JSON.stringify({ version: 1, uploads: uploads.slice(0, MOST_UPLOADS) });
        await store.put(this.#keyOf(owner), Buffer.from(text), 'application/json');
        this.#isWritten = true;
      } else if (this.#isWritten) {
        await store.delete(this.#keyOf(owner));
        this.#isWritten = false;
      }
    })();
    this.#writing = write;
    return write;
  }

  #keyOf(owner: string): string {
    return `${this.#folder}${owner}.json`;
  }
}

/** What makes no sense names no upload. */
function readJournal(text: Buffer): z.infer<typeof Journal>['uploads'] {
  try {
    return Journal.parse(JSON.parse(text.toString('utf8'))).uploads;
  } catch {
    return [];
  }
}
