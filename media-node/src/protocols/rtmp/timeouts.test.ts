import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { until } from '#contract/testing/until.ts';
import { RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { TlsIdentity } from '../../lib/tls-identity.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { AVC_FRAME, RtmpPeer } from '../testing/rtmp-peer.ts';
import { startTestNode } from '../testing/test-node.ts';
import { RtmpServer } from './server.ts';

const HOST = '127.0.0.1';
const limit = new ConnectionLimit(100);
const lines: string[] = [];
let rtmp: RtmpServer;
/** Those who ask for nothing are given more time than it takes to connect and play, on a busy machine too. */
let patient: RtmpServer;
let rtmps: RtmpServer;
let port: number;
let patientPort: number;
let tlsPort: number;

before(async () => {
  const tls = new TlsIdentity();
  tls.set([makeCertificate('a.example')]);
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const shared = { gate: new MemoryGate(), limit, log, timeouts: { setupMs: 200, idleMs: 200 } };
  rtmp = new RtmpServer(shared);
  patient = new RtmpServer({ ...shared, timeouts: { setupMs: 1_000, idleMs: 1_000 } });
  rtmps = new RtmpServer({ ...shared, tls });
  [port, patientPort, tlsPort] = await Promise.all([
    rtmp.listen(0, HOST),
    patient.listen(0, HOST),
    rtmps.listen(0, HOST),
  ]);
});
after(() => {
  rtmp.close('the test is over');
  patient.close('the test is over');
  rtmps.close('the test is over');
});

/** Connects, does what is given again and again, and waits until the node has closed. */
async function closedWhile(to: number, act: (socket: Socket) => void, everyMs: number): Promise<void> {
  const socket = connect(to, HOST);
  socket.on('error', () => undefined);
  const timer = setInterval(() => act(socket), everyMs);
  await new Promise((resolve) => socket.once('close', resolve).resume());
  clearInterval(timer);
}
const timeouts = (server: RtmpServer) => server.stats().ends.get('timeout') ?? 0;

const STALLS: readonly [what: string, first: Buffer, drip: Buffer][] = [
  ['sends nothing', Buffer.alloc(0), Buffer.alloc(0)],
  ['stops within its handshake', Buffer.concat([Buffer.of(3), Buffer.alloc(700)]), Buffer.alloc(0)],
  ['stops after C1', Buffer.concat([Buffer.of(3), Buffer.alloc(1_536)]), Buffer.alloc(0)],
  ['sends its handshake a byte at a time', Buffer.of(3), Buffer.alloc(1)],
];
for (const [what, first, drip] of STALLS) {
  test(`a client that ${what} is ended in time, and its place comes back`, async () => {
    const before = timeouts(rtmp);
    let isFirst = true;
    const act = (socket: Socket) => {
      socket.write(isFirst ? first : drip);
      isFirst = false;
    };
    await closedWhile(port, act, 20);
    assert.equal(timeouts(rtmp), before + 1);
    await until('the place', () => limit.used === 0);
    assert.match(lines.at(-1) ?? '', /did not finish its handshake and connect in time/);
  });
}

test('a client that shakes hands and never connects is ended in time', async () => {
  const before = timeouts(patient);
  const peer = await RtmpPeer.open(patientPort);
  await peer.closed();
  assert.equal(timeouts(patient), before + 1);
});

test('one that connects and asks for nothing is ended in time, and so is one whose play has ended', async () => {
  const before = timeouts(patient);
  const idle = await RtmpPeer.connected(patientPort);
  await idle.closed();
  const played = await RtmpPeer.connected(patientPort);
  await played.play('a');
  played.call('closeStream', null);
  await played.closed();
  assert.equal(timeouts(patient), before + 2);
  assert.match(lines.at(-1) ?? '', /asked for no stream in time/);
});

test('a viewer may wait for its stream as long as it likes', async () => {
  const before = timeouts(patient);
  const viewer = await RtmpPeer.connected(patientPort);
  await viewer.play('nobody-publishes');
  const idle = await RtmpPeer.connected(patientPort);
  await idle.closed();
  assert.equal(viewer.isClosed, false);
  assert.equal(timeouts(patient), before + 1);
  viewer.close();
});

test('a client that stops within TLS’s handshake is ended in time', async () => {
  const hello = Buffer.concat([Buffer.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), Buffer.alloc(20)]);
  for (const first of [Buffer.alloc(0), hello]) {
    const before = timeouts(rtmps);
    let isFirst = true;
    const act = (socket: Socket) => {
      if (isFirst) socket.write(first);
      isFirst = false;
    };
    await closedWhile(tlsPort, act, 20);
    assert.equal(timeouts(rtmps), before + 1);
    await until('the place', () => limit.used === 0);
  }
});

test('what came while the node itself stood still is read before an encoder is called silent', async (t) => {
  const publish = { takeover: 'Reject', firstPacketTimeoutMs: 300, idleTimeoutMs: 300, graceMs: 0 } as const;
  const node = await startTestNode(new MemoryGate([vhostOf('v', ['__defaultVhost__'], { publish })]));
  t.after(() => node.close());
  const streamOf = () => node.gate.registry.get({ vhost: 'v', app: 'live', stream: 's' });
  const viewer = await RtmpPeer.connected(node.rtmpPort);
  await viewer.play('s');
  const encoder = await RtmpPeer.connected(node.rtmpPort);
  await encoder.publish('s');
  encoder.sendMedia(0);
  await until('the first frame', () => (streamOf()?.stats().framesIn ?? 0) > 0);
  await nextTurn();
  // The bytes are in the kernel; a process that was stopped, or had no CPU, finds them there with its timers run out.
  encoder.send(RTMP_VIDEO, AVC_FRAME, 40);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700);
  await until('the frame of that time', () => (streamOf()?.stats().framesIn ?? 0) > 1);
  assert.equal(node.rtmp.stats().ends.get('timeout'), undefined);
  await encoder.closed();
  assert.equal(node.rtmp.stats().ends.get('timeout'), 1, 'one that is silent is ended all the same');
  viewer.close();
});
