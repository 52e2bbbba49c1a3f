import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../lib/format-error.ts';
import type { MediaSink } from '../media/media-sink.ts';
import { StreamClock } from '../media/stream-clock.ts';
import { decodeAmf0, encodeAmf0 } from './amf0.ts';
import { FlvDemuxer } from './flv-demuxer.ts';
import { FlvReader } from './flv-file.ts';
import { encodeRtmpMedia, flvFrame, flvSequenceHeader } from './flv-muxer.ts';
import { splitAggregate } from './rtmp-aggregate.ts';
import { ChunkReader } from './rtmp-chunk-reader.ts';
import { decodeCommand } from './rtmp-command.ts';
import { decodeSetPeerBandwidth, decodeUserControl } from './rtmp-control.ts';
import { ClientHandshake, ServerHandshake } from './rtmp-handshake.ts';
import {
  RTMP_AGGREGATE,
  RTMP_COMMAND,
  RTMP_COMMAND_AMF3,
  RTMP_USER_CONTROL,
  type RtmpMessage,
} from './rtmp-message.ts';
import { readCorpus, readHexFile } from './testing.ts';

/*
 * Mutated captures through every parser: the input is read or refused with a FormatError, and nothing else happens.
 * FUZZ_RUNS sets how many mutations a target gets (2000), FUZZ_SEED where they begin; a failure prints the seed that
 * repeats it with FUZZ_RUNS=1. What it finds goes into corpus/.
 */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 2000);
const FIRST_SEED = Number(process.env['FUZZ_SEED'] ?? 1);

/** mulberry32: small, seeded, good enough to choose bytes by. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const TELLING = [0, 1, 2, 3, 0x7f, 0x80, 0xff];

/** Changes, removes, repeats and inserts a few bytes, and swaps in parts of another capture. */
function mutate(original: Buffer, other: Buffer, below: (n: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let changes = 1 + below(6); changes > 0; changes--) {
    // Beginnings hold the headers: half of the changes fall there.
    const at = below(2) === 0 ? below(bytes.length + 1) : below(Math.min(bytes.length, 64) + 1);
    const length = Math.min(1 + below(16), bytes.length - at);
    const before = bytes.subarray(0, at);
    const part = bytes.subarray(at, at + length);
    const after = bytes.subarray(at + length);
    const otherAt = below(other.length);
    switch (below(6)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << below(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = TELLING[below(TELLING.length)]!;
        break;
      case 2:
        bytes = Buffer.concat([before, after]);
        break;
      case 3:
        bytes = Buffer.concat([before, part, part, after]);
        break;
      case 4:
        bytes = Buffer.concat([before, other.subarray(otherAt, otherAt + 1 + below(64)), after]);
        break;
      default:
        bytes = Buffer.from(bytes.subarray(0, at));
        break;
    }
  }
  return bytes;
}

function pieces(bytes: Buffer, below: (n: number) => number): Buffer[] {
  const cut = below(bytes.length + 1);
  return [bytes.subarray(0, cut), bytes.subarray(cut)];
}

class Checks implements MediaSink {
  readonly times = { audio: -1, video: -1 };
  readonly #trackIds = new Set<number>();
  #ids = 0;
  readonly nextId = (): number => (this.#ids += 1);
  onTrack(track: Parameters<MediaSink['onTrack']>[0]): void {
    assert.ok(!this.#trackIds.has(track.id));
    this.#trackIds.add(track.id);
    const header = flvSequenceHeader(track, 0);
    if (header !== undefined) encodeRtmpMedia(header, 1, 128);
  }
  onFrame(frame: Parameters<MediaSink['onFrame']>[0]): void {
    const { kind } = frame.track;
    assert.ok(this.#trackIds.has(frame.track.id) && frame.data.length > 0);
    assert.ok(Number.isSafeInteger(frame.dtsMs) && frame.dtsMs > this.times[kind]);
    this.times[kind] = frame.dtsMs;
    encodeRtmpMedia(flvFrame(frame), 1, 60000);
  }
  onMetadata(metadata: Parameters<MediaSink['onMetadata']>[0]): void {
    JSON.stringify(metadata);
  }
  onIgnored(reason: string): void {
    assert.ok(reason.length > 0 && reason.length < 60);
  }
}

function readSession(bytes: Buffer, below: (n: number) => number): void {
  const sink = new Checks();
  const demuxer = new FlvDemuxer(sink, new StreamClock(), sink.nextId);
  const onMessage = (message: RtmpMessage): void => {
    if (message.type === RTMP_COMMAND || message.type === RTMP_COMMAND_AMF3) decodeCommand(message);
    else if (message.type === RTMP_AGGREGATE) splitAggregate(message, (m) => m.type !== RTMP_AGGREGATE && onMessage(m));
    else if (message.type === RTMP_USER_CONTROL) decodeUserControl(message.payload);
    else if (message.type === 6) decodeSetPeerBandwidth(message.payload);
    else demuxer.push(message.type, message.timestampMs, message.payload);
  };
  const reader = new ChunkReader(onMessage);
  for (const piece of pieces(bytes, below)) reader.push(piece);
}

function readFile(bytes: Buffer, below: (n: number) => number): void {
  const sink = new Checks();
  const demuxer = new FlvDemuxer(sink, new StreamClock(), sink.nextId);
  const reader = new FlvReader({
    onHeader: () => {},
    onTag: (type, time, payload) => demuxer.push(type, time, payload),
  });
  for (const piece of pieces(bytes, below)) reader.push(piece);
}

/** What AMF0 read must be written again, and read to the same. AMF3's byte arrays have no AMF0 form. */
function readAmf(bytes: Buffer): void {
  const values = decodeAmf0(bytes);
  JSON.stringify(values);
  if (bytes.includes(0x11)) return;
  let again: Buffer;
  try {
    again = encodeAmf0(...values);
  } catch (error) {
    // A long string may stand where a short one must not, as a key of 65535 bytes that is not UTF-8.
    if (error instanceof FormatError && error.code === 'amf-encode') return;
    throw error;
  }
  assert.deepEqual(decodeAmf0(again), values);
}

const publish = readHexFile('ffmpeg-publish.rtmp');
const file = readHexFile('ffmpeg-h264-aac.flv');
const commands: Buffer[] = [];
new ChunkReader((message) => {
  if (message.type === RTMP_COMMAND || message.type === 18) commands.push(message.payload);
}).push(publish);
const amfCorpus = [...commands, ...readCorpus('amf').map(({ bytes }) => bytes)];
const bodies = readCorpus('flv-bodies').map(({ bytes }) => bytes);
const AVCC = '014d400dffe10019674d400deca0a8cf11360220000003002000000641e28532c001000568ebe3cb20';
const CONFIGS = [`091700000000${AVCC}`, '08af001210'].map((hex) => Buffer.from(hex, 'hex'));
const FRAMES = [
  ...CONFIGS,
  // H.264, E-RTMP behind ModEx, multitrack, AAC, Opus
  ...['091701000028aabb', '0997020a0b0c0361766331aabb', '0996136176633101000001ee00000002aabb', '08af01aabb'].map(
    (hex) => Buffer.from(hex, 'hex'),
  ),
  Buffer.from('08914f707573aabb', 'hex'),
];

const targets: readonly (readonly [
  string,
  readonly Buffer[],
  (bytes: Buffer, below: (n: number) => number) => void,
])[] = [
  ['an RTMP session', [publish, ...readCorpus('rtmp-chunks').map(({ bytes }) => bytes)], readSession],
  ['an FLV file', [file, ...readCorpus('flv-files').map(({ bytes }) => bytes)], readFile],
  ['AMF', amfCorpus, (bytes) => readAmf(bytes)],
  [
    'tag bodies',
    // The type byte, then the body, as in the corpus; behind configurations, so that frames are reached.
    [...bodies, ...FRAMES],
    (bytes) => {
      const sink = new Checks();
      const demuxer = new FlvDemuxer(sink, new StreamClock(), sink.nextId);
      for (const config of CONFIGS) demuxer.push(config[0]!, 0, config.subarray(1));
      demuxer.push([8, 9, 18][(bytes[0] ?? 0) % 3]!, 0, bytes.subarray(1));
    },
  ],
  [
    'handshakes',
    [Buffer.concat([new ClientHandshake('complex').start(), Buffer.alloc(1536)]), Buffer.alloc(3073, 3)],
    (bytes, below) => {
      for (const side of [new ServerHandshake(), new ClientHandshake('complex')]) {
        let done = false;
        for (const piece of pieces(bytes, below)) if (!done) done = side.push(piece).done;
      }
    },
  ],
];

for (const [name, captures, target] of targets) {
  test(`mutated captures of ${name} are read or refused, and nothing else happens`, () => {
    let refused = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
      const below = random(seed);
      const bytes = mutate(captures[below(captures.length)]!, captures[below(captures.length)]!, below);
      try {
        target(bytes, below);
      } catch (error) {
        if (!(error instanceof FormatError)) {
          throw new Error(`FUZZ_SEED=${seed} FUZZ_RUNS=1: ${bytes.toString('hex').slice(0, 4000)}`, { cause: error });
        }
        refused += 1;
      }
    }
    // Mutations that are all refused, or none, would reach little of the parser.
    if (RUNS >= 1000) assert.ok(refused > RUNS / 50 && refused < RUNS, `${refused} of ${RUNS} refused`);
  });
}
