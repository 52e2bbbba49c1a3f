import type { PackagedSegment, PackagedTrack, PackagingSnapshot } from '#contract/packaging.ts';
import { codecString } from '../../formats/codec-string.ts';
import { FlvDemuxer } from '../../formats/flv-demuxer.ts';
import { FlvReader } from '../../formats/flv-file.ts';
import { Fmp4Writer } from '../../formats/fmp4.ts';
import { readHexFile } from '../../formats/testing.ts';
import type { Frame } from '../../media/frame.ts';
import { StreamClock } from '../../media/stream-clock.ts';
import type { Track } from '../../media/track.ts';
import type { FakePackagedStream } from './fake-packaged.ts';

const SEGMENT_MS = 1_000;
const SAMPLES_A_FRAME = 1_024;
const SAMPLES_A_MS = 44.1;
const KINDS = ['video', 'audio'] as const;

/** Frames of a clip of a second that ffmpeg made: H.264 with B-frames at 10 a second, AAC. */
function readClip(): { readonly video: readonly Frame[]; readonly audio: readonly Frame[] } {
  const frames: Frame[] = [];
  let ids = 0;
  const sink = {
    onTrack: () => undefined,
    onFrame: (frame: Frame) => frames.push(frame),
    onMetadata: () => undefined,
    onIgnored: () => undefined,
  };
  const demuxer = new FlvDemuxer(sink, new StreamClock(), () => (ids += 1));
  const onTag = (type: number, time: number, payload: Buffer) => demuxer.push(type, time, payload);
  new FlvReader({ onHeader: () => undefined, onTag }).push(readHexFile('ffmpeg-h264-aac.flv'));
  const of = (kind: Track['kind']) => frames.filter(({ track }) => track.kind === kind);
  return { video: of('video'), audio: of('audio') };
}

export interface ClipOptions {
  /** Wall clock of the first sample; default now. */
  readonly beganMs?: number;
  /** Media time of the first sample; default an hour. */
  readonly startMs?: number;
  /** Segments listed at once; default 6. */
  readonly window?: number;
  /** Numbers of segments that don't continue what was before. */
  readonly seams?: readonly number[];
}

/** Fills a packaged stream with segments that players can play: the clip again and again, a second each. */
export class ClipPackaging {
  readonly #stream: FakePackagedStream;
  readonly #options: Required<ClipOptions>;
  readonly #clip = readClip();
  #writers: Record<'video' | 'audio', Fmp4Writer>;
  #run: NonNullable<PackagedSegment['run']>;
  #seq = 0;
  #soundFrames = 0;

  constructor(stream: FakePackagedStream, options: ClipOptions = {}) {
    this.#stream = stream;
    this.#options = { beganMs: Date.now(), startMs: 3_600_000, window: 6, seams: [], ...options };
    this.#writers = this.#newWriters();
    this.#run = { seq: 0, programDateTimeMs: this.#options.beganMs, startMs: this.#options.startMs };
  }

  /** Another segment is complete. */
  advance(): void {
    const { beganMs, startMs, window, seams } = this.#options;
    const seq = this.#seq++;
    const fromMs = startMs + seq * SEGMENT_MS;
    const programDateTimeMs = beganMs + seq * SEGMENT_MS;
    if (seams.includes(seq)) {
      this.#writers = this.#newWriters();
      this.#run = { seq, programDateTimeMs, startMs: fromMs };
    }
    const frames = { video: this.#pictures(fromMs), audio: this.#sound(fromMs) };
    const media: PackagedSegment['media'] = {};
    for (const kind of KINDS) {
      const samples = frames[kind];
      const { track, dtsMs, ptsMs } = samples[0]!;
      const writer = this.#writers[kind];
      const init = this.#put(`${kind}-init-${this.#run.seq}.mp4`, writer.init);
      const endDtsMs = kind === 'video' ? fromMs + SEGMENT_MS : undefined;
      const file = this.#put(`${kind}-${seq}.m4s`, writer.fragment({ track, samples, endDtsMs }));
      const durationMs = kind === 'video' ? SEGMENT_MS : (samples.length * SAMPLES_A_FRAME) / SAMPLES_A_MS;
      const times = { startMs: dtsMs, durationMs, compositionMs: ptsMs - dtsMs };
      media[kind] = { ...file, init, ...times, parts: [], isIndependent: true };
    }
    const isDiscontinuity = seams.includes(seq);
    const segment = { seq, programDateTimeMs, isDiscontinuity, run: this.#run, isGap: false, media };
    this.#show({ segments: [...(this.#stream.snapshot?.segments ?? []), segment].slice(-window) });
  }

  /** No segment will follow. */
  end(): void {
    this.#show({ isEnded: true });
  }

  #show(change: Partial<PackagingSnapshot>): void {
    const { snapshot } = this.#stream;
    this.#stream.show({
      version: 1,
      nodeId: 'clip',
      revision: (snapshot?.revision ?? 0) + 1,
      isEnded: false,
      targetDurationS: SEGMENT_MS / 1_000,
      isIndependent: true,
      discontinuitySequence: 0,
      tracks: KINDS.map((kind) => trackOf(this.#clip[kind][0]!.track)),
      segments: snapshot?.segments ?? [],
      ...change,
    });
  }

  #put(name: string, bytes: Buffer): { file: string; bytes: number } {
    const { key, files } = this.#stream;
    const file = `${key.app}/${key.stream}-${name}`;
    files.set(file, bytes);
    return { file, bytes: bytes.length };
  }

  #newWriters(): Record<'video' | 'audio', Fmp4Writer> {
    const { video, audio } = this.#clip;
    return { video: new Fmp4Writer([video[0]!.track]), audio: new Fmp4Writer([audio[0]!.track]) };
  }

  #pictures(fromMs: number): Frame[] {
    return this.#clip.video.map((frame) => {
      const { dtsMs, ptsMs } = frame;
      return { ...frame, dtsMs: fromMs + dtsMs, ptsMs: fromMs + ptsMs };
    });
  }

  /** The clip's sound is no whole second: it is counted on, in whole milliseconds. */
  #sound(fromMs: number): Frame[] {
    const { audio } = this.#clip;
    const made: Frame[] = [];
    for (;;) {
      const timeMs = Math.round(this.#options.startMs + (this.#soundFrames * SAMPLES_A_FRAME) / SAMPLES_A_MS);
      if (timeMs >= fromMs + SEGMENT_MS) return made;
      made.push({ ...audio[this.#soundFrames++ % audio.length]!, dtsMs: timeMs, ptsMs: timeMs });
    }
  }
}

function trackOf(track: Track): PackagedTrack {
  const rates = { peakBitrate: 100_000, averageBitrate: 80_000, codecs: codecString(track)! };
  if (track.kind === 'audio') {
    return { kind: 'audio', ...rates, sampleRate: track.sampleRate, channels: track.channels };
  }
  return { kind: 'video', ...rates, width: track.width, height: track.height, frameRate: 10 };
}
