import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { NodeConfig, VHOST_DEFAULTS } from '#contract/node-config.ts';
import { parseJson } from '#contract/directory-keys.ts';
import { PackagingSnapshot } from '#contract/packaging.ts';
import { anyShape, snapshotOf } from '#contract/testing/packaging.ts';
import { until } from '#contract/testing/until.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './cluster/memory-directory.ts';
import { inheritedFiles, listedFiles, trimmedTo, withGaps } from './cluster/packaging-snapshots.ts';
import { parseTlsText } from './config/config-folder.ts';
import { ConfigError } from './config/config-error.ts';
import { parseNodeConfig } from './config/config-store.ts';
import { hasManifest, manifest, manifestText } from './formats/dash-mpd.ts';
import { hlsRenditions, multivariantPlaylist } from './formats/hls-multivariant.ts';
import { lastOf, mediaPlaylist } from './formats/hls-playlist.ts';
import { fuzzSettings, mutate, random } from './formats/testing.ts';
import { createNode } from './node.ts';
import type { ListenerPorts } from './node-options.ts';
import { ledgerTextOf, parseLedgerHead, parseLedgerState } from './packaging/ledger-state.ts';
import { connectHost, parseStreamAddress } from './protocols/rtmp/stream-address.ts';
import { AVC_FRAME, AVC_KEY, RtmpPeer } from './protocols/testing/rtmp-peer.ts';
import { RTMP_VIDEO } from './formats/rtmp-message.ts';
import { isStreamName } from './stream/stream-key.ts';
import { testNodeOptions } from './testing.ts';

/*
 * Texts of strangers, and of other nodes: requests on every port of a node, names, documents. FUZZ_RUNS (a twentieth of them) and
 * FUZZ_SEED as for the formats.
 */
const { runs: RUNS, firstSeed: FIRST_SEED } = fuzzSettings(300, 20);

const HOST = '127.0.0.1';
const CONFIG = NodeConfig.parse({
  version: 1,
  logLevel: 'error',
  maxConnections: 1_000,
  pullHoldMs: 1_000,
  drainMs: 1_000,
  vhosts: [
    { ...VHOST_DEFAULTS, name: DEFAULT_VHOST, hosts: [DEFAULT_VHOST] },
    {
      ...VHOST_DEFAULTS,
      name: 'low',
      hosts: ['low.example'],
      hls: { ...VHOST_DEFAULTS.hls, container: 'fmp4', lowLatency: { enabled: true, partMs: 100 } },
      dash: { ...VHOST_DEFAULTS.dash, enabled: true },
    },
  ],
});
const options = testNodeOptions('origin', 0, CONFIG);
const backend = new MemoryDirectoryBackend();
const node = createNode({ ...options, directory: (request) => createMemoryDirectory(backend, request) });
let ports: ListenerPorts;
const encoders: RtmpPeer[] = [];

before(async () => {
  ports = await node.start();
  for (const app of ['live', 'live?vhost=low.example']) {
    const encoder = await RtmpPeer.connected(ports.rtmp, app);
    encoders.push(encoder);
    await encoder.publish('fuzzed');
    encoder.sendMedia();
    for (let timeMs = 100; timeMs <= 6_000; timeMs += 100) {
      encoder.send(RTMP_VIDEO, timeMs % 500 === 0 ? AVC_KEY : AVC_FRAME, timeMs);
    }
  }
  for (const vhost of [DEFAULT_VHOST, 'low.example']) {
    let status = 0;
    const ask = async (): Promise<void> => {
      while (status !== 200) {
        ({ status } = await fetch(`http://${HOST}:${ports.http}/live/fuzzed.m3u8?vhost=${vhost}`));
      }
    };
    void ask();
    await until(`segments of ${vhost}`, () => status === 200);
  }
});
after(async () => {
  for (const encoder of encoders) encoder.close();
  await node.close('the test is over');
});

const get = (path: string, ...headers: string[]): Buffer =>
  Buffer.from([`GET ${path} HTTP/1.1`, 'Host: low.example', ...headers, 'Connection: close', '', ''].join('\r\n'));
const TOKEN = `Authorization: Bearer ${options.adminToken()}`;
const STREAM = '?vhost=low&app=live&stream=fuzzed';

const REQUESTS: Readonly<Record<'http' | 'api' | 'admin', readonly Buffer[]>> = {
  http: [
    ...['.m3u8', '.mpd', '.flv', '.ts', '.aac', '.mp3', '-0.ts', '-video-0.m4s', '-video-init-0.mp4'].map((ending) =>
      get(`/live/fuzzed${ending}`, 'Range: bytes=0-9,20-', 'If-None-Match: "a", *', 'Accept-Encoding: gzip;q=0.5'),
    ),
    get('/live/fuzzed.m3u8?vhost=low.example&hls_track=video&_HLS_msn=3&_HLS_part=1&_HLS_skip=YES'),
    get('/live/fuzzed.m3u8?hls_ctx=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&domain=low.example'),
    get('/'),
    get('/api/v1/versions'),
    Buffer.from(
      'OPTIONS /live/fuzzed.flv HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nAccess-Control-Request-Method: GET\r\n\r\n',
    ),
    Buffer.from(
      'POST /live/fuzzed.m3u8 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n',
    ),
  ],
  api: [
    ...['', 'versions', 'summaries', 'vhosts/', 'streams/', 'clients/', 'streams/vid-1', 'clients/a%20b'].map((name) =>
      get(`/api/v1/${name}?start=1&count=10`, 'Origin: http://a'),
    ),
    Buffer.from('DELETE /api/v1/clients/none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
    Buffer.from('POST /api/v1/streams/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{"a":[1]}'),
  ],
  admin: [
    ...['', 'file', 'state'].map((what) =>
      get(`/cluster/packaging/${what}${STREAM}&after=1&of=node&waitMs=1&file=live/fuzzed-video-0.m4s`, TOKEN),
    ),
    get(`/cluster/publisher${STREAM}`, TOKEN),
    ...['healthz', 'readyz', 'metrics', 'status', 'config'].map((path) => get(`/${path}`, TOKEN)),
    Buffer.from(
      `PUT /config HTTP/1.1\r\nHost: a\r\n${TOKEN}\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"version":1}`,
    ),
  ],
};
/** No 500: that is a fault of ours. */
const MEANT = new Set([
  ...[
    200, 204, 206, 302, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 416, 417, 422, 431, 501, 503, 505,
  ],
]);

/** The status of the first answer; undefined: the connection was closed without one. */
async function statusOf(port: number, bytes: Buffer): Promise<number | undefined> {
  const socket = connect(port, HOST);
  socket.on('error', () => undefined);
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    if (/^HTTP\/1\.1 [2-9]\d\d [^]*\r\n\r\n/.test(text)) socket.destroy();
  });
  // What waits for more of the request hears that nothing comes.
  socket.end(bytes);
  await once(socket, 'close');
  return text === '' ? undefined : Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? NaN);
}

for (const [listener, requests] of Object.entries(REQUESTS) as [keyof typeof REQUESTS, readonly Buffer[]][]) {
  test(`mutated requests to the ${listener} port get an answer that was meant`, { timeout: 600_000 }, async () => {
    const seen = new Map<number | undefined, number>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
      const below = random(seed);
      const bytes = mutate(requests[below(requests.length)]!, requests[below(requests.length)]!, below);
      const status = await statusOf(ports[listener], bytes);
      const about = `FUZZ_SEED=${seed} FUZZ_RUNS=1: ${status} for ${JSON.stringify(bytes.toString('latin1'))}`;
      assert.ok(status === undefined || MEANT.has(status), about);
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
    assert.equal(node.state, 'ready');
    // Requests that all end in one way would reach little.
    if (RUNS >= 100) assert.ok(seen.size >= 3 && (seen.get(200) ?? 0) > RUNS / 50, JSON.stringify([...seen]));
  });
}

const SETTINGS = { seed: FIRST_SEED, numRuns: RUNS };

test('names that a client gives make an address of lawful names, or none', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'rtmp://',
      'h',
      '/',
      'live',
      '?',
      '&',
      '=',
      'vhost=',
      'domain',
      '...vhost...',
      '_definst_',
      '@',
      ':',
      '..',
    ),
    fc.string({ maxLength: 3, unit: 'binary' }),
  );
  const text = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(text, text, text, (tcUrl, app, stream) => {
      connectHost(tcUrl, app);
      const address = parseStreamAddress(tcUrl, app, stream);
      if (address === undefined) return;
      assert.ok([address.app, address.stream].every(isStreamName) && !address.stream.includes('/'));
      assert.ok(address.param === '' || address.param.startsWith('?'));
    }),
    SETTINGS,
  );
});

/** Everything that a node does with what another one told it of a stream. */
function useSnapshot(snapshot: PackagingSnapshot): void {
  const trimmed = trimmedTo(snapshot, snapshot.segments[1]?.seq ?? 0);
  for (const each of [snapshot, trimmed, withGaps(snapshot, new Set([snapshot.segments.at(-1)?.seq ?? 0]))]) {
    listedFiles(each);
    inheritedFiles(each);
    for (const container of ['ts', 'fmp4'] as const) {
      const renditions = hlsRenditions(each, container);
      multivariantPlaylist(each, renditions, (name) => `?${name}`);
      for (const rendition of renditions) {
        lastOf(each, rendition);
        for (const isDelta of [false, true]) mediaPlaylist(each, { rendition, path: 'live/s.m3u8', isDelta });
      }
    }
    if (hasManifest(each)) {
      for (const isStatic of [false, true]) manifestText(manifest(each, { path: 'live/s.mpd', isStatic }), 0);
    }
    parseLedgerState(ledgerTextOf(each, 0));
  }
}

/** A document of any shape, with some of its characters changed: JSON often enough. */
function mutatedText(shapes: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const change = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.nat(3),
    put: fc.constantFrom('', '0', '-1', '1e999', '9', 'null', '"', '{}', '[]', '"__proto__":1,', '\u0000', '\ud800'),
  });
  return fc.tuple(shapes, fc.array(change, { maxLength: 3 })).map(([text, changes]) =>
    changes.reduce((all, { at, cut, put }) => {
      const place = Math.floor(at * all.length);
      return all.slice(0, place) + put + all.slice(place + cut);
    }, text),
  );
}

test('whatever another node tells of a stream is refused, or can be shown', () => {
  let taken = 0;
  fc.assert(
    fc.property(mutatedText(anyShape.map((shape) => JSON.stringify(snapshotOf(shape)))), (text) => {
      const snapshot = parseJson(PackagingSnapshot, text);
      if (snapshot === undefined) return;
      taken++;
      useSnapshot(snapshot);
    }),
    SETTINGS,
  );
  assert.ok(taken > 0, `${taken} of ${RUNS}`);
});

test('whatever the ledger says of a stream is refused, or is a state', () => {
  fc.assert(
    fc.property(mutatedText(anyShape.map((shape) => ledgerTextOf(snapshotOf(shape), 0))), (text) => {
      const state = parseLedgerState(text);
      const head = parseLedgerHead(text);
      if (state !== undefined) assert.equal(head?.seq, state.seq);
    }),
    SETTINGS,
  );
});

test('a configuration is taken whole, or refused with a word on what is wrong', () => {
  const refusable = (parse: () => unknown): void => {
    try {
      parse();
    } catch (error) {
      assert.ok(error instanceof ConfigError && error.message.length > 10, String(error));
    }
  };
  const certificates = JSON.stringify({ version: 1, certificates: [{ certificate: 'a', key: 'b' }] });
  fc.assert(
    fc.property(mutatedText(fc.constant(JSON.stringify(CONFIG))), (text) => refusable(() => parseNodeConfig(text))),
    SETTINGS,
  );
  fc.assert(
    fc.property(mutatedText(fc.constant(certificates)), (text) => refusable(() => parseTlsText(text))),
    SETTINGS,
  );
});
