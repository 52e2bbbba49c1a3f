import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { decodeAmf0, ecmaArray, encodeAmf0 } from '../../formats/amf0.ts';
import { FlvDemuxer } from '../../formats/flv-demuxer.ts';
import { ChunkReader } from '../../formats/rtmp-chunk-reader.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import { decodeCommand, encodeCommand } from '../../formats/rtmp-command.ts';
import { encodeU32Payload, encodeUserControl, USER_PING_REQUEST } from '../../formats/rtmp-control.ts';
import { ClientHandshake } from '../../formats/rtmp-handshake.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import {
  RTMP_AGGREGATE,
  RTMP_AUDIO,
  RTMP_COMMAND,
  RTMP_COMMAND_AMF3,
  RTMP_DATA,
  RTMP_SET_CHUNK_SIZE,
  RTMP_USER_CONTROL,
  RTMP_VIDEO,
  RTMP_WINDOW_ACK_SIZE,
} from '../../formats/rtmp-message.ts';
import { fuzzSettings, mutate, pieces, random, readCorpus, readHexFile } from '../../formats/testing.ts';
import type { Frame } from '../../media/frame.ts';
import { StreamClock } from '../../media/stream-clock.ts';
import { FakeSocket } from '../testing/fake-socket.ts';
import { MemoryGate } from '../testing/memory-gate.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY } from '../testing/rtmp-peer.ts';
import { LOG } from '../testing/test-node.ts';
import { ServerSession, SESSION_TIMEOUTS } from './server-session.ts';
import type { SessionEnd } from './session-end.ts';

/*
 * Whole sessions on mutated captures, from handshake to close, with a viewer of the stream: no fault of ours, nothing left
 * behind, and all that is sent, to both, is lawful. FUZZ_RUNS and FUZZ_SEED as for the formats. A finding becomes a line of
 * corpus/rtmp-sessions.hex.
 */
const { runs: RUNS, firstSeed: FIRST_SEED } = fuzzSettings(300);

const HANDSHAKES = (['simple', 'complex'] as const).map((kind) =>
  Buffer.concat([new ClientHandshake(kind).start(), Buffer.alloc(1_536)]),
);
const say = (type: number, payload: Buffer, timestampMs = 0, chunkStreamId = 3): Buffer =>
  encodeRtmpMessage(128, chunkStreamId, type, 1, timestampMs, payload);
const command = (name: string, transaction: number, ...args: unknown[]): Buffer =>
  say(RTMP_COMMAND, encodeCommand(name, transaction, ...(args as [unknown])));
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

const CONNECT = command('connect', 1, {
  app: 'live',
  tcUrl: 'rtmp://h/live',
  capsEx: 15,
  fourCcList: ['hvc1', 'av01'],
});
const MEDIA = [
  say(RTMP_VIDEO, AVC_HEADER, 0, 6),
  say(RTMP_AUDIO, AAC_HEADER, 0, 4),
  say(RTMP_VIDEO, AVC_KEY, 0, 6),
  say(RTMP_AUDIO, AAC_FRAME, 10, 4),
  say(RTMP_VIDEO, AVC_FRAME, 40, 6),
];
/** Two parts in one message: audio at 60 ms, video at 80 ms, each with its back pointer. */
const AGGREGATE = hex(
  '080000040000 3c00000000 af012110 0000000f 0900000b00005000000000 2701000000000000 0241aa 00000016'.replaceAll(
    ' ',
    '',
  ),
);
const CAPTURES: readonly Buffer[] = [
  readHexFile('ffmpeg-publish.rtmp'),
  Buffer.concat([
    CONNECT,
    command('publish', 2, null, 'fuzzed', 'live'),
    ...MEDIA,
    say(RTMP_AGGREGATE, AGGREGATE, 60, 4),
  ]),
  // E-RTMP: HEVC behind ModEx, multitrack, Opus; a change of codec in between.
  Buffer.concat([
    CONNECT,
    command('publish', 2, null, 'fuzzed', 'live'),
    ...MEDIA,
    say(RTMP_VIDEO, hex('97020a0b0c0361766331aabb'), 80, 6),
    say(RTMP_VIDEO, hex('96136176633101000001ee00000002aabb'), 120, 6),
    say(RTMP_AUDIO, hex('914f707573aabb'), 130, 4),
    say(RTMP_DATA, encodeAmf0('onTextData', { text: 'a' }), 130, 5),
    say(RTMP_DATA, encodeAmf0('@setDataFrame', 'onMetaData', ecmaArray({ width: 64 })), 130, 5),
    say(RTMP_VIDEO, AVC_HEADER, 0xffff_fff0, 6),
    say(RTMP_VIDEO, AVC_KEY, 0xffff_fff0, 6),
    say(RTMP_VIDEO, AVC_FRAME, 20, 6),
  ]),
  Buffer.concat([
    CONNECT,
    say(RTMP_WINDOW_ACK_SIZE, encodeU32Payload(100)),
    command('createStream', 2, null),
    command('play', 3, null, 'fuzzed', -2000),
    say(RTMP_USER_CONTROL, encodeUserControl(USER_PING_REQUEST, 1)),
    command('pause', 4, null, true, 0),
    command('receiveAudio', 5, null, false),
    command('pause', 6, null, false, 0),
    command('receiveVideo', 7, null, false),
    command('seek', 0, null, 1_000),
    command('play', 0, null, 'another', -2, -1, true),
    command('deleteStream', 8, null, 1),
    command('play', 9, null, 'other'),
  ]),
  Buffer.concat([
    say(RTMP_SET_CHUNK_SIZE, encodeU32Payload(128)),
    CONNECT,
    command('releaseStream', 2, null, 'fuzzed'),
    command('FCPublish', 3, null, 'fuzzed'),
    command('createStream', 4, null),
    say(RTMP_COMMAND_AMF3, Buffer.concat([hex('00'), encodeCommand('publish', 5, null, 'fuzzed', 'live')])),
    ...MEDIA,
    command('FCUnpublish', 6, null, 'fuzzed'),
    command('publish', 7, null, 'fuzzed', 'live'),
    ...MEDIA,
  ]),
];

/** Reads what the server sent, gives the number of frames: throws where that is not lawful. */
function readOutput(socket: FakeSocket): number {
  const bytes = Buffer.concat(socket.written);
  if (bytes.length === 0) return 0;
  assert.ok(bytes.length >= 3_073 && bytes[0] === 3, `${bytes.length} bytes, less than a handshake`);
  const last = { audio: -1, video: -1 };
  let trackId = 0;
  let frames = 0;
  const sink = {
    onTrack: () => undefined,
    onFrame: ({ track, dtsMs }: Frame) => {
      assert.ok(dtsMs > last[track.kind], `${track.kind} at ${dtsMs} ms after ${last[track.kind]}`);
      last[track.kind] = dtsMs;
      frames++;
    },
    onMetadata: () => undefined,
    onData: (amf0: Buffer) => void decodeAmf0(amf0),
    onIgnored: (reason: string) => assert.fail(reason),
  };
  const demuxer = new FlvDemuxer(sink, new StreamClock(), () => ++trackId);
  const reader = new ChunkReader((message: RtmpMessage) => {
    if (message.type === RTMP_COMMAND) decodeCommand(message);
    else demuxer.push(message.type, message.timestampMs, message.payload);
  });
  reader.push(bytes.subarray(3_073));
  return frames;
}

class Client {
  readonly fake = new FakeSocket();
  end: SessionEnd | undefined;
  readonly session: ServerSession;
  constructor(gate: MemoryGate) {
    this.session = new ServerSession(this.fake.socket, {
      gate,
      log: LOG,
      isOverLimit: false,
      timeouts: SESSION_TIMEOUTS,
      onEnd: (_session, end) => {
        assert.equal(this.end, undefined, 'a session ends once');
        this.end = end;
      },
    });
  }

  /** Gives bytes as a socket would: none while it is paused. */
  async receive(...parts: readonly Buffer[]): Promise<void> {
    for (const part of parts) {
      for (let turns = 0; this.fake.isPaused && this.end === undefined; turns++) {
        assert.ok(turns < 100, 'the session is paused for ever');
        await turn();
      }
      if (this.end === undefined) this.fake.receive(part);
    }
  }
}

async function runSession(bytes: Buffer, below: (n: number) => number): Promise<SessionEnd & { frames: number }> {
  const gate = new MemoryGate();
  const viewer = new Client(gate);
  await viewer.receive(HANDSHAKES[0]!, CONNECT, command('play', 2, null, ['fuzzed', 'demo'][below(2)]));
  const client = new Client(gate);
  await client.receive(HANDSHAKES[below(2)]!, ...pieces(bytes, below));
  await turn();
  await turn();
  client.fake.emit('end');
  viewer.session.close('the run is over');
  await turn();
  assert.ok(client.end !== undefined && viewer.end !== undefined);
  assert.notEqual(client.end.code, 'internal', client.end.message);
  assert.equal(viewer.end.code, 'closed', viewer.end.message);
  for (const stream of gate.registry.streams()) {
    assert.equal(stream.publisher, undefined);
    assert.equal(stream.playbacks().length, 0);
  }
  readOutput(client.fake);
  const frames = readOutput(viewer.fake);
  gate.registry.close('the run is over');
  return { ...client.end, frames };
}

test('mutated sessions end as they should, leave nothing behind, and their viewers get lawful media', async () => {
  const ends = new Map<string, number>();
  let framesSeen = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const below = random(seed);
    const bytes = mutate(CAPTURES[below(CAPTURES.length)]!, CAPTURES[below(CAPTURES.length)]!, below);
    try {
      const { code, frames } = await runSession(bytes, below);
      framesSeen += frames;
      ends.set(code, (ends.get(code) ?? 0) + 1);
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed} FUZZ_RUNS=1: ${bytes.toString('hex').slice(0, 4_000)}`, { cause: error });
    }
  }
  // Mutations that all end in one way, or bring no viewer a frame, would reach little of the session.
  if (RUNS < 100) return;
  assert.ok(framesSeen > RUNS / 10, `${framesSeen} frames seen`);
  assert.ok(ends.size >= 3 && (ends.get('peer') ?? 0) > RUNS / 50, JSON.stringify([...ends]));
});

for (const { name, bytes, message } of readCorpus('rtmp-sessions')) {
  test(`found before: ${name}`, async () => {
    const end = await runSession(bytes, random(1));
    assert.match(`${end.code}: ${end.message}`, new RegExp(message));
  });
}
