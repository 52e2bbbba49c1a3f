import assert from 'node:assert/strict';
import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { until } from '#contract/testing/until.ts';
import { RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { TlsIdentity } from '../../lib/tls-identity.ts';
import type { Tool } from '../testing/ffmpeg.ts';
import { probePackets, publishTestPicture } from '../testing/ffmpeg.ts';
import { MemoryGate } from '../testing/memory-gate.ts';
import { PeerTool } from '../testing/peer-tools.ts';
import { AVC_FRAME, RtmpPeer } from '../testing/rtmp-peer.ts';
import { RtmpServer } from './server.ts';

const HOST = '127.0.0.1';
const one = makeCertificate('one.example');
const two = makeCertificate('two.example');

let gate: MemoryGate;
let tls: TlsIdentity;
let rtmp: RtmpServer;
let rtmps: RtmpServer;
let port: number;
let plainPort: number;
let lines: Record<string, unknown>[];
const sockets: Socket[] = [];

before(async () => {
  gate = new MemoryGate();
  tls = new TlsIdentity();
  lines = [];
  const log = pino(
    { level: 'info' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const shared = { gate, limit: new ConnectionLimit(100), log };
  rtmp = new RtmpServer(shared);
  rtmps = new RtmpServer({ ...shared, tls });
  [plainPort, port] = await Promise.all([rtmp.listen(0, HOST), rtmps.listen(0, HOST)]);
});
after(() => {
  gate.registry.close('the test is over');
  rtmp.close('the test is over');
  rtmps.close('the test is over');
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

const ended = (server: RtmpServer, code: 'tls' | 'handshake') => server.stats().ends.get(code) ?? 0;
const kept = <S extends Socket>(socket: S): S => {
  sockets.push(socket);
  socket.on('error', () => undefined);
  return socket;
};
const secure = async (options: ConnectionOptions = {}): Promise<TLSSocket> => {
  const socket = kept(connectTls({ port, host: HOST, rejectUnauthorized: false, ...options }));
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return socket;
};
const shown = async (servername?: string): Promise<string> => {
  const socket = await secure(servername === undefined ? {} : { servername });
  return socket.getPeerCertificate().subject.CN as string;
};
/** What a client meets that sends `bytes` at first. */
const closedAfter = async (to: number, bytes: Buffer): Promise<void> => {
  const socket = kept(connectPlain(to, HOST, () => socket.write(bytes)));
  await new Promise((resolve) => socket.once('close', resolve).resume());
};
const said = (pattern: RegExp) =>
  lines.filter((line) => pattern.test(`${line['msg'] as string} ${line['message'] as string}`));
const ends = () => said(/^RTMP connection ended /);

test('without a certificate RTMPS refuses and says why, and RTMP is served', async () => {
  await assert.rejects(secure());
  assert.equal(ended(rtmps, 'tls'), 1);
  assert.equal(said(/no certificate; see the condition CertificatesReady/).length, 1);
  kept((await RtmpPeer.connected(plainPort)).socket);
});

describe('with a certificate', () => {
  before(() => tls.set([one, two]));

  test('a client gets the one for the host that it asks for', async () => {
    assert.equal(await shown('two.example'), 'two.example');
    assert.equal(await shown('else.example'), 'one.example');
    assert.equal(await shown(), 'one.example');
  });

  test('TLS 1.2 is spoken, whatever more a client can; 1.1 is not', async () => {
    // librtmp cannot bear the session tickets of 1.3: see TlsIdentity.
    const socket = await secure();
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    assert.match(socket.getCipher().name, /^ECDHE-.*(GCM|POLY1305)/);
    await assert.rejects(secure({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE+AES:!AESGCM' }), 'no CBC');
    await until('its end', () => ended(rtmps, 'tls') === 2);
    const before = ended(rtmps, 'tls');
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    await assert.rejects(secure(old));
    await until('its end', () => ended(rtmps, 'tls') === before + 1);
    assert.equal(said(/does not speak TLS 1\.2/).length, 1);
  });

  test('who speaks something else ends its own session, with one line and one count', async () => {
    const viewer = await RtmpPeer.connected(port, 'live', {}, await secure());
    const before = ends().length;
    const beginnings = {
      'plain RTMP': Buffer.concat([Buffer.of(3), Buffer.alloc(1_536)]),
      HTTP: Buffer.from('GET /live/a.flv HTTP/1.1\r\nHost: a\r\n\r\n'),
      'bytes without meaning': Buffer.alloc(2_000, 0xff),
      zeros: Buffer.alloc(2_000),
      'a hello that is none': Buffer.concat([Buffer.of(0x16, 3, 1, 0, 4, 1, 0, 0, 0), Buffer.alloc(100, 7)]),
    };
    let count = ended(rtmps, 'tls');
    for (const [what, bytes] of Object.entries(beginnings)) {
      await closedAfter(port, bytes);
      count += 1;
      await until(what, () => ended(rtmps, 'tls') === count);
    }
    assert.equal(ends().length, before + Object.keys(beginnings).length);
    assert.ok(said(/does not speak TLS: this is the port of rtmps/).length >= 3);
    await viewer.play('still-here');
  });

  test('TLS on the port of plain RTMP ends that session with one line that says which port', async () => {
    const before = ends().length;
    await assert.rejects(secure({ port: plainPort }));
    await until('its end', () => ended(rtmp, 'handshake') === 1);
    assert.equal(ends().length, before + 1);
    assert.equal(said(/TLS: use an rtmps port/).length, 1);
  });

  test('another certificate is for those who come, and cuts nobody', async () => {
    const encoder = await RtmpPeer.connected(port, 'live', {}, await secure());
    await encoder.publish('kept');
    encoder.sendMedia();
    const stream = await until('frames', () => {
      const found = gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'kept' });
      return (found?.stats().framesIn ?? 0) > 0 ? found : undefined;
    });
    tls.set([two]);
    assert.equal(await shown('one.example'), 'two.example');
    const before = stream.stats().framesIn;
    encoder.sendMedia(40);
    await until('frames after it', () => stream.stats().framesIn > before);
    assert.equal(encoder.isClosed, false);
  });

  test('a viewer that never reads is skipped with a bound on what waits for it, and costs the others nothing', async () => {
    const encoder = await RtmpPeer.connected(port, 'live', {}, await secure());
    await encoder.publish('large');
    encoder.sendMedia();
    const [reading, stalled] = await Promise.all(
      [1, 2].map(async () => RtmpPeer.connected(port, 'live', {}, await secure())),
    );
    await Promise.all([reading?.play('large'), stalled?.play('large')]);
    stalled?.socket.pause();
    const large = Buffer.concat([AVC_FRAME.subarray(0, 5), Buffer.of(0, 3, 0xd4, 0), Buffer.alloc(251_904, 0x41)]);
    const stream = gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'large' });
    for (let count = 1; count <= 120; count++) {
      encoder.send(RTMP_VIDEO, large, count * 40);
      await until('the frame', () => reading?.media().at(-1)?.timestampMs === count * 40);
      reading?.messages.splice(0, reading.messages.length - 1);
    }
    assert.equal(stream?.stats().skips, 1);
    const waiting = stream?.playbacks().map(({ player }) => player.writableLength) ?? [];
    assert.ok(Math.max(...waiting) < 20 * 1024 * 1024, waiting.join());
  });

  test('a connection over the limit is told so inside TLS', async () => {
    const full = new RtmpServer({ gate, limit: new ConnectionLimit(0), log: pino({ level: 'silent' }), tls });
    const fullPort = await full.listen(0, HOST);
    try {
      const peer = await RtmpPeer.open(fullPort, await secure({ port: fullPort }));
      peer.call('connect', { app: 'live', tcUrl: 'rtmps://a/live' });
      await peer.status('NetConnection.Connect.Rejected');
      await peer.closed();
    } finally {
      full.close('the test is over');
    }
  });
});

describe('ffmpeg', () => {
  let encoder: Tool;
  const url = (name: string) => `rtmps://${HOST}:${port}/live/${name}`;
  before(async () => {
    tls.set([one]);
    encoder = publishTestPicture(url('secret'));
    const key = { vhost: '__defaultVhost__', app: 'live', stream: 'secret' };
    await until('frames from ffmpeg', () => (gate.registry.get(key)?.stats().framesIn ?? 0) > 50);
  });
  after(() => encoder.stop());

  test('publishes by RTMPS, and plays by RTMPS and RTMP', async () => {
    for (const from of [url('secret'), `rtmp://${HOST}:${plainPort}/live/secret`]) {
      const { packets, codecs } = await probePackets(from, 1);
      assert.deepEqual(codecs, ['aac', 'h264']);
      assert.ok(packets.length > 30, `${packets.length} packets`);
    }
    assert.match(gate.asked.find(({ key }) => key.stream === 'secret')?.session.tcUrl ?? '', /^rtmps:/);
  });

  test('rtmpdump, which is librtmp with GnuTLS, plays by RTMPS', async () => {
    const dump = new PeerTool('rtmpdump', ['-q', '-v', '-r', url('secret'), '-o', '-']);
    const flv = await dump.output(50_000).finally(() => dump.stop());
    assert.equal(flv.toString('latin1', 0, 3), 'FLV');
  });
});
