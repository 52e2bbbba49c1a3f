import type { StreamKey } from '../stream/stream-key.ts';
import { parseLedgerHead } from './ledger-state.ts';
import type { PackagingLedger } from './packaged-stream.ts';
import { numbersTextOf, stateTextOf } from './works.ts';
import type { Works } from './works.ts';

/** The numbers of a stream's segments go on for so long after its last one. */
const KEEP_NUMBERS_MS = 24 * 3_600_000;

/** What one stream's packager leaves in the ledger. */
export class LedgerWriter {
  readonly #key: StreamKey;
  readonly #nodeId: string;
  readonly #ledger: PackagingLedger;
  readonly #now: () => number;
  #savedMs: number | undefined;
  #arePartsSaved = false;

  /** `now`: milliseconds since 1970. */
  constructor(key: StreamKey, nodeId: string, ledger: PackagingLedger, now: () => number) {
    this.#key = key;
    this.#nodeId = nodeId;
    this.#ledger = ledger;
    this.#now = now;
  }

  /** Where a segment is complete, or the list begins. */
  save(works: Works): void {
    this.#arePartsSaved = works.writer.settings.format.partMs !== undefined;
    if (works.lastSeq < 0 && !this.#arePartsSaved) return;
    this.#savedMs = this.#now();
    this.#ledger.save(this.#key, stateTextOf(works, this.#nodeId, this.#savedMs), KEEP_NUMBERS_MS);
  }

  /** Whoever goes on has to know that parts of the open segment are listed. */
  savePart(works: Works): void {
    if (!this.#arePartsSaved) this.save(works);
  }

  /** Nobody came back in time: the list is forgotten, unless somebody has gone on with it. Never rejects. */
  async dispose(works: Works): Promise<void> {
    const savedMs = this.#savedMs;
    if (savedMs === undefined) return;
    const answer = await this.#ledger.load(this.#key);
    const head = answer.kind === 'found' ? parseLedgerHead(answer.state) : undefined;
    if (head?.nodeId !== this.#nodeId || head.atMs !== savedMs) return;
    this.#ledger.save(this.#key, numbersTextOf(works, this.#nodeId, savedMs), KEEP_NUMBERS_MS);
  }
}
