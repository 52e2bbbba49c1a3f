import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import type { Packet, Tool } from '../testing/ffmpeg.ts';
import { TEST_INPUT, probePackets, publishTestPicture, run } from '../testing/ffmpeg.ts';
import { PeerTool } from '../testing/peer-tools.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/* Players that others wrote, over HTTP in each format: ffmpeg, GStreamer, VLC. */

let node: TestNode;
const encoders: Tool[] = [];
const tools: PeerTool[] = [];

before(async () => {
  node = await startTestNode();
  const url = (name: string): string => `rtmp://127.0.0.1:${node.rtmpPort}/live/${name}`;
  encoders.push(publishTestPicture(url('picture')));
  const mp3 = TEST_INPUT.map((word) => (word === 'aac' ? 'libmp3lame' : word === '48000' ? '44100' : word));
  encoders.push(run('ffmpeg', [...mp3, '-ar', '44100', '-f', 'flv', url('mp3')]));
  for (const stream of ['picture', 'mp3']) {
    const key = { vhost: '__defaultVhost__', app: 'live', stream };
    await until('frames from ffmpeg', () => (node.gate.registry.get(key)?.stats().framesIn ?? 0) > 50);
  }
});
after(() => {
  for (const started of [...tools, ...encoders]) started.stop();
  node.close();
});

/** In MPEG-TS more tracks may come at any time: ffmpeg looks for them for 5 s unless it is told not to. */
const SOON = ['-analyzeduration', '500000'];
const urlOf = (file: string): string => `http://127.0.0.1:${node.httpPort}/live/${file}`;

function tool(command: string, ...args: readonly string[]): PeerTool {
  const started = new PeerTool(command, args);
  tools.push(started);
  return started;
}

/** Each track's times rise without a hole; pictures begin with a key frame. */
function assertPlayable(packets: readonly Packet[], types: readonly Packet['codec_type'][]): void {
  for (const type of types) {
    const times = packets.filter(({ codec_type }) => codec_type === type).map(({ dts_time }) => dts_time);
    assert.ok(times.length > 10, `${times.length} ${type} packets`);
    for (const [index, time] of times.entries()) {
      const step = time - (times[index - 1] ?? time - 0.001);
      assert.ok(step > 0 && step < 0.2, `${type} steps by ${step} s at ${time}`);
    }
  }
  if (types.includes('video')) {
    assert.equal(packets.find(({ codec_type }) => codec_type === 'video')?.isKey, true);
  }
}

describe('side by side', { concurrency: true }, () => {
  for (const [file, codecs] of [
    ['picture.ts', ['aac', 'h264']],
    ['mp3.ts', ['h264', 'mp3']],
    ['picture.aac', ['aac']],
    ['mp3.mp3', ['mp3']],
  ] as const) {
    test(`ffprobe plays ${file}`, async () => {
      const found = await probePackets(urlOf(file), 1, ...SOON);
      assert.deepEqual(found.codecs, codecs);
      assertPlayable(found.packets, codecs.length === 2 ? ['video', 'audio'] : ['audio']);
    });
  }

  test('ffmpeg decodes MPEG-TS from its first packet on, and has nothing to complain of', async () => {
    const decode = [
      ...SOON,
      '-xerror',
      '-err_detect',
      'explode',
      '-t',
      '1',
      '-i',
      urlOf('picture.ts'),
      '-f',
      'null',
      '-',
    ];
    await run('ffmpeg', decode).done;
  });

  test("GStreamer's tsdemux finds both tracks of MPEG-TS", async () => {
    const source = ['souphttpsrc', `location=${urlOf('picture.ts')}`, 'is-live=true', '!', 'tsdemux', 'name=d'];
    const tracks = 'flvmux name=m streamable=true ! fdsink d. ! queue ! h264parse ! m. d. ! queue ! aacparse ! m.';
    const bytes = await tool('gst-launch-1.0', '-q', ...source, ...tracks.split(' ')).output(100_000);
    assert.equal(bytes.toString('latin1', 0, 3), 'FLV');
    assert.equal(bytes[4], 5, 'audio and video');
  });

  test('VLC plays MPEG-TS', async () => {
    const sout = '#std{access=file,mux=ts,dst=-}';
    const bytes = await tool('cvlc', '-I', 'dummy', '-q', '--sout', sout, urlOf('picture.ts')).output(150_000);
    // Packets of more PIDs than those of the tables.
    const pids = new Set<number>();
    for (let at = 0; at + 188 <= bytes.length; at += 188) {
      assert.equal(bytes[at], 0x47);
      pids.add(bytes.readUInt16BE(at + 1) & 0x1fff);
    }
    assert.ok(pids.size >= 4, [...pids].join());
  });
});
