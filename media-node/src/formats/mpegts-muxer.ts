import { EMPTY } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { Elementary } from './mpegts-elementary.ts';
import { elementaryOf } from './mpegts-elementary.ts';
import { PesPacketizer } from './mpegts-pes.ts';
import { ProgramTables } from './mpegts-tables.ts';

const TICKS_PER_MS = 90;
/** Audio frames of one PES packet stay below this, well within its length field. */
const MAX_AUDIO_PES_BYTES = 32 * 1024;

/**
 * Added to every time: PTS = ptsMs + this, as 90 kHz modulo 2^33. It keeps the clock's reference, and the presentation times
 * of encoders with negative composition offsets, above 0 where a stream begins at 0.
 */
export const TS_TIME_OFFSET_MS = 1_000;
/** How far the program clock is behind decoding: what a receiver has for an access unit to arrive in. */
export const TS_CLOCK_LEAD_MS = 200;
/** The clock has to be told this often (ISO/IEC 13818-1 §2.7.2). */
const CLOCK_EVERY_MS = 100;
/** How far video may be behind audio, as encoders send them, before audio brings the clock on in its place. */
const VIDEO_LATE_MS = 500;

/** One elementary stream of the program. */
interface Program {
  readonly track: Track;
  readonly elementary: Elementary;
  readonly packets: PesPacketizer;
  /** Ticks. */
  lastDts: number;
  lastMs: number;
}

/**
 * Frames as an MPEG-TS of one program (ISO/IEC 13818-1). Continuity counters and the tables' version go on as long as it
 * lives, over any number of segments; where the stream does not go on, begin a new one. At most one track of a kind.
 */
export class TsMuxer {
  readonly #tables = new ProgramTables();
  /** The counter of a PID goes on whatever it carries. */
  readonly #packetizers: Readonly<Record<Track['kind'], PesPacketizer>>;
  #video: Program | undefined;
  #audio: Program | undefined;
  /** The clock's reference as it was told last; ticks. */
  #lastPcr = -Infinity;

  /**
   * Tracks that MPEG-TS does not carry (see `carries`) are left out, and so are their frames. `allocate` gives the memory of
   * what `frame` answers; what `audio` answers may be elsewhere.
   */
  constructor(tracks: readonly Track[], allocate: (bytes: number) => Buffer = (bytes) => Buffer.allocUnsafe(bytes)) {
    this.#packetizers = { video: new PesPacketizer(0x100, allocate), audio: new PesPacketizer(0x101, allocate) };
    this.setTracks(tracks);
  }

  /** Whether a track can be carried in a way that players agree on; what its configuration says counts as well. */
  static carries(track: Track): boolean {
    return carried(track) !== undefined;
  }

  /** The tracks from the next frame on: a late one, another configuration. `tables` has to be sent before it. */
  setTracks(tracks: readonly Track[]): void {
    this.#video = this.#program(tracks, 'video', this.#video);
    this.#audio = this.#program(tracks, 'audio', this.#audio);
    const programs = [this.#video, this.#audio].filter((program) => program !== undefined);
    this.#tables.set(
      programs.map(({ elementary: { streamType, descriptors }, packets: { pid } }) => ({
        streamType,
        pid,
        descriptors,
      })),
      programs[0]?.packets.pid,
    );
  }

  /** PAT and PMT, two packets: at the head of each segment, and of whatever a player may begin with. */
  tables(): Buffer {
    return this.#tables.next();
  }

  /** What `tables` answered last, for a player that begins between two of them; it does not count as another repetition. */
  lastTables(): Buffer {
    return this.#tables.last();
  }

  /** All packets of a frame, as one PES packet; empty for a track that is not carried. Throws FormatError 'nal' or 'frame'. */
  frame(frame: Frame): Buffer {
    return this.#packets([frame]);
  }

  /**
   * Frames of one audio track in as few PES packets as may be: small frames fill packets badly one by one. The times of
   * all but a PES packet's first one follow from their durations, so frames around a gap should not go together.
   */
  audio(frames: readonly Frame[]): Buffer {
    const parts: Buffer[] = [];
    let bytes = 0;
    let begin = 0;
    for (const [index, { data }] of frames.entries()) {
      if (index > begin && bytes + data.length > MAX_AUDIO_PES_BYTES) {
        parts.push(this.#packets(frames.slice(begin, index)));
        begin = index;
        bytes = 0;
      }
      bytes += data.length;
    }
    parts.push(this.#packets(frames.slice(begin)));
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  #packets(frames: readonly Frame[]): Buffer {
    const first = frames[0];
    if (first === undefined) return EMPTY;
    const program = first.track.kind === 'video' ? this.#video : this.#audio;
    if (program?.track.id !== first.track.id) return EMPTY;
    const { elementary, packets } = program;
    let bytes = 0;
    for (const frame of frames) bytes += elementary.writer.measure(frame);
    if (bytes === 0) return EMPTY;
    const isBack = first.dtsMs < program.lastMs;
    // PTS must not be below DTS, where some encoders write negative composition offsets, and DTS must rise.
    const dts = Math.max(ticks(Math.min(first.dtsMs, first.ptsMs)), isBack ? -Infinity : program.lastDts + 1);
    const pts = Math.max(ticks(first.ptsMs), dts);
    const holdsClock = program === this.#video || this.#video === undefined;
    const pcr = holdsClock ? this.#clockAt(dts, isBack) : undefined;
    const isRandomAccess = first.isKey && holdsClock;
    const times = { pts, dts, pcr, isRandomAccess, isDiscontinuity: isBack && holdsClock };
    const out = packets.packetize(frames, elementary, bytes, times);
    const clock = holdsClock ? undefined : this.#clockWithoutVideo(dts);
    program.lastDts = dts;
    program.lastMs = frames.at(-1)!.dtsMs;
    return clock === undefined ? out : Buffer.concat([clock, out]);
  }

  /** The clock's reference at an access unit of the stream that holds it; rises, as long as time does. */
  #clockAt(dts: number, isBack: boolean): number {
    const pcr = dts - TS_CLOCK_LEAD_MS * TICKS_PER_MS;
    this.#lastPcr = isBack ? pcr : Math.min(Math.max(pcr, this.#lastPcr + 1), dts);
    return this.#lastPcr;
  }

  /** A packet that brings the clock on where video, which holds it, pauses or comes seldom: a receiver would wait. */
  #clockWithoutVideo(audioDts: number): Buffer | undefined {
    const pcr = audioDts - (TS_CLOCK_LEAD_MS + VIDEO_LATE_MS) * TICKS_PER_MS;
    if (pcr < this.#lastPcr + CLOCK_EVERY_MS * TICKS_PER_MS) return undefined;
    this.#lastPcr = pcr;
    return this.#video?.packets.clock(pcr);
  }

  #program(tracks: readonly Track[], kind: Track['kind'], before: Program | undefined): Program | undefined {
    const track = tracks.find((candidate) => candidate.kind === kind);
    const elementary = track === undefined ? undefined : carried(track);
    if (track === undefined || elementary === undefined) return undefined;
    const { lastDts, lastMs } = before ?? { lastDts: -Infinity, lastMs: -Infinity };
    return { track, elementary, packets: this.#packetizers[kind], lastDts, lastMs };
  }
}

function ticks(ms: number): number {
  return Math.round((ms + TS_TIME_OFFSET_MS) * TICKS_PER_MS);
}

function carried(track: Track): Elementary | undefined {
  try {
    return elementaryOf(track);
  } catch (error) {
    if (error instanceof FormatError && error.code === 'codec-config') return undefined;
    throw error;
  }
}
