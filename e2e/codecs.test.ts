import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { LocalCluster } from '../local/local-cluster.ts';
import { planFrom } from '../local/plan.ts';
import { command } from './lib/kubectl.ts';
import { newerFfmpeg } from './lib/python.ts';
import { until } from './lib/until.ts';

/*
 * Every codec through the whole of two nodes, an origin and an edge in this process: an encoder that others wrote publishes
 * some seconds over Enhanced RTMP, and when the stream has ended others' readers take every format of it from the edge, from
 * its first frame to its last.
 */

const HOST = '127.0.0.1';
const SECONDS = 6;
const PICTURES = 25 * SECONDS;
const SAMPLE_RATE = 48_000;

const VIDEO = {
  h264: '-c:v libx264 -preset ultrafast -bf 2 -g 25',
  hevc: '-c:v libx265 -preset ultrafast -x265-params keyint=25:min-keyint=25:bframes=2:log-level=error',
  av1: '-c:v libsvtav1 -preset 11 -g 25 -svtav1-params lp=1',
  vp9: '-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25',
} as const;
const AUDIO = {
  aac: { options: '-c:a aac -b:a 96k', samples: 1_024 },
  opus: { options: '-c:a libopus -b:a 96k', samples: 960 },
  mp3: { options: '-c:a libmp3lame -b:a 96k', samples: 1_152 },
  ac3: { options: '-c:a ac3 -b:a 192k', samples: 1_536 },
  flac: { options: '-c:a flac -frame_size 1024', samples: 1_024 },
} as const;
type Video = keyof typeof VIDEO;
type Audio = keyof typeof AUDIO;

interface Case {
  readonly video?: Video;
  readonly audio?: Audio;
  /** What MPEG-TS leaves out of it. */
  readonly notInTs?: readonly (Video | Audio)[];
}
const CASES: readonly Case[] = [
  { video: 'hevc', audio: 'aac' },
  { video: 'av1', audio: 'opus', notInTs: ['av1'] },
  { video: 'h264', audio: 'mp3' },
  { video: 'hevc', audio: 'ac3' },
  { video: 'vp9', audio: 'flac', notInTs: ['vp9', 'flac'] },
  { audio: 'aac' },
  { audio: 'opus' },
  { audio: 'mp3' },
  { video: 'hevc' },
  { video: 'av1', notInTs: ['av1'] },
];

const nameOf = ({ video, audio }: Case): string => [video, audio].filter((codec) => codec !== undefined).join('-');

const vhost = (name: string, spec: string): string => `
---
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: ${name}}
spec: {clusterRef: {name: live}, hosts: [${name}.example], publish: {grace: 0s}, ${spec}}`;
const PLAN = `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: {origin: {replicas: 1}, edge: {replicas: 1}}
${vhost('ts', 'hls: {fragment: 1s, dispose: 10m}')}
${vhost('mp4', 'hls: {fragment: 1s, dispose: 10m, container: fmp4}, dash: {enabled: true}')}
${vhost('low', 'hls: {fragment: 1s, dispose: 10m, lowLatency: {enabled: true, part: 200ms}}')}
`;
const VHOSTS = ['ts', 'mp4', 'low'] as const;

const logs: { readonly msg: string; readonly stream?: string; readonly codec?: string }[] = [];
const logger = pino({ level: 'warn' }, { write: (line: string) => void logs.push(JSON.parse(line)) });
const any = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };
const cluster = new LocalCluster({ host: HOST, firstOrigin: any, anyPorts: true, logger, note: () => undefined });
let encoder = '';

before(async () => {
  encoder = await newerFfmpeg();
  await cluster.apply(planFrom(PLAN));
  for (const each of CASES) {
    const isPublished = publish(nameOf(each), each);
    if (inTs(each).length === 0) refused.set(nameOf(each), refusalOf(nameOf(each)));
    await isPublished;
  }
  await Promise.all(CASES.map((each) => ended(addressOf(nameOf(each), '.mpd', 'mp4'))));
});
after(() => cluster.close('the test is over', 0));

/** What MPEG-TS carries of it. */
const inTs = ({ video, audio, notInTs = [] }: Case): (Video | Audio)[] =>
  [video, audio].filter((codec) => codec !== undefined && !notInTs.includes(codec)) as (Video | Audio)[];

/** What was answered for playlists of MPEG-TS that can't be, while the stream was published. */
const refused = new Map<string, Promise<Response>>();

function refusalOf(name: string): Promise<Response> {
  return until(`${name} to begin`, async () => {
    const response = await fetch(addressOf(name, '.m3u8', 'ts'));
    return !(await response.clone().text()).startsWith('nobody publishes') && response;
  });
}

const portsOf = (role: 'origin' | 'edge') => cluster.nodes.find((node) => node.role === role)!.ports;
const addressOf = (name: string, file: string, host: string): string =>
  `http://${HOST}:${portsOf('edge').http}/live/${name}${file}?vhost=${host}.example`;

/** Publishes the same frames to every Vhost, as fast as they are encoded. */
async function publish(name: string, { video, audio }: Case): Promise<void> {
  const inputs = [
    ...(video === undefined ? [] : [`-f lavfi -i testsrc2=size=320x180:rate=25:duration=${SECONDS}`]),
    ...(audio === undefined ? [] : [`-f lavfi -i sine=frequency=440:sample_rate=${SAMPLE_RATE}:duration=${SECONDS}`]),
  ];
  const outputs = [
    ...(video === undefined ? [] : [`-map 0:v -pix_fmt yuv420p ${VIDEO[video]}`]),
    ...(audio === undefined ? [] : [`-map ${inputs.length - 1}:a -ac 2 ${AUDIO[audio].options}`]),
  ];
  const urls = VHOSTS.map(
    (host) => `[f=flv]rtmp://${HOST}:${portsOf('origin').rtmp}/live?vhost=${host}.example/${name}`,
  );
  const options = '-hide_banner -loglevel error -nostdin -flags +global_header';
  const args = [...options.split(' '), ...[...inputs, ...outputs].join(' ').split(' '), '-f', 'tee', urls.join('|')];
  const { code, stderr } = await command(encoder, args);
  assert.equal(code, 0, stderr);
}

/** Waits for the end to be told: of HLS by its tag, of DASH by its type. */
async function ended(url: string): Promise<void> {
  await until(`the end of ${url}`, async () => {
    const answer = await fetch(url);
    const text = await answer.text();
    if (url.includes('.mpd')) return text.includes('type="static"');
    const media = text.split('\n').find((line) => line !== '' && !line.startsWith('#'));
    return media !== undefined && (await (await fetch(new URL(media, url))).text()).includes('#EXT-X-ENDLIST');
  });
}

interface Packet {
  readonly stream_index: number;
  /** Of several frames in one packet of MPEG-TS the first one's alone, where ffprobe does not know how long they are. */
  readonly dts_time?: string;
}

/** It finds the initialization section again with each playlist, and says so: of its own live HLS, too. */
const OF_ITSELF = /Found duplicated MOOV Atom\. Skipped it$|^ *Last message repeated \d+ times$/;

/** Debian's ffprobe takes it apart without a word; answers the decoding times of each codec's packets. */
async function probe(url: string): Promise<Map<string, (number | undefined)[]>> {
  const show = ['-show_entries', 'packet=stream_index,dts_time:stream=index,codec_name', '-of', 'json'];
  const { code, stdout, stderr } = await command('ffprobe', ['-hide_banner', '-loglevel', 'warning', ...show, url]);
  assert.equal(code, 0, `${url}: ${stderr}`);
  const complaints = stderr.split('\n').filter((line) => line.trim() !== '' && !OF_ITSELF.test(line));
  assert.deepEqual(complaints, [], url);
  const { packets, streams } = JSON.parse(stdout) as {
    packets: Packet[];
    streams: { index: number; codec_name: string }[];
  };
  return new Map(
    streams.map(({ index, codec_name: codec }) => {
      const own = packets.filter((packet) => packet.stream_index === index);
      return [codec, own.map(({ dts_time: time }) => (time === undefined ? undefined : Number(time)))];
    }),
  );
}

/** Debian's ffmpeg decodes it; it ends at a fault, and says why. */
async function decode(url: string): Promise<void> {
  const args = ['-hide_banner', '-loglevel', 'error', '-nostdin', '-xerror', '-i', url, '-f', 'null', '-'];
  const { code, stderr } = await command('ffmpeg', args);
  assert.deepEqual([code, stderr.split('\n').filter((line) => line !== '' && !OF_ITSELF.test(line))], [0, []], url);
}

/** Every frame is there, once, and its time is later than the one's before. */
function assertWhole(url: string, found: ReadonlyMap<string, readonly (number | undefined)[]>, wanted: Case): void {
  const { video, audio } = wanted;
  const codecs = [video, audio].filter((codec) => codec !== undefined);
  assert.deepEqual([...found.keys()].toSorted(), codecs.toSorted(), url);
  for (const [codec, packets] of found) {
    const isVideo = codec === video;
    const frames = isVideo ? PICTURES : Math.ceil((SECONDS * SAMPLE_RATE) / AUDIO[codec as Audio].samples);
    // Encoders of sound add some at the beginning and at the end; ffmpeg's reader of DASH ends with the first track that does.
    const fewer = url.includes('.mpd') ? frames / 20 : isVideo ? 0 : 1;
    const isWhole = packets.length >= frames - fewer && packets.length <= frames + (isVideo ? 0 : 4);
    assert.ok(isWhole, `${url}: ${packets.length} frames of ${codec}`);
    const times = packets.filter((time) => time !== undefined);
    // ffprobe gives the second frame of sound in MPEG-TS the first one's time: it does not know yet how long that is.
    const back = times.findIndex((time, at) => at > 0 && (time < times[at - 1]! || (at > 1 && time === times[at - 1])));
    assert.equal(back, -1, `${url}: ${codec} goes from ${times[back - 1]} to ${times[back]}`);
    const spanS = times.at(-1)! - times[0]!;
    assert.ok(Math.abs(spanS - SECONDS) < SECONDS / 10, `${url}: ${spanS} s of ${codec}`);
  }
}

for (const each of CASES) {
  const { video, audio, notInTs = [] } = each;
  const name = nameOf(each);
  describe(`${name} by Enhanced RTMP`, () => {
    for (const [host, file, what] of [
      ['mp4', '.m3u8', 'HLS of fragmented MP4'],
      ['low', '.m3u8', 'Low-Latency HLS'],
      ['mp4', '.mpd', 'DASH'],
    ] as const) {
      test(`comes whole in ${what}`, async () => {
        const url = addressOf(name, file, host);
        await ended(url);
        assertWhole(url, await probe(url), each);
        if (host !== 'low') await decode(url);
      });
    }

    if (inTs(each).length > 0) {
      const what = notInTs.length === 0 ? 'comes whole in MPEG-TS' : `comes in MPEG-TS without ${notInTs.join()}`;
      test(what, async () => {
        const url = addressOf(name, '.m3u8', 'ts');
        await ended(url);
        const carried = inTs(each);
        assertWhole(url, await probe(url), {
          ...(video !== undefined && carried.includes(video) && { video }),
          ...(audio !== undefined && carried.includes(audio) && { audio }),
        });
        await decode(url);
      });
    } else {
      test('is not there in MPEG-TS, and the answer says what to do', async () => {
        const answer = await refused.get(name);
        assert.equal(answer?.status, 404);
        assert.match(await answer.text(), /its codecs are none of MPEG-TS .* set hls\.container of the Vhost to fmp4/);
      });
    }
    for (const codec of notInTs) {
      test(`${codec} that MPEG-TS leaves out is told in the log`, () => {
        assert.ok(logs.some((line) => line.stream === name && line.codec === codec && line.msg.includes('left out')));
      });
    }
  });
}
