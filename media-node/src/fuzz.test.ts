import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { PackagingSnapshot, RENDITIONS } from '#contract/packaging.ts';
import { ConfigStore } from './config/config-store.ts';
import { hasManifest, manifest, manifestText } from './formats/dash-mpd.ts';
import { hlsRenditions, multivariantPlaylist } from './formats/hls-multivariant.ts';
import { mediaPlaylist } from './formats/hls-playlist.ts';
import { encodeRtmpMessage } from './formats/rtmp-chunk-writer.ts';
import { encodeCommand } from './formats/rtmp-command.ts';
import { ClientHandshake } from './formats/rtmp-handshake.ts';
import { RTMP_AUDIO, RTMP_COMMAND, RTMP_VIDEO } from './formats/rtmp-message.ts';
import { boxes, readFragments } from './formats/testing-mp4.ts';
import { readPackets } from './formats/testing-mpegts.ts';
import { fuzzSettings, mutate, pieces, random, unhex } from './formats/testing.ts';
import { MemoryLedger } from './packaging/memory-ledger.ts';
import type { PackagedStream } from './packaging/packaged-stream.ts';
import { Packagings } from './packaging/packagings.ts';
import { ServerSession, SESSION_TIMEOUTS } from './protocols/rtmp/server-session.ts';
import type { SessionEnd } from './protocols/rtmp/session-end.ts';
import { FakeSocket } from './protocols/testing/fake-socket.ts';
import { MemoryGate } from './protocols/testing/memory-gate.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY } from './protocols/testing/rtmp-peer.ts';
import { LOG } from './protocols/testing/test-node.ts';
import { makeRecording } from './recording-side.ts';

/*
 * What a stranger sends over RTMP goes through the whole node: it is packaged in every format, listed, and recorded. Whatever the
 * bytes, all that comes out is lawful. FUZZ_RUNS (a twentieth of them) and FUZZ_SEED as for the formats.
 */
const { runs: RUNS, firstSeed: FIRST_SEED } = fuzzSettings(300, 20);

const say = (type: number, payload: Buffer, timestampMs = 0, chunkStreamId = 3): Buffer =>
  encodeRtmpMessage(4_096, chunkStreamId, type, 1, timestampMs, payload);
const command = (name: string, transaction: number, ...args: unknown[]): Buffer =>
  say(RTMP_COMMAND, encodeCommand(name, transaction, ...(args as [unknown])));
const HANDSHAKE = Buffer.concat([new ClientHandshake('simple').start(), Buffer.alloc(1_536)]);
const CONNECT = Buffer.concat([
  // So that no message of these is in more than one chunk: a mutation changes what it says, and not where all others begin.
  encodeRtmpMessage(128, 2, 1, 0, 0, unhex('00001000')),
  command('connect', 1, { app: 'live', tcUrl: 'rtmp://h/live', capsEx: 15, fourCcList: ['*'] }),
  command('publish', 2, null, 'fuzzed', 'live'),
]);

type Media = readonly [type: number, payload: Buffer];
const video = (payload: Buffer | string): Media => [RTMP_VIDEO, Buffer.from(payload as string, 'hex')];
const audio = (payload: Buffer | string): Media => [RTMP_AUDIO, Buffer.from(payload as string, 'hex')];
/** What an encoder sends: headers, a key frame, other frames, a frame of sound. */
interface Source {
  readonly headers: readonly Media[];
  readonly key: Media;
  readonly frame: Media;
  readonly sound: Media;
}
const H264: Source = {
  headers: [video(AVC_HEADER), audio(AAC_HEADER)],
  key: video(AVC_KEY),
  frame: video(AVC_FRAME),
  sound: audio(AAC_FRAME),
};
/** HEVC and Opus by E-RTMP, with a composition time. */
const HEVC: Source = {
  headers: [
    video(
      '9068766331010160000000900000000000 5df000fcfdf8f800000f03a00001000540010c01ffa1000100034201 01a200010003 4401c0'.replaceAll(
        ' ',
        '',
      ),
    ),
    audio('904f7075734f707573486561640102380180bb0000000000'),
  ],
  key: video('9168766331000050000000032601af'),
  frame: video('a168766331fffff00000000302 01af'.replaceAll(' ', '')),
  sound: audio('914f707573fcfffe'),
};
/** AV1 and FLAC, which MPEG-TS does not carry. */
const AV1: Source = {
  headers: [
    video('90617630318100 0c000a0b00000004 3cffbc02400000'.replaceAll(' ', '')),
    audio(
      '90664c6143664c6143000000221000100000000000000000bb8002f000000000 00000000000000000000000000000000'.replaceAll(
        ' ',
        '',
      ),
    ),
  ],
  key: video('91617630311200320410aabbcc'),
  frame: video('a1617630311200320430aabbcc'),
  sound: audio('91664c6143fff8c9a80000'),
};
const MP3_ALONE: Source = {
  headers: [],
  key: audio('2ffffb9064aabb'),
  frame: audio('2ffffb9064aabb'),
  sound: audio('2ffffb9064cc'),
};

/** A message of media, as it is put into chunks. */
interface Message {
  readonly type: number;
  readonly payload: Buffer;
  readonly timeMs: number;
}

/** From `fromMs` on, a frame each 100 ms, a key frame each 400. */
function sent({ headers, key, frame, sound }: Source, fromMs: number, frames: number): Message[] {
  const messages = headers.map(([type, payload]): Message => ({ type, payload, timeMs: fromMs }));
  for (let at = 0; at < frames; at++) {
    const timeMs = fromMs + at * 100;
    const [type, payload] = at % 4 === 0 ? key : frame;
    messages.push({ type, payload, timeMs }, { type: sound[0], payload: sound[1], timeMs: timeMs + 20 });
  }
  return messages;
}

const CAPTURES = [[H264], [HEVC], [AV1], [MP3_ALONE], [H264, HEVC], [AV1, H264], [H264, H264]].map((sources) =>
  sources.flatMap((source, index) => sent(source, index * 2_000, sources.length > 1 ? 16 : 24)),
);

const bytesOf = (messages: readonly Message[]): Buffer =>
  Buffer.concat([CONNECT, ...messages.map(({ type, payload, timeMs }) => say(type, payload, timeMs, type))]);

const TIMES = [0, 1, 40, 1_000, 3_600_000, 0x7fff_ffff, 0xffff_fff0];

/** Changes a few messages: what they say, when, their order; so that chunks go on to be read. */
function mutated(original: readonly Message[], below: (n: number) => number): Message[] {
  const messages = [...original];
  for (let changes = 1 + below(6); changes > 0 && messages.length > 0; changes--) {
    const at = below(2) === 0 ? below(messages.length) : below(Math.min(4, messages.length));
    const message = messages[at]!;
    const other = messages[below(messages.length)]!;
    switch (below(6)) {
      case 0:
        messages.splice(at, 1);
        break;
      case 1:
        messages.splice(at, 0, other);
        break;
      case 2:
        messages[at] = { ...message, timeMs: (message.timeMs + TIMES[below(TIMES.length)]!) >>> 0 };
        break;
      default:
        messages[at] = { ...message, payload: mutate(message.payload, other.payload, below) };
        break;
    }
  }
  return messages;
}

const HLS = { ...VHOST_DEFAULTS.hls, fragmentMs: 500, windowMs: 2_000 };
const DASH = { ...VHOST_DEFAULTS.dash, enabled: true };
const KEYS = { ...HLS.keys, enabled: true, fragmentsPerKey: 2 };
/** What a Vhost may make of a stream, and the ending of its recordings. */
const FORMATS: readonly (readonly [Partial<VhostConfig>, 'flv' | 'mp4'])[] = [
  [{ hls: HLS, dash: DASH }, 'mp4'],
  [{ hls: { ...HLS, keys: KEYS } }, 'flv'],
  [{ hls: { ...HLS, container: 'fmp4' }, dash: DASH }, 'mp4'],
  [{ hls: { ...HLS, container: 'fmp4', lowLatency: { enabled: true, partMs: 100 } }, dash: DASH }, 'flv'],
];

const folder = mkdtempSync(join(tmpdir(), 'livecluster-fuzz-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Reads all that the stream's playlists list; answers how many files those are. Throws where anything of it is not lawful. */
async function readPackaged(packaged: PackagedStream): Promise<number> {
  if (packaged.snapshot === undefined) return 0;
  const snapshot = PackagingSnapshot.parse(packaged.snapshot);
  for (const container of ['ts', 'fmp4'] as const) {
    const renditions = hlsRenditions(snapshot, container);
    multivariantPlaylist(snapshot, renditions, (name) => `?${name}`);
    for (const rendition of renditions) {
      for (const isDelta of [false, true]) mediaPlaylist(snapshot, { rendition, path: 'live/fuzzed.m3u8', isDelta });
    }
  }
  if (hasManifest(snapshot)) manifestText(manifest(snapshot, { path: 'live/fuzzed.mpd' }), Date.now());
  let files = 0;
  for (const { media, key } of snapshot.segments) {
    for (const name of RENDITIONS) {
      const listed = media[name];
      if (listed === undefined) continue;
      const bytes = await packaged.read(listed.file);
      assert.ok(bytes?.length === listed.bytes, listed.file);
      files++;
      if (name === 'ts') {
        if (key === undefined) assert.ok(readPackets(bytes).length > 0);
        continue;
      }
      assert.ok(readFragments(bytes).length > 0);
      const init = await packaged.read(listed.init?.file ?? '');
      assert.ok(init !== undefined, 'an initialization section');
      assert.deepEqual(
        boxes(init).map(({ type }) => type),
        ['ftyp', 'moov'],
      );
    }
  }
  return files;
}

interface Run {
  readonly end: SessionEnd;
  readonly files: number;
  readonly recordedBytes: number;
}

async function run(bytes: Buffer, below: (n: number) => number): Promise<Run> {
  const [format, ending] = FORMATS[below(FORMATS.length)]!;
  const dvr = { ...VHOST_DEFAULTS.dvr, enabled: true, path: `[app]/[stream].[timestamp].${ending}` };
  const vhost = VhostConfig.parse({ ...VHOST_DEFAULTS, name: DEFAULT_VHOST, hosts: [DEFAULT_VHOST], dvr, ...format });
  const base = { version: 1, logLevel: 'info', maxConnections: 100, pullHoldMs: 1_000, drainMs: 1_000 } as const;
  const config = new ConfigStore({ ...base, vhosts: [vhost] });
  const gate = new MemoryGate([vhost]);
  const secret = Buffer.from('secret of the cluster');
  const packagings = new Packagings({ nodeId: 'node-1', config, ledger: new MemoryLedger(), secret, logger: LOG });
  gate.registry.addSourceListener(packagings);
  const complaints: string[] = [];
  const logger = pino({ level: 'error' }, { write: (line: string) => void complaints.push(line) });
  const recording = makeRecording({ config, registry: gate.registry, place: { folder, recovers: false }, logger });
  const fake = new FakeSocket();
  const ends: SessionEnd[] = [];
  const session = new ServerSession(fake.socket, {
    gate,
    log: LOG,
    isOverLimit: false,
    timeouts: SESSION_TIMEOUTS,
    onEnd: (_session, how) => void ends.push(how),
  });
  let files = 0;
  const look = async (): Promise<void> => {
    for (const stream of gate.registry.streams()) {
      const packaged = packagings.find(stream.key);
      if (packaged !== undefined) files += await readPackaged(packaged);
    }
  };
  for (const part of [HANDSHAKE, ...pieces(bytes, below)]) {
    for (let turns = 0; fake.isPaused && ends.length === 0; turns++) {
      assert.ok(turns < 100, 'the session is paused for ever');
      await turn();
    }
    if (ends.length === 0) fake.receive(part);
    await turn();
    await look();
  }
  await turn();
  await look();
  fake.emit('end');
  await turn();
  session.close('the run is over');
  const [end] = ends;
  assert.ok(end !== undefined && ends.length === 1);
  assert.notEqual(end.code, 'internal', end.message);
  gate.registry.close('the run is over');
  await recording.close();
  await packagings.close();
  // MP4 does not carry every codec that FLV does.
  for (const line of complaints) assert.ok(ending === 'mp4' && line.includes('"code":"no-track"'), line);
  const { bytes: recordedBytes } = recording.stats();
  return { end, files, recordedBytes };
}

test('what mutated sessions leave in segments, playlists and recordings is lawful', async () => {
  let withFiles = 0;
  let withRecordings = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const below = random(seed);
    const bytes = bytesOf(mutated(CAPTURES[below(CAPTURES.length)]!, below));
    try {
      const { files, recordedBytes } = await run(bytes, below);
      if (files > 0) withFiles++;
      if (recordedBytes > 0) withRecordings++;
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed} FUZZ_RUNS=1: ${bytes.toString('hex').slice(0, 4_000)}`, { cause: error });
    }
  }
  // Mutations that leave nothing would reach little.
  if (RUNS < 100) return;
  assert.ok(withFiles > RUNS / 5 && withRecordings > RUNS / 5, `${withFiles} packaged, ${withRecordings} recorded`);
});

test('sessions as they were meant are packaged and recorded in every format', async () => {
  for (const [index, capture] of CAPTURES.entries()) {
    for (let format = 0; format < FORMATS.length; format++) {
      const { end, files, recordedBytes } = await run(bytesOf(capture), (n) => format % n);
      assert.equal(end.code, 'peer', `${index}: ${end.message}`);
      const isCarried = index !== 2 || format !== 1;
      assert.ok(recordedBytes > 0 && files > 0 === isCarried, `capture ${index}, format ${format}: ${files} files`);
    }
  }
});
