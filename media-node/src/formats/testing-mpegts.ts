import assert from 'node:assert/strict';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { crc32Mpeg } from './mpegts-tables.ts';
import { unhex } from './testing.ts';

/* Helpers of the tests of MPEG-TS: tracks, frames, and a reader that holds every packet to the standard. */

export const AVC_SPS = unhex('674d400deca0a8cf11360220000003002000000641e28532c0');
export const AVC_PPS = unhex('68ebe3cb20');
export const avcConfig = (lengthSize: number): Buffer =>
  Buffer.concat([
    Buffer.from([1, 0x4d, 0x40, 0x0d, 0xfc | (lengthSize - 1), 0xe1, 0, AVC_SPS.length]),
    AVC_SPS,
    Buffer.from([1, 0, AVC_PPS.length]),
    AVC_PPS,
  ]);

export const HEVC_SETS = ['40010c01', '420101', '4401c0'].map(unhex);
export const HEVC_CONFIG: Buffer = Buffer.concat([
  unhex('0101600000009000000000005df000fcfdf8f800000f'),
  Buffer.from([HEVC_SETS.length]),
  ...HEVC_SETS.map((set, index) => Buffer.concat([Buffer.from([0x80 | (32 + index), 0, 1, 0, set.length]), set])),
]);

export const avcTrack = (lengthSize = 4): Track => makeVideoTrack(1, 'h264', avcConfig(lengthSize));
export const hevcTrack = (): Track => makeVideoTrack(1, 'hevc', HEVC_CONFIG);
/** AAC-LC, 48 kHz, stereo. */
export const aacTrack = (): Track => makeAudioTrack(2, 'aac', unhex('1190'));

/** A frame; its presentation is `offsetMs` after its decoding. */
export function frameOf(track: Track, dtsMs: number, data: Buffer, isKey = false, offsetMs = 0): Frame {
  return { track, dtsMs, ptsMs: dtsMs + offsetMs, isKey: isKey || track.kind === 'audio', data };
}

/** NAL units behind lengths of so many bytes. */
export function prefixed(nals: readonly Buffer[], lengthSize = 4): Buffer {
  return Buffer.concat(
    nals.flatMap((nal) => {
      const length = Buffer.alloc(lengthSize);
      length.writeUIntBE(nal.length, 0, lengthSize);
      return [length, nal];
    }),
  );
}

/** NAL units behind start codes. */
export function startCoded(nals: readonly Buffer[]): Buffer {
  return Buffer.concat(nals.flatMap((nal) => [unhex('00000001'), nal]));
}

export interface Packet {
  readonly pid: number;
  readonly isStart: boolean;
  readonly counter: number;
  readonly isRandomAccess: boolean;
  readonly isDiscontinuity: boolean;
  /** Ticks of 90 kHz. */
  readonly pcr: number | undefined;
  readonly payload: Buffer;
}

export interface Pes {
  readonly pid: number;
  readonly streamId: number;
  readonly pts: number;
  readonly dts: number;
  readonly pcr: number | undefined;
  readonly isRandomAccess: boolean;
  readonly isDiscontinuity: boolean;
  /** As the header says. */
  readonly length: number;
  readonly payload: Buffer;
}

/** Reads whole packets: ISO/IEC 13818-1 §2.4.3.2. */
export function readPackets(bytes: Buffer): Packet[] {
  assert.equal(bytes.length % 188, 0);
  const packets: Packet[] = [];
  for (let at = 0; at < bytes.length; at += 188) {
    const packet = bytes.subarray(at, at + 188);
    assert.equal(packet[0], 0x47, `sync byte of the packet at ${at}`);
    const flags = packet[3]! >> 4;
    assert.ok(flags >= 1 && flags <= 3, 'not scrambled');
    let payloadAt = 4;
    let field = 0;
    let pcr: number | undefined;
    if (flags !== 1) {
      const length = packet[4]!;
      assert.ok(flags === 2 ? length === 183 : length <= 182, 'payload where it is said to be');
      payloadAt = 5 + length;
      field = length > 0 ? packet[5]! : 0;
      if ((field & 0x10) !== 0) {
        pcr = packet.readUInt32BE(6) * 2 + (packet[10]! >> 7);
        assert.deepEqual([packet[10]! & 0x7f, packet[11]], [0x7e, 0]);
      }
      const stuffing = packet.subarray(length > 0 ? 6 + (pcr === undefined ? 0 : 6) : 5, payloadAt);
      assert.ok(stuffing.every((byte) => byte === 0xff));
    }
    packets.push({
      pid: packet.readUInt16BE(1) & 0x1fff,
      isStart: (packet[1]! & 0x40) !== 0,
      counter: packet[3]! & 15,
      isRandomAccess: (field & 0x40) !== 0,
      isDiscontinuity: (field & 0x80) !== 0,
      pcr,
      payload: packet.subarray(payloadAt),
    });
  }
  return packets;
}

/** Reads the PES packets out of whole packets, and checks their counters; a packet may come twice (§2.4.3.3). */
export function readPes(bytes: Buffer): Pes[] {
  const found: Pes[] = [];
  const open = new Map<number, Packet[]>();
  const last = new Map<number, Packet>();
  const end = (pid: number): void => {
    const packets = open.get(pid);
    if (packets !== undefined) found.push(pesOf(packets));
  };
  for (const packet of readPackets(bytes)) {
    const { pid, counter } = packet;
    if (packet.payload.length === 0) {
      assert.equal(counter, last.get(pid)?.counter ?? 15, 'a packet without payload is not counted');
      continue;
    }
    const before = last.get(pid);
    if (before?.counter === counter && before.payload.equals(packet.payload)) continue;
    if (before !== undefined) assert.equal(counter, (before.counter + 1) & 15, `continuity counter of PID ${pid}`);
    last.set(pid, packet);
    if (pid === 0 || pid === 0x1000) continue;
    if (packet.isStart) {
      end(pid);
      open.set(pid, [packet]);
    } else {
      const packets = open.get(pid);
      assert.ok(packets !== undefined, 'a PES packet begins with its header');
      packets.push(packet);
    }
  }
  for (const pid of open.keys()) end(pid);
  return found.toSorted((a, b) => a.pid - b.pid);
}

function pesOf(packets: readonly Packet[]): Pes {
  const bytes = Buffer.concat(packets.map(({ payload }) => payload));
  assert.equal(bytes.readUIntBE(0, 3), 1);
  const length = bytes.readUInt16BE(4);
  if (length > 0) assert.equal(length, bytes.length - 6);
  const hasDts = (bytes[7]! & 0x40) !== 0;
  assert.equal(bytes[8], hasDts ? 10 : 5);
  const pts = readTime(bytes, 9, hasDts ? 3 : 2);
  const { pid, pcr, isRandomAccess, isDiscontinuity } = packets[0]!;
  return {
    pid,
    streamId: bytes[3]!,
    pts,
    dts: hasDts ? readTime(bytes, 14, 1) : pts,
    pcr,
    isRandomAccess,
    isDiscontinuity,
    length,
    payload: bytes.subarray(hasDts ? 19 : 14),
  };
}

function readTime(bytes: Buffer, at: number, mark: number): number {
  assert.equal(bytes[at]! >> 4, mark);
  assert.equal(bytes[at]! & bytes[at + 2]! & bytes[at + 4]! & 1, 1, 'marker bits');
  return (
    ((bytes[at]! >> 1) & 7) * 2 ** 30 + (bytes.readUInt16BE(at + 1) >> 1) * 2 ** 15 + (bytes.readUInt16BE(at + 3) >> 1)
  );
}

export interface ProgramMap {
  readonly version: number;
  readonly pcrPid: number;
  readonly streams: readonly { readonly streamType: number; readonly pid: number; readonly descriptors: Buffer }[];
}

/** Reads the first PMT, and checks its checksum. */
export function readProgramMap(bytes: Buffer): ProgramMap {
  const packet = readPackets(bytes).find(({ pid }) => pid === 0x1000);
  assert.ok(packet !== undefined);
  const section = packet.payload.subarray(1, 4 + (packet.payload.readUInt16BE(2) & 0xfff));
  assert.equal(crc32Mpeg(section), 0, 'a section with its checksum adds up to 0');
  const streams: { streamType: number; pid: number; descriptors: Buffer }[] = [];
  for (let at = 12; at < section.length - 4;) {
    const length = section.readUInt16BE(at + 3) & 0xfff;
    const descriptors = section.subarray(at + 5, at + 5 + length);
    streams.push({ streamType: section[at]!, pid: section.readUInt16BE(at + 1) & 0x1fff, descriptors });
    at += 5 + length;
  }
  return { version: (section[5]! >> 1) & 31, pcrPid: section.readUInt16BE(8) & 0x1fff, streams };
}
