import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import { LocalViewerSessions } from '../../packaging/viewer-sessions.ts';
import { GateError } from '../../stream/gate.ts';
import { MemoryGate } from '../testing/memory-gate.ts';
import { LOG } from '../testing/test-node.ts';
import { Viewers } from './viewers.ts';

const KEY = { vhost: '__defaultVhost__', app: 'live', stream: 's' };

/** Sessions of which a test says who counts them. */
class SharedSessions extends LocalViewerSessions {
  readonly claims: string[] = [];
  readonly released: string[] = [];
  isOurs = true;
  override claim(id?: string): Promise<boolean> {
    this.claims.push(id ?? '');
    return Promise.resolve(this.isOurs);
  }
  override release(id?: string): void {
    this.released.push(id ?? '');
  }
}

/** A request on a connection from an address; as much of it as viewers look at. */
function requestFrom(ip = '192.0.2.1', socket = { remoteAddress: ip } as Socket): HttpRequest {
  const raw = { socket, headers: { host: 'h:8080', referer: 'https://a.example/' } };
  return { ip, host: 'h', search: '?token=x', raw } as unknown as HttpRequest;
}

function made() {
  const clock = { ms: 1_000_000 };
  const gate = new MemoryGate();
  const sessions = new SharedSessions();
  const viewers = new Viewers({ gate, sessions, log: LOG, now: () => clock.ms, maxVisits: 3 });
  open.push(viewers);
  const enter = (id: string, request = requestFrom(), token?: string): void | Promise<void> =>
    viewers.enter({ id, protocol: 'hls', key: KEY, request, keepMs: 6_000, ...(token !== undefined && { token }) });
  const counted = (): number => gate.registry.get(KEY)?.stats().viewers.hls ?? 0;
  return { clock, gate, sessions, viewers, enter, counted };
}
const open: Viewers[] = [];
afterEach(() => {
  for (const viewers of open.splice(0)) viewers.close('the test is over');
});

test('a viewer passes the gate once, with what it said of itself', async () => {
  const { gate, enter, counted, viewers } = made();
  await Promise.all([enter('a'), enter('a')]);
  assert.equal(enter('a'), undefined, 'a known viewer waits for nothing');
  assert.equal(counted(), 1);
  assert.deepEqual(
    gate.asked.map(({ session }) => session),
    [
      {
        id: 'a',
        protocol: 'hls',
        ip: '192.0.2.1',
        tcUrl: 'http://h:8080/live',
        pageUrl: 'https://a.example/',
        param: '?token=x',
      },
    ],
  );
  viewers.close('again');
  viewers.close('and again');
  assert.equal(counted(), 0);
});

test('a viewer that another node counts is served and not counted, until that node has it no more', async () => {
  const { clock, sessions, enter, counted, viewers } = made();
  sessions.isOurs = false;
  await enter('a');
  assert.deepEqual([counted(), [...viewers.visitors()].length], [0, 0]);
  clock.ms += 1_000;
  await enter('a');
  assert.equal(sessions.claims.length, 1, 'not asked with each request');
  sessions.isOurs = true;
  clock.ms += 2_000;
  await enter('a');
  await settled();
  assert.deepEqual([sessions.claims.length, counted()], [2, 1]);
  sessions.isOurs = false;
  clock.ms += 2_000;
  await enter('a');
  await settled();
  assert.equal(counted(), 0, 'the other way as well');
  assert.deepEqual(sessions.released, []);
  clock.ms += 7_000;
  viewers.sweep();
  assert.deepEqual(sessions.released, ['a']);
});

test('who is refused is not kept, and both requests that wait hear of it', async () => {
  const { gate, enter, counted } = made();
  gate.refusal = new GateError('limit', 'full');
  const answers = await Promise.allSettled([enter('a'), enter('a')]);
  for (const answer of answers) {
    assert.ok(answer.status === 'rejected' && answer.reason instanceof HttpError && answer.reason.status === 503);
  }
  gate.refusal = undefined;
  await enter('a');
  assert.equal(counted(), 1);
});

test('a viewer that is ended while it is let in is never counted', async () => {
  const { gate, sessions, enter, counted, viewers } = made();
  const { promise, resolve } = Promise.withResolvers<void>();
  gate.delay = promise;
  const entering = enter('a');
  sessions.end('a', 60_000);
  resolve();
  await entering;
  assert.deepEqual([counted(), [...viewers.visitors()].length], [0, 0]);
  assert.throws(() => enter('a'), { status: 403 });
});

test('ended elsewhere, a viewer leaves here; ended here, it is everywhere', async () => {
  const { sessions, enter, counted, viewers } = made();
  await Promise.all([enter('a'), enter('b')]);
  sessions.end('a', 60_000);
  assert.equal(counted(), 1);
  [...viewers.visitors()][0]?.close('by the API');
  assert.deepEqual([counted(), sessions.isEnded('b')], [0, true]);
});

test('the table has an end', async () => {
  const { clock, enter, viewers } = made();
  for (const id of ['a', 'b', 'c']) await enter(id);
  assert.throws(() => enter('d'), { status: 503, retryAfterS: 1 });
  clock.ms += 6_001;
  viewers.sweep();
  await enter('d');
});

test('bytes go to the viewer of the connection, of the address, of the stream, in this order', async () => {
  const { enter, viewers, gate, clock } = made();
  const [one, other, third] = [requestFrom(), requestFrom(), requestFrom('192.0.2.3')];
  viewers.sent(one.raw.socket, KEY, 1);
  assert.equal(viewers.sentToNobody, 1);
  await enter('a', one);
  await enter('b', other);
  viewers.sent(one.raw.socket, KEY, 10);
  viewers.sent(other.raw.socket, KEY, 100);
  viewers.sent(requestFrom().raw.socket, KEY, 1_000);
  viewers.sent(third.raw.socket, KEY, 10_000);
  viewers.sent(one.raw.socket, { ...KEY, stream: 't' }, 100_000);
  assert.deepEqual(
    [...viewers.visitors()].map(({ id, bytesOut }) => [id, bytesOut]),
    [
      ['a', 10],
      ['b', 1_100],
    ],
  );
  assert.equal(gate.registry.get(KEY)?.stats().bytesOut, 11_110);
  assert.equal(viewers.sentToNobody, 100_001);
  clock.ms += 7_000;
  viewers.sweep();
  viewers.sent(one.raw.socket, KEY, 1);
  assert.equal(viewers.sentToNobody, 100_002);
});

test('a context is known as long as its viewer is here, for its stream alone', async () => {
  const { clock, enter, viewers } = made();
  await enter('a', requestFrom(), 'token');
  assert.equal(viewers.idOf('token', { ...KEY }), 'a');
  assert.equal(viewers.idOf('token', { ...KEY, stream: 't' }), undefined);
  assert.equal(viewers.idOf('other', KEY), undefined);
  clock.ms += 7_000;
  viewers.sweep();
  assert.equal(viewers.idOf('token', KEY), undefined);
});

/** Claims that nobody waits for are answered in a few turns. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}
