import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import { FlvDemuxer } from '../formats/flv-demuxer.ts';
import { FlvReader } from '../formats/flv-file.ts';
import type { Frame } from '../media/frame.ts';
import { StreamClock } from '../media/stream-clock.ts';
import type { VhostChanges } from './testing-node.ts';
import { TestNode } from './testing-node.ts';

/* Segments of what ffmpeg encodes, as ffprobe reads them. */

function run(tool: string, args: readonly string[], input?: Buffer): Buffer {
  const { stdout, stderr, status, error } = spawnSync(tool, args, { input, maxBuffer: 1 << 27 });
  if (error !== undefined) throw new Error(`${tool} is needed for this test`, { cause: error });
  assert.equal(status, 0, `${tool}: ${stderr.toString()}`);
  assert.equal(stderr.toString(), '', `${tool} complains`);
  return stdout;
}

interface Probed {
  readonly codec_type: string;
  readonly pts: number;
  readonly dts: number;
  readonly duration: number;
  readonly flags: string;
}

/** Every packet; fails when ffprobe has anything to say. */
function packets(bytes: Buffer): Probed[] {
  const entries = 'packet=codec_type,pts,dts,duration,flags';
  const out = run('ffprobe', ['-v', 'warning', '-show_entries', entries, '-of', 'json', '-'], bytes);
  return (JSON.parse(out.toString()) as { packets: Probed[] }).packets;
}

/** 9 s, a GOP of one second, B-frames, sound. */
function encoded(): Frame[] {
  const source = [
    '-f',
    'lavfi',
    '-i',
    'testsrc2=size=160x90:rate=25',
    '-f',
    'lavfi',
    '-i',
    'sine=frequency=440:sample_rate=48000',
  ];
  const video = [
    '-c:v',
    'libx264',
    '-preset',
    'veryfast',
    '-bf',
    '2',
    '-g',
    '25',
    '-sc_threshold',
    '0',
    '-pix_fmt',
    'yuv420p',
  ];
  const args = [
    '-v',
    'error',
    ...source,
    '-t',
    '9',
    ...video,
    '-c:a',
    'aac',
    '-b:a',
    '64k',
    '-ac',
    '2',
    '-f',
    'flv',
    '-',
  ];
  const frames: Frame[] = [];
  let id = 0;
  const sink = {
    onTrack: () => undefined,
    onFrame: (frame: Frame) => void frames.push(frame),
    onMetadata: () => undefined,
    onIgnored: () => undefined,
  };
  const demuxer = new FlvDemuxer(sink, new StreamClock(), () => ++id);
  const onTag = (type: number, timeMs: number, payload: Buffer) => demuxer.push(type, timeMs, payload);
  new FlvReader({ onHeader: () => undefined, onTag }).push(run('ffmpeg', args));
  return frames;
}

describe('ffprobe reads without a complaint', () => {
  let frames: Frame[] = [];
  before(() => {
    frames = encoded();
  });

  async function packaged(changes: VhostChanges): Promise<{ node: TestNode; snapshot: PackagingSnapshot }> {
    const node = new TestNode(changes);
    await node.publish();
    node.feed(frames);
    return { node, snapshot: node.snapshot };
  }

  async function joined(node: TestNode, { segments }: PackagingSnapshot, name: RenditionName): Promise<Buffer> {
    const init = segments[0]?.media[name]?.init?.file;
    const files = [...(init === undefined ? [] : [init]), ...segments.map(({ media }) => media[name]?.file ?? '')];
    return Buffer.concat(await Promise.all(files.map((file) => node.read(file))));
  }

  function checkTimes(read: readonly Probed[], kind: Frame['track']['kind'], snapshot: PackagingSnapshot): void {
    const own = read.filter(({ codec_type: type }) => type === kind);
    assert.ok(
      own.every(({ dts }, index) => index === 0 || dts > own[index - 1]!.dts),
      `${kind} times rise`,
    );
    if (kind === 'video') assert.equal(own.length, snapshot.segments.length * 50, 'every frame is there');
  }

  test('MPEG-TS segments, one behind the other and each alone', async () => {
    const { node, snapshot } = await packaged({});
    assert.equal(snapshot.segments.length, 4);
    const read = packets(await joined(node, snapshot, 'ts'));
    checkTimes(read, 'video', snapshot);
    checkTimes(read, 'audio', snapshot);
    for (const { media } of snapshot.segments) {
      const alone = packets(await node.read(media.ts?.file ?? ''));
      const first = alone.find(({ codec_type: type }) => type === 'video');
      assert.ok(first?.flags.startsWith('K'), 'it begins with a key frame');
    }
    await node.close();
  });

  test('CMAF tracks: an initialization section and its segments', async () => {
    const { node, snapshot } = await packaged({ hls: { container: 'fmp4' } });
    for (const kind of ['video', 'audio'] as const) {
      const read = packets(await joined(node, snapshot, kind));
      checkTimes(read, kind, snapshot);
      // Of the first packet ffprobe tells no duration.
      const gaps = read.slice(2).filter(({ dts }, index) => dts !== read[index + 1]!.dts + read[index + 1]!.duration);
      assert.equal(gaps.length, 0, `${kind} has no gaps`);
    }
    await node.close();
  });

  test('parts of low latency, which are what their segment is', async () => {
    const { node, snapshot } = await packaged({
      hls: { container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } },
    });
    assert.equal(snapshot.partTargetMs, 202);
    for (const kind of ['video', 'audio'] as const) {
      const init = await node.read(snapshot.segments[0]?.media[kind]?.init?.file ?? '');
      const all: Buffer[] = [init];
      for (const { media } of snapshot.segments) {
        const parts = await Promise.all((media[kind]?.parts ?? []).map(({ file }) => node.read(file)));
        const segment = await node.read(media[kind]?.file ?? '');
        if (parts.length > 0) assert.ok(Buffer.concat(parts).equals(segment));
        all.push(segment);
        for (const [index, part] of (media[kind]?.parts ?? []).entries()) {
          assert.ok(part.durationMs <= 202);
          if (index < (media[kind]?.parts.length ?? 0) - 1)
            assert.ok(part.durationMs >= 0.85 * 202, `${part.durationMs}`);
        }
      }
      for (const { file } of snapshot.open?.media[kind]?.parts ?? []) all.push(await node.read(file));
      checkTimes(
        packets(Buffer.concat(all)).slice(0, kind === 'video' ? snapshot.segments.length * 50 : undefined),
        kind,
        snapshot,
      );
    }
    await node.close();
  });
});
