import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { LocalCluster } from '../local/local-cluster.ts';
import { planFrom } from '../local/plan.ts';
import { command } from './lib/kubectl.ts';
import { newerFfmpeg } from './lib/python.ts';
import { until } from './lib/until.ts';

/*
 * Several tracks of a kind through an origin and an edge: a newer FFmpeg publishes them, and reads them from the edge when it says
 * that it can. Debian's, which would take the second picture for another codec, gets one of each kind.
 */

const HOST = '127.0.0.1';
const PLAN = `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: {origin: {replicas: 1}, edge: {replicas: 1}}
`;
const any = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };
const logger = pino({ level: 'silent' });
const cluster = new LocalCluster({ host: HOST, firstOrigin: any, anyPorts: true, logger, note: () => undefined });
let newer = '';
let published: Promise<unknown> | undefined;

const portsOf = (role: 'origin' | 'edge') => cluster.nodes.find((node) => node.role === role)!.ports;
const rtmp = (role: 'origin' | 'edge'): string => `rtmp://${HOST}:${portsOf(role).rtmp}/live/several`;

before(async () => {
  newer = await newerFfmpeg();
  await cluster.apply(planFrom(PLAN));
  const inputs = [
    ...['320x180', '160x90'].map((size) => `-re -f lavfi -i testsrc2=size=${size}:rate=25:duration=40`),
    ...[440, 880].map((hertz) => `-re -f lavfi -i sine=frequency=${hertz}:sample_rate=48000:duration=40`),
  ];
  const output = '-map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac -f flv';
  const args = `-hide_banner -loglevel error -nostdin ${inputs.join(' ')} ${output} ${rtmp('origin')}`.split(' ');
  published = command(newer, args).catch(() => undefined);
  await until('the stream', async () => (await streams('origin'))[0]?.publish.active);
});
after(async () => {
  await cluster.close('the test is over', 0);
  await published;
});

interface ShownStream {
  readonly publish: { readonly active: boolean };
  readonly further_tracks?: readonly object[];
}

async function streams(role: 'origin' | 'edge'): Promise<ShownStream[]> {
  const answer = await fetch(`http://${HOST}:${portsOf(role).api}/api/v1/streams`);
  return ((await answer.json()) as { streams: ShownStream[] }).streams;
}

/** What a reader finds: the size of each picture, the rate of each sound, from a second of the stream, decoded. */
async function read(file: string, ...input: string[]): Promise<string[]> {
  const args = [
    '-hide_banner',
    '-loglevel',
    'error',
    '-nostdin',
    ...input,
    '-map',
    '0',
    '-t',
    '1',
    '-f',
    'framecrc',
    '-',
  ];
  const { code, stdout, stderr } = await command(file, args, { timeoutMs: 30_000 });
  assert.equal(code, 0, stderr);
  const lines = stdout.split('\n');
  const told = lines.flatMap((line) => /^#(?:dimensions|sample_rate) (\d+): (.+)$/.exec(line)?.slice(1) ?? []);
  const frames = (index: string): number => lines.filter((line) => line.startsWith(`${index},`)).length;
  return told.flatMap((text, at) => (at % 2 === 0 && frames(text) > 10 ? [told[at + 1]!] : []));
}

describe('several tracks that FFmpeg publishes', () => {
  for (const role of ['origin', 'edge'] as const) {
    test(`are read by FFmpeg from the ${role}, when it says that it can`, async () => {
      const found = await read(newer, '-rtmp_conn', 'O:1 NN:capsEx:2 O:0', '-i', rtmp(role));
      assert.deepEqual(found.toSorted(), ['160x90', '320x180', '48000', '48000']);
    });

    test(`are one of each kind to those who say nothing, at the ${role}`, async () => {
      assert.deepEqual((await read(newer, '-i', rtmp(role))).toSorted(), ['320x180', '48000']);
      assert.deepEqual((await read('ffmpeg', '-i', rtmp(role))).toSorted(), ['320x180', '48000']);
      const flv = `http://${HOST}:${portsOf(role).http}/live/several.flv`;
      assert.deepEqual((await read('ffmpeg', '-i', flv)).toSorted(), ['320x180', '48000']);
    });

    test(`are shown by the API of the ${role}`, async () => {
      const [stream] = await streams(role);
      assert.deepEqual(stream?.further_tracks, [
        {
          kind: 'video',
          track_id: 1,
          codec: 'H264',
          profile: 'Baseline',
          level: '1.1',
          width: 160,
          height: 90,
        },
        { kind: 'audio', track_id: 1, codec: 'AAC', sample_rate: 48_000, channel: 1, profile: 'LC' },
      ]);
    });
  }
});
