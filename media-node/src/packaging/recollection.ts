import type { StreamKey } from '../stream/stream-key.ts';
import type { LedgerHead, LedgerState } from './ledger-state.ts';
import { nextSeq, parseLedgerHead, parseLedgerState } from './ledger-state.ts';
import type { LedgerAnswer, PackagingLedger, PackagingWitnesses } from './packaged-stream.ts';

/** What is known by then is enough: frames wait meanwhile, and a silent node must not hold the playlist up. */
const ENOUGH_MS = 300;
/** Where nobody knows anything yet, witnesses are waited for so long, and the ledger so long: then it counts as away. */
const WITNESSES_MS = 1_000;
const LEDGER_MS = 3_000;

/**
 * `none`: everybody was asked, and nobody knows the stream; `away`: somebody who did not answer might. `isForgotten`: the ledger
 * alone remembers it, no node has anything of it any more.
 */
export type Recalled =
  | { readonly kind: 'found'; readonly state: LedgerState; readonly isForgotten: boolean }
  | { readonly kind: 'none' }
  | { readonly kind: 'away' };

/**
 * What is remembered of a stream's last packaging: the ledger's word, and what the other nodes saw, asked at the same time.
 * The ledger may be away, have lost its data, or lack the last word of a node that died. Numbers never go back in a cluster, so
 * the highest is the latest; of equals the ledger's, which is the node's own word.
 */
export class Recollection {
  /** Resolves when `soFar` is all that is waited for. Never rejects. */
  readonly whole: Promise<void>;
  #ledger: LedgerAnswer | undefined;
  #saved: LedgerState | undefined;
  /** The furthest that a witness told, as a text, and where each has seen it come to. */
  #seen: { readonly nextSeq: number; readonly text: string } | undefined;
  readonly #heads: LedgerHead[] = [];
  /** Undefined while they are asked; then whether all have answered. */
  #areWitnessesHeard: boolean | undefined;
  readonly #hasWitnesses: boolean;
  #isEnough = false;
  readonly #asking = new AbortController();
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #resolve: () => void;

  constructor(key: StreamKey, ledger: PackagingLedger, witnesses: PackagingWitnesses | undefined) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.whole = promise;
    this.#resolve = resolve;
    this.#hasWitnesses = witnesses !== undefined;
    this.#timers = [
      after(ENOUGH_MS, () => {
        this.#isEnough = true;
        this.#look();
      }),
      after(WITNESSES_MS, () => this.#heard(false)),
      after(LEDGER_MS, () => this.#told({ kind: 'away' })),
    ];
    void ledger.load(key).then((answer) => this.#told(answer));
    if (witnesses === undefined) this.#heard(true);
    else {
      const { signal } = this.#asking;
      void witnesses.ask(key, signal, (text) => this.#see(text)).then((isWhole) => this.#heard(isWhole));
    }
  }

  /** What came of it until now. */
  get soFar(): Recalled {
    const isSaved = this.#saved !== undefined && nextSeq(this.#saved) >= (this.#seen?.nextSeq ?? 0);
    const state =
      isSaved || this.#seen === undefined ? this.#saved : (parseLedgerState(this.#seen.text) ?? this.#saved);
    const isForgotten = this.#hasWitnesses && this.#areWitnessesHeard === true && this.#seen === undefined;
    if (state !== undefined) return { kind: 'found', state, isForgotten };
    return { kind: this.#ledger?.kind === 'none' && this.#areWitnessesHeard === true ? 'none' : 'away' };
  }

  /** Whether another node goes on with what `nodeId` packaged until its segment `seq`. */
  isTakenFrom(nodeId: string, seq: number): boolean {
    if (this.#saved !== undefined && this.#saved.nodeId !== nodeId) return true;
    return this.#heads.some((head) => head.nodeId !== nodeId && head.seq >= seq);
  }

  /** Asks nobody any more; idempotent. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#asking.abort();
    this.#resolve();
  }

  #told(answer: LedgerAnswer): void {
    if (this.#ledger !== undefined) return;
    this.#ledger = answer;
    if (answer.kind === 'found') this.#saved = parseLedgerState(answer.state);
    this.#look();
  }

  #see(text: string): void {
    const head = parseLedgerHead(text);
    if (head === undefined || this.#asking.signal.aborted) return;
    this.#heads.push(head);
    const next = nextSeq(head);
    if (this.#seen === undefined || next > this.#seen.nextSeq) this.#seen = { nextSeq: next, text };
    this.#look();
  }

  #heard(isWhole: boolean): void {
    this.#areWitnessesHeard ??= isWhole;
    this.#look();
  }

  #look(): void {
    const isKnown = this.#saved !== undefined || this.#seen !== undefined;
    const isWhole = this.#ledger !== undefined && this.#areWitnessesHeard !== undefined;
    if (isWhole || (this.#isEnough && isKnown)) this.end();
  }
}

/** A process that was busy has read nothing for a while: answers that wait in its sockets come first. */
function after(ms: number, then: () => void): NodeJS.Timeout {
  const timer = setTimeout(() => setImmediate(then), ms);
  timer.unref();
  return timer;
}
