import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { FlvDemuxer } from '../../formats/flv-demuxer.ts';
import { FlvReader } from '../../formats/flv-file.ts';
import type { Frame } from '../../media/frame.ts';
import { StreamClock } from '../../media/stream-clock.ts';
import type { Track } from '../../media/track.ts';
import type { Tool } from '../testing/ffmpeg.ts';
import { TEST_INPUT, publishTestPicture, run } from '../testing/ffmpeg.ts';
import { PeerTool } from '../testing/peer-tools.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/* Clients that others wrote, as they come from Debian: librtmp (rtmpdump), GStreamer's two RTMP plugins, VLC. */

let node: TestNode;
let folder: string;
let encoder: Tool;
const tools: PeerTool[] = [];

const streamOf = (name: string) => node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: name });
const rtmpUrl = (name: string): string => `rtmp://127.0.0.1:${node.rtmpPort}/live/${name}`;

function tool(command: string, ...args: readonly string[]): PeerTool {
  const started = new PeerTool(command, args);
  tools.push(started);
  return started;
}

/** Tracks and frames of the beginning of an FLV file. */
function readFlv(bytes: Buffer): { tracks: string[]; frames: Frame[] } {
  const tracks: Track[] = [];
  const frames: Frame[] = [];
  const sink = {
    onTrack: (track: Track) => void tracks.push(track),
    onFrame: (frame: Frame) => void frames.push(frame),
    onMetadata: () => undefined,
    onIgnored: () => undefined,
  };
  let id = 0;
  const demuxer = new FlvDemuxer(sink, new StreamClock(), () => ++id);
  const reader = new FlvReader({
    onHeader: () => undefined,
    onTag: (type, timestampMs, payload) => demuxer.push(type, timestampMs, payload),
  });
  reader.push(bytes);
  return { tracks: tracks.map(({ codec }) => codec).sort(), frames };
}

/** Both tracks, a key frame first, and times that go on without a hole. */
function assertPlayable(flv: Buffer): void {
  const { tracks, frames } = readFlv(flv);
  assert.deepEqual(tracks, ['aac', 'h264']);
  for (const kind of ['video', 'audio'] as const) {
    const times = frames.filter(({ track }) => track.kind === kind).map(({ dtsMs }) => dtsMs);
    assert.ok(times.length > 10, `${times.length} ${kind} frames`);
    for (const [index, ms] of times.entries()) {
      const step = ms - (times[index - 1] ?? ms - 1);
      assert.ok(step > 0 && step < 200, `${kind} steps by ${step} ms at ${ms}`);
    }
  }
  assert.equal(frames.find(({ track }) => track.kind === 'video')?.isKey, true);
}

before(async () => {
  node = await startTestNode();
  folder = await mkdtemp(join(tmpdir(), 'livecluster-peers-'));
  // VLC reads it as nobody.
  await chmod(folder, 0o755);
  await run('ffmpeg', [...TEST_INPUT.filter((word) => word !== '-re'), '-t', '2', join(folder, 'in.flv')]).done;
  encoder = publishTestPicture(rtmpUrl('picture'));
  await until('frames from ffmpeg', () => (streamOf('picture')?.stats().framesIn ?? 0) > 50);
});
after(async () => {
  encoder.stop();
  node.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => {
  for (const started of tools.splice(0)) started.stop();
});

const ENOUGH_BYTES = 150_000;

describe('plays', () => {
  test('rtmpdump (librtmp: a type 1 header first, SWF-era handshake)', async () => {
    const dump = tool('rtmpdump', '-q', '-v', '-r', rtmpUrl('picture'), '-o', '-');
    assertPlayable(await dump.output(ENOUGH_BYTES));
  });

  test("GStreamer's rtmpsrc (librtmp)", async () => {
    const play = tool('gst-launch-1.0', '-q', 'rtmpsrc', `location=${rtmpUrl('picture')} live=1`, '!', 'fdsink');
    assertPlayable(await play.output(ENOUGH_BYTES));
  });

  test("GStreamer's rtmp2src (its own)", async () => {
    const play = tool('gst-launch-1.0', '-q', 'rtmp2src', `location=${rtmpUrl('picture')}`, '!', 'fdsink');
    assertPlayable(await play.output(ENOUGH_BYTES));
  });

  for (const [name, url] of [
    ['RTMP', () => rtmpUrl('picture')],
    ['HTTP-FLV', () => `http://127.0.0.1:${node.httpPort}/live/picture.flv`],
  ] as const) {
    test(`VLC over ${name}`, async () => {
      const sout = '#std{access=file,mux=ts,dst=-}';
      const bytes = await tool('cvlc', '-I', 'dummy', '-q', '--sout', sout, url()).output(ENOUGH_BYTES);
      // Packets of 188 bytes, each with the sync byte, of more than the tables alone.
      const pids = new Set<number>();
      for (let at = 0; at + 188 <= bytes.length; at += 188) {
        assert.equal(bytes[at], 0x47);
        pids.add(bytes.readUInt16BE(at + 1) & 0x1fff);
      }
      assert.ok(pids.size >= 4, [...pids].join());
    });
  }
});

describe('publishes', () => {
  test('VLC, which encodes it anew', async () => {
    const watch = tool('rtmpdump', '-q', '-v', '-r', rtmpUrl('vlc'), '-o', '-');
    await until('the viewer', () => streamOf('vlc')?.stats().viewers.rtmp === 1);
    const codecs = 'vcodec=h264,vb=300,venc=x264{keyint=12,preset=ultrafast},acodec=mp4a,ab=64,channels=2';
    const sout = `#transcode{${codecs}}:std{access=rtmp,mux=ffmpeg{mux=flv},dst=${rtmpUrl('vlc')}}`;
    tool('cvlc', '-I', 'dummy', '-q', '--sout', sout, join(folder, 'in.flv'));
    assertPlayable(await watch.output(40_000));
  });

  for (const [name, sink, location] of [
    ["GStreamer's rtmpsink (librtmp)", 'rtmpsink', (url: string) => `location=${url} live=1`],
    ["GStreamer's rtmp2sink (its own)", 'rtmp2sink', (url: string) => `location=${url}`],
  ] as const) {
    test(name, async () => {
      const watch = tool('rtmpdump', '-q', '-v', '-r', rtmpUrl(sink), '-o', '-');
      await until('the viewer', () => streamOf(sink)?.stats().viewers.rtmp === 1);
      const out = ['flvmux', 'name=m', 'streamable=true', '!', sink, 'sync=true', location(rtmpUrl(sink))];
      const source = ['filesrc', `location=${join(folder, 'in.flv')}`, '!', 'flvdemux', 'name=d'];
      const tracks = 'd.video ! queue ! h264parse ! m. d.audio ! queue ! aacparse ! m.'.split(' ');
      await tool('gst-launch-1.0', '-q', ...source, ...out, ...tracks).finished();
      // 2 s: 50 pictures, 93 or 94 AAC frames; the muxer may keep the last of them.
      const stats = streamOf(sink)?.stats();
      assert.ok((stats?.framesIn ?? 0) >= 138, JSON.stringify(stats));
      assert.equal(stats?.discontinuities, 0);
      assertPlayable(await watch.output(stats.bytesIn));
    });
  }
});
