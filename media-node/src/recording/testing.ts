import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { pino } from 'pino';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import { FlvDemuxer } from '../formats/flv-demuxer.ts';
import { FlvReader } from '../formats/flv-file.ts';
import type { Frame } from '../media/frame.ts';
import { StreamClock } from '../media/stream-clock.ts';
import type { Track } from '../media/track.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { RecordedFile, RecorderOptions, RecordingCounts } from './recorder.ts';
import { Recorder } from './recorder.ts';
import type { RecordingStore } from './recording-store.ts';

/* Helpers of this folder's tests. */

export const KEY: StreamKey = { vhost: '__defaultVhost__', app: 'live', stream: 'cam' };
export const silent = pino({ level: 'silent' });

export function dvr(settings: Partial<VhostConfig['dvr']> = {}): VhostConfig['dvr'] {
  return { ...VHOST_DEFAULTS.dvr, enabled: true, applyTo: [], ...settings };
}

/** The test picture and tone: H.264 with B-frames or without, AAC; a key frame each 0.96 s. */
export interface TestMedia {
  readonly tracks: readonly Track[];
  /** In order of time, the first one a key frame of video. */
  readonly frames: readonly Frame[];
  readonly lengthMs: number;
}

/** `loops` times the demonstration's loop. */
export function testMedia(loops = 1): TestMedia {
  const tracks: Track[] = [];
  const once: Frame[] = [];
  let id = 0;
  const sink = {
    onTrack: (track: Track) => void tracks.push(track),
    onFrame: (frame: Frame) => void once.push(frame),
    onMetadata: () => undefined,
    onIgnored: () => undefined,
  };
  const demuxer = new FlvDemuxer(sink, new StreamClock(), () => ++id);
  const onTag = (type: number, timeMs: number, payload: Buffer) => demuxer.push(type, timeMs, payload);
  const file = new URL('../../../local/demo.flv', import.meta.url);
  new FlvReader({ onHeader: () => undefined, onTag }).push(readFileSync(file));
  const key = once.find(({ track, isKey }) => track.kind === 'video' && isKey)!;
  const lengthMs = 4_800;
  const loop = once
    .filter(({ dtsMs }) => dtsMs >= key.dtsMs && dtsMs < key.dtsMs + lengthMs)
    .sort((a, b) => a.dtsMs - b.dtsMs || (a === key ? -1 : b === key ? 1 : 0));
  const frames: Frame[] = [];
  for (let shiftMs = 0; shiftMs < loops * lengthMs; shiftMs += lengthMs) {
    for (const frame of loop) {
      frames.push({ ...frame, dtsMs: frame.dtsMs + shiftMs, ptsMs: frame.ptsMs + shiftMs });
    }
  }
  return { tracks, frames, lengthMs: loops * lengthMs };
}

/** A folder of this test's own, gone after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-recording-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function newCounts(): RecordingCounts {
  return { bytes: 0, files: 0, errors: 0, droppedFrames: 0, queuedBytes: 0 };
}

/** A recorder with its counts and the files it told of. */
export function recorderOf(
  store: RecordingStore,
  settings: VhostConfig['dvr'] | (() => VhostConfig['dvr']) = dvr(),
  { now = Date.now, ...limits }: Partial<Pick<RecorderOptions, 'now' | 'batchBytes' | 'mostQueuedBytes'>> = {},
) {
  const counts = newCounts();
  const files: RecordedFile[] = [];
  const recorder = new Recorder({
    key: KEY,
    store,
    settings: typeof settings === 'function' ? settings : () => settings,
    counts,
    log: silent,
    onFile: (file) => void files.push(file),
    now,
    ...limits,
  });
  return { recorder, counts, files };
}

export interface Packet {
  readonly kind: string;
  readonly ptsMs: number;
  readonly dtsMs: number;
  readonly isKey: boolean;
  readonly size: number;
}

/** What ffprobe reads of a file; fails on anything that it has to say, or ffmpeg that decodes it. */
export function probe(path: string, decodes = false): { readonly packets: Packet[]; readonly durationMs: number } {
  const run = (command: string, args: readonly string[]) => {
    const { stdout, stderr, error } = spawnSync(command, ['-hide_banner', '-loglevel', 'warning', ...args], {
      maxBuffer: 1 << 28,
      encoding: 'utf8',
    });
    if (error !== undefined) throw new Error(`${command} is needed for this test`, { cause: error });
    assert.equal(stderr, '', `${command} ${path}`);
    return stdout;
  };
  const entries = 'packet=codec_type,pts_time,dts_time,size,flags:format=duration';
  const read = JSON.parse(run('ffprobe', ['-show_entries', entries, '-of', 'json', path])) as {
    packets: { codec_type: string; pts_time: string; dts_time: string; size: string; flags: string }[];
    format: { duration?: string };
  };
  if (decodes) run('ffmpeg', ['-i', path, '-f', 'null', '-']);
  return {
    packets: read.packets.map(({ codec_type: kind, pts_time: pts, dts_time: dts, size, flags }) => ({
      kind,
      ptsMs: Math.round(Number(pts) * 1_000),
      dtsMs: Math.round(Number(dts) * 1_000),
      isKey: flags.startsWith('K'),
      size: Number(size),
    })),
    durationMs: Math.round(Number(read.format.duration) * 1_000),
  };
}
