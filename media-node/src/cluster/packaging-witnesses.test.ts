import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { parseLedgerState } from '../packaging/ledger-state.ts';
import { PackagingClient } from './packaging-client.ts';
import type { StateReply } from './packaging-client.ts';
import { PeerWitnesses } from './packaging-witnesses.ts';
import type { PeerWitnessesOptions } from './packaging-witnesses.ts';
import type { AdminAddress } from './peer-client.ts';
import { PackagingRig, TOKEN } from './testing/packaging-rig.ts';

const key = { vhost: 'v', app: 'live', stream: 'demo' };
const at = (host: string): AdminAddress => ({ host, adminPort: 8090 });

const rigs: PackagingRig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});

/** Nodes that answer at once, by their host. */
function asked(replies: Readonly<Record<string, StateReply>>, options: Partial<PeerWitnessesOptions> = {}) {
  const questions: string[] = [];
  const witnesses = new PeerWitnesses({
    peer: {
      state: ({ host }) => {
        questions.push(host);
        return Promise.resolve(replies[host] ?? { kind: 'absent' });
      },
    },
    told: () => undefined,
    known: () => Object.keys(replies).map(at),
    own: at('own'),
    ...options,
  });
  const ask = async (signal = new AbortController().signal) => {
    const states: string[] = [];
    const isWhole = await witnesses.ask(key, signal, (text) => states.push(text));
    return { isWhole, states };
  };
  return { questions, ask };
}

test('what nodes package and follow can be asked of them, without a word to the directory', async () => {
  const rig = new PackagingRig();
  rigs.push(rig);
  const [origin, edge, idle] = [await rig.node('origin'), await rig.node('edge'), await rig.node('edge')];
  const packaged = await origin.publish(key);
  for (let seq = 0; seq < 3; seq += 1) packaged.segment();
  const stream = await edge.packagings.find(key);
  await until('the edge follows it', () => stream?.snapshot?.segments.length === 3);
  await origin.crash();
  rig.backend.setAway(true);
  const client = new PackagingClient({ token: () => TOKEN });
  const ask = async ({ adminPort }: { readonly adminPort: number }) =>
    client.state({ host: '127.0.0.1', adminPort }, key, new AbortController().signal);
  const reply = await ask(edge);
  const state = reply.kind === 'found' ? parseLedgerState(reply.text) : undefined;
  assert.deepEqual([state?.nodeId, state?.seq, state?.segments.length], [origin.nodeId, 102, 3]);
  assert.equal((await ask(idle)).kind, 'absent');
  assert.equal((await ask(origin)).kind, 'absent', 'nobody is there');
  const wrong = new PackagingClient({ token: () => 'of another cluster' });
  assert.equal(
    (await wrong.state({ host: '127.0.0.1', adminPort: edge.adminPort }, key, AbortSignal.timeout(5_000))).kind,
    'failed',
  );
  client.close();
  wrong.close();
});

test('everybody is asked once, whether the directory or DNS knows of it, and this node not at all', async () => {
  const found: StateReply = { kind: 'found', text: 'a' };
  const { questions, ask } = asked(
    { own: found, a: found, b: { kind: 'absent' } },
    {
      names: [
        { host: 'edges', adminPort: 8090 },
        { host: 'origins', adminPort: 8090 },
      ],
      resolve: (host) => Promise.resolve(host === 'edges' ? ['a', 'c'] : ['own', 'd']),
    },
  );
  assert.deepEqual(await ask(), { isWhole: true, states: ['a'] });
  assert.deepEqual(questions.toSorted(), ['a', 'b', 'c', 'd']);
});

test('who does not answer is told of, and DNS that fails gives what it gave last', async () => {
  let resolutions = 0;
  let nowMs = 0;
  const { questions, ask } = asked(
    { a: { kind: 'failed' } },
    {
      names: [{ host: 'edges', adminPort: 8090 }],
      resolve: () => {
        resolutions += 1;
        return resolutions > 1 ? Promise.reject(new Error('no such name')) : Promise.resolve(['c']);
      },
      now: () => nowMs,
    },
  );
  assert.equal((await ask()).isWhole, false);
  await ask();
  assert.equal(resolutions, 1);
  nowMs = 60_000;
  questions.length = 0;
  await ask();
  assert.deepEqual([resolutions, questions], [2, ['a', 'c']]);
});

test('a node that is silent holds nobody else up, however many streams begin at once', async () => {
  let silent = 0;
  const over = new AbortController();
  const witnesses = new PeerWitnesses({
    peer: {
      state: async ({ host }, of, signal) => {
        if (host !== 'silent') return { kind: 'found', text: of.stream };
        silent += 1;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return { kind: 'failed' };
      },
    },
    told: () => undefined,
    known: () => ['silent', 'a', 'b'].map(at),
    own: at('own'),
  });
  const states: string[] = [];
  const streams = Array.from({ length: 200 }, (_, index) => `${index}`);
  const asking = streams.map(async (stream) =>
    witnesses.ask({ ...key, stream }, over.signal, (text) => states.push(text)),
  );
  await until('all others have answered', () => states.length === 400);
  assert.deepEqual(new Set(states), new Set(streams));
  assert.ok(silent < 10, `${silent} questions to a silent node`);
  over.abort();
  assert.ok((await Promise.all(asking)).every((isWhole) => !isWhole));
  assert.ok(silent < 10, 'what waited is not asked any more');
});

test('of very many nodes some are asked, and none any more when the time is over', async () => {
  const many = Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => [`n${index}`, { kind: 'absent' } as const]),
  );
  const { questions, ask } = asked(many);
  assert.equal((await ask()).isWhole, false, 'others may know more');
  assert.equal(questions.length, 64);
  questions.length = 0;
  assert.equal((await ask(AbortSignal.abort())).isWhole, false);
  assert.equal(questions.length, 0);
});
