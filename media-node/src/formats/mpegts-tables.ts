import { writeU32 } from '../lib/bytes.ts';

export const TS_PACKET_BYTES = 188;
export const TS_SYNC_BYTE = 0x47;
/** ISO/IEC 13818-1 table 2-3. */
const PID_PAT = 0;
const PID_NULL = 0x1fff;
const PID_PMT = 0x1000;
const TABLE_ID_PAT = 0;
const TABLE_ID_PMT = 2;
const TRANSPORT_STREAM_ID = 1;
const PROGRAM_NUMBER = 1;

/** An elementary stream as the program map names it. */
export interface ProgramStream {
  readonly streamType: number;
  readonly pid: number;
  readonly descriptors: Buffer;
}

/** The tables of one program: PAT and PMT in a packet each (ISO/IEC 13818-1 §2.4.4). */
export class ProgramTables {
  #packets = Buffer.alloc(0);
  #counter = 0;
  #version = -1;

  /** `pcrPid`: the stream whose packets hold the clock; undefined without any stream. A change raises the version. */
  set(streams: readonly ProgramStream[], pcrPid: number | undefined): void {
    this.#version = (this.#version + 1) & 31;
    // The association never changes: its version stays 0.
    const association = section(
      TABLE_ID_PAT,
      TRANSPORT_STREAM_ID,
      0,
      Buffer.from([0, PROGRAM_NUMBER, ...u13(PID_PMT)]),
    );
    const body = Buffer.concat([
      Buffer.from([...u13(pcrPid ?? PID_NULL), 0xf0, 0]),
      ...streams.flatMap(({ streamType, pid, descriptors }) => [
        Buffer.from([streamType, ...u13(pid), 0xf0 | (descriptors.length >> 8), descriptors.length & 0xff]),
        descriptors,
      ]),
    ]);
    const map = section(TABLE_ID_PMT, PROGRAM_NUMBER, this.#version, body);
    this.#packets = Buffer.concat([packet(PID_PAT, association), packet(PID_PMT, map)]);
  }

  /** The next repetition of both. */
  next(): Buffer {
    this.#counter = (this.#counter + 1) & 15;
    return this.last();
  }

  /** The last repetition once more. */
  last(): Buffer {
    const out = Buffer.from(this.#packets);
    out[3] = out[TS_PACKET_BYTES + 3] = 0x10 | this.#counter;
    return out;
  }
}

/** 13 bits behind three reserved ones. */
function u13(value: number): [number, number] {
  return [0xe0 | (value >> 8), value & 0xff];
}

/** A section with its head and checksum: ISO/IEC 13818-1 §2.4.4.3, §2.4.4.8. */
function section(tableId: number, id: number, version: number, body: Buffer): Buffer {
  const length = 5 + body.length + 4;
  const head = [tableId, 0xb0 | (length >> 8), length & 0xff, id >> 8, id & 0xff, 0xc1 | (version << 1), 0, 0];
  const out = Buffer.concat([Buffer.from(head), body, Buffer.alloc(4)]);
  writeU32(out, crc32Mpeg(out.subarray(0, -4)), out.length - 4);
  return out;
}

function packet(pid: number, bytes: Buffer): Buffer {
  const out = Buffer.alloc(TS_PACKET_BYTES, 0xff);
  out[0] = TS_SYNC_BYTE;
  out[1] = 0x40 | (pid >> 8);
  out[2] = pid & 0xff;
  out[4] = 0; // pointer_field: the section begins at once
  bytes.copy(out, 5);
  return out;
}

/** CRC_32 of sections: ISO/IEC 13818-1 annex A. Not the one of zlib, which takes bits the other way round. */
export function crc32Mpeg(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  return crc >>> 0;
}
