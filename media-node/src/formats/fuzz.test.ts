import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../lib/format-error.ts';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { MediaSink } from '../media/media-sink.ts';
import { StreamClock } from '../media/stream-clock.ts';
import { decodeAmf0, encodeAmf0 } from './amf0.ts';
import { FlvDemuxer } from './flv-demuxer.ts';
import { FlvReader } from './flv-file.ts';
import { encodeRtmpMedia, flvFrame, flvSequenceHeader } from './flv-muxer.ts';
import { TsMuxer } from './mpegts-muxer.ts';
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
import { HEVC_CONFIG, avcConfig, prefixed, readPackets } from './testing-mpegts.ts';
import { fuzzSettings, mutate, pieces, random, readCorpus, readHexFile } from './testing.ts';

/*
 * Mutated captures through every parser: the input is read or refused with a FormatError, and nothing else happens.
 * FUZZ_RUNS sets how many mutations a target gets (2000), FUZZ_SEED where they begin; a failure prints the seed that
 * repeats it with FUZZ_RUNS=1. What it finds goes into corpus/.
 */
const { runs: RUNS, firstSeed: FIRST_SEED } = fuzzSettings(2_000);

class Checks implements MediaSink {
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
    assert.ok(this.#trackIds.has(frame.track.id) && frame.data.length > 0);
    assert.ok(Number.isSafeInteger(frame.dtsMs));
    // The stream's Timeline puts times in order, and none below 0 leaves it.
    if (frame.dtsMs >= 0) encodeRtmpMedia(flvFrame(frame), 1, 60000);
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
  // Further tracks
  ...[`0996006176633101${AVCC}`, '0895006d703461011190', '0895016d70346101aabb'].map((hex) => Buffer.from(hex, 'hex')),
  // H.264, E-RTMP behind ModEx, multitrack, AAC, Opus
  ...['091701000028aabb', '0997020a0b0c0361766331aabb', '0996136176633101000001ee00000002aabb', '08af01aabb'].map(
    (hex) => Buffer.from(hex, 'hex'),
  ),
  Buffer.from('08914f707573aabb', 'hex'),
];

const CODECS = [
  ['video', 'h264'],
  ['video', 'hevc'],
  ['video', 'av1'],
  ['video', 'vp9'],
  ['audio', 'aac'],
  ['audio', 'opus'],
  ['audio', 'flac'],
] as const;
const CONFIGURATIONS = [
  `00${AVCC}`,
  // HEVC Main, level 3.1, its arrays left empty; AV1 Main; VP9; AAC-LC; OpusHead; STREAMINFO behind `fLaC`
  '01010160000000900000000000 5df000fcfdf8f800000f00',
  '0281000c000a0b00000004 3cffbc02400000',
  '03000a820101010000',
  '041210',
  '054f707573486561640102380180bb0000000000',
  '06664c6143000000221000100000000000000000bb80 02f000000000 00000000000000000000000000000000',
].map((text) => Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** What the second byte says: a track of this codec, with this configuration; what follows are its frames. */
const NAL_TRACKS = [
  makeVideoTrack(1, 'h264', avcConfig(4)),
  makeVideoTrack(1, 'h264', avcConfig(2)),
  makeVideoTrack(1, 'hevc', HEVC_CONFIG),
  makeVideoTrack(1, 'h264', avcConfig(1)),
];
const NALS = ['6588', '09f0', '41aabbcc', '2601af', '00', '674d400d'].map((hex) => Buffer.from(hex, 'hex'));
const NAL_FRAMES = [4, 2, 4, 1].map((size, index) => Buffer.concat([Buffer.from([index]), prefixed(NALS, size)]));

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
    'decoder configurations',
    // The codec's place in CODECS, then the record.
    CONFIGURATIONS,
    (bytes) => {
      const [kind, codec] = CODECS[(bytes[0] ?? 0) % CODECS.length]!;
      const track =
        kind === 'video' ? makeVideoTrack(1, codec, bytes.subarray(1)) : makeAudioTrack(1, codec, bytes.subarray(1));
      if (track.kind === 'video') assert.ok(track.width >= 0 && track.height >= 0);
      else assert.ok(track.sampleRate >= 0 && track.channels >= 0);
    },
  ],
  [
    'length-prefixed NAL units',
    // The track's place in NAL_TRACKS, then the frame.
    NAL_FRAMES,
    (bytes, below) => {
      const track = NAL_TRACKS[(bytes[0] ?? 0) % NAL_TRACKS.length]!;
      const frame = { track, dtsMs: below(1_000), ptsMs: below(1_000), isKey: below(2) === 0, data: bytes.subarray(1) };
      readPackets(new TsMuxer([track]).frame(frame));
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
