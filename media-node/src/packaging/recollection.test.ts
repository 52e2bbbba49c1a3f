import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { MemoryLedger } from './memory-ledger.ts';
import type { LedgerAnswer, PackagingLedger } from './packaged-stream.ts';
import { Recollection } from './recollection.ts';
import { KEY, stateText } from './testing-node.ts';

const text = (seq: number, nodeId = 'node-1', isLowLatency = false): string => stateText({ seq, nodeId, isLowLatency });

/** A ledger and witnesses that a test lets answer, and what came of asking them. */
class Asked {
  readonly recollection: Recollection;
  isWhole = false;
  signal: AbortSignal | undefined;
  readonly #ledger = Promise.withResolvers<LedgerAnswer>();
  readonly #witnesses = Promise.withResolvers<boolean>();
  #onState: (text: string) => void = () => {};

  constructor() {
    const ledger: PackagingLedger = { save: () => {}, load: () => this.#ledger.promise };
    this.recollection = new Recollection(KEY, ledger, {
      ask: (_, signal, onState) => {
        this.signal = signal;
        this.#onState = onState;
        return this.#witnesses.promise;
      },
    });
    void this.recollection.whole.then(() => (this.isWhole = true));
  }

  ledger(answer: LedgerAnswer): Promise<void> {
    this.#ledger.resolve(answer);
    return settled();
  }

  seen(state: string): Promise<void> {
    this.#onState(state);
    return settled();
  }

  witnesses(isWhole = true): Promise<void> {
    this.#witnesses.resolve(isWhole);
    return settled();
  }

  get seq(): number | string {
    const { soFar } = this.recollection;
    return soFar.kind === 'found' ? soFar.state.seq : soFar.kind;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const clock = (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  return async (ms: number): Promise<void> => {
    t.mock.timers.tick(ms);
    await settled();
    await settled();
  };
};

test('the furthest that anybody knows counts, and of equals what the ledger says', async () => {
  const asked = new Asked();
  await asked.ledger({ kind: 'found', state: text(7) });
  assert.equal(asked.isWhole, false, 'somebody may know more');
  await asked.seen(text(5, 'node-0'));
  await asked.seen(text(9, 'node-2'));
  await asked.seen('{"seq": "x"}');
  await asked.witnesses();
  assert.deepEqual([asked.isWhole, asked.seq], [true, 9]);
  const equal = new Asked();
  await equal.seen(text(6, 'seen', true));
  await equal.seen(text(7, 'seen'));
  await equal.ledger({ kind: 'found', state: text(7, 'saved') });
  const { soFar } = equal.recollection;
  assert.deepEqual(soFar.kind === 'found' && soFar.state.nodeId, 'saved');
  await equal.seen(text(7, 'more', true));
  const { soFar: more } = equal.recollection;
  assert.equal(more.kind === 'found' && more.state.nodeId, 'more', 'an open segment takes one number more');
});

test('a node that is silent holds a playlist up for 300 ms when somebody else knows it', async (t) => {
  const pass = clock(t);
  const saved = new Asked();
  await saved.ledger({ kind: 'found', state: text(3) });
  await pass(299);
  assert.equal(saved.isWhole, false);
  await pass(1);
  assert.deepEqual([saved.isWhole, saved.seq, saved.signal?.aborted], [true, 3, true]);
  const seen = new Asked();
  await seen.seen(text(4));
  await pass(300);
  assert.deepEqual([seen.isWhole, seen.seq], [true, 4], 'nor does the ledger');
});

test('where nobody knows anything yet, a state that comes later is waited for', async (t) => {
  const pass = clock(t);
  const asked = new Asked();
  await asked.ledger({ kind: 'none' });
  await pass(700);
  assert.equal(asked.isWhole, false);
  await asked.seen(text(4));
  assert.deepEqual([asked.isWhole, asked.seq], [true, 4]);
});

test('a stream is new when all say so, and maybe not when one of them is silent', async (t) => {
  const pass = clock(t);
  const fresh = new Asked();
  await fresh.ledger({ kind: 'none' });
  await fresh.witnesses();
  assert.deepEqual([fresh.isWhole, fresh.seq], [true, 'none']);
  const unsure = new Asked();
  await unsure.ledger({ kind: 'none' });
  await pass(1_000);
  assert.deepEqual([unsure.isWhole, unsure.seq], [true, 'away']);
  const partly = new Asked();
  await partly.ledger({ kind: 'none' });
  await partly.witnesses(false);
  assert.deepEqual([partly.isWhole, partly.seq], [true, 'away']);
  const broken = new Asked();
  await broken.ledger({ kind: 'found', state: 'nonsense' });
  await broken.witnesses();
  assert.deepEqual([broken.isWhole, broken.seq], [true, 'away']);
  const away = new Asked();
  await away.witnesses();
  await pass(2_999);
  assert.equal(away.isWhole, false);
  await pass(1);
  assert.deepEqual([away.isWhole, away.seq], [true, 'away']);
});

test('a stream was taken by another node when the ledger says so, or somebody who saw it go on', async () => {
  const taken = async (saved: string | undefined, seen: string | undefined): Promise<boolean> => {
    const asked = new Asked();
    if (seen !== undefined) await asked.seen(seen);
    await asked.ledger(saved === undefined ? { kind: 'away' } : { kind: 'found', state: saved });
    await asked.witnesses();
    return asked.recollection.isTakenFrom('node-1', 5);
  };
  assert.equal(await taken(text(5), undefined), false);
  assert.equal(await taken(text(5), text(5)), false);
  assert.equal(await taken(text(4, 'node-2'), undefined), true);
  assert.equal(await taken(undefined, text(5, 'node-2')), true);
  assert.equal(await taken(undefined, text(4, 'node-0')), false, 'it was before');
});

test('without other nodes the ledger is all that is asked', async () => {
  const ledger = new MemoryLedger();
  const recollection = new Recollection(KEY, ledger, undefined);
  await recollection.whole;
  assert.equal(recollection.soFar.kind, 'none');
});
