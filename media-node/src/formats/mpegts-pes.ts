import { FormatError } from '../lib/format-error.ts';
import type { Frame } from '../media/frame.ts';
import type { Elementary } from './mpegts-elementary.ts';
import { STREAM_ID_VIDEO } from './mpegts-elementary.ts';
import { TS_PACKET_BYTES, TS_SYNC_BYTE } from './mpegts-tables.ts';

const TS_HEADER_BYTES = 4;
const PAYLOAD_BYTES = TS_PACKET_BYTES - TS_HEADER_BYTES;
/** PTS, DTS and the clock's base count modulo this, at 90 kHz. */
const MODULUS = 2 ** 33;

/** What the packets of one PES packet say besides its bytes. Times in ticks of 90 kHz, of any size and sign. */
export interface PesTimes {
  readonly pts: number;
  /** Left out of the header where it is the same. */
  readonly dts: number;
  /** The program clock's reference at its first packet; left out, there is none. */
  readonly pcr: number | undefined;
  readonly isRandomAccess: boolean;
  /** The clock's reference does not continue the last one. */
  readonly isDiscontinuity: boolean;
}

/** One PID's packets: cuts PES packets into them and counts them on. */
export class PesPacketizer {
  readonly pid: number;
  readonly #allocate: (bytes: number) => Buffer;
  #counter = 15;

  /** `allocate` gives the memory of packets, which may hold anything before. */
  constructor(pid: number, allocate: (bytes: number) => Buffer) {
    this.pid = pid;
    this.#allocate = allocate;
  }

  /**
   * The frames as one PES packet (ISO/IEC 13818-1 §2.4.3.6), in whole packets; `payloadBytes` is what the writer
   * measured of them together. Throws FormatError 'frame' for audio beyond what the length field can tell.
   */
  packetize(frames: readonly Frame[], { streamId, writer }: Elementary, payloadBytes: number, times: PesTimes): Buffer {
    const pts = modulo(times.pts);
    const dts = modulo(times.dts);
    const headerBytes = pts === dts ? 14 : 19;
    const pesBytes = headerBytes + payloadBytes;
    const adaptationBytes = times.pcr !== undefined ? 8 : times.isRandomAccess ? 2 : 0;
    const packets = 1 + Math.max(0, Math.ceil((pesBytes - (PAYLOAD_BYTES - adaptationBytes)) / PAYLOAD_BYTES));
    const out = this.#allocate(packets * TS_PACKET_BYTES);
    // The PES packet is made at the end of the buffer, where its last bytes stay; the others move forward, packet by
    // packet, and never past what has not moved yet. Half the cost of a second buffer.
    const pesStart = out.length - pesBytes;
    let at = writeHeader(out, pesStart, streamId, payloadBytes, pts, dts);
    for (const frame of frames) at = writer.write(frame, out, at);
    if (at !== out.length) throw new Error(`a frame was measured ${out.length - at} bytes larger than it was written`);
    this.#spread(out, pesStart, adaptationBytes, times);
    return out;
  }

  /** A packet of the clock's reference alone, which no counter counts: ISO/IEC 13818-1 §2.4.3.3. */
  clock(pcr: number): Buffer {
    const out = Buffer.allocUnsafe(TS_PACKET_BYTES);
    out[0] = TS_SYNC_BYTE;
    out[1] = this.pid >> 8;
    out[2] = this.pid;
    out[3] = 0x20 | this.#counter;
    writeAdaptation(out, TS_HEADER_BYTES, PAYLOAD_BYTES, { pcr, isRandomAccess: false, isDiscontinuity: false });
    return out;
  }

  /** Moves the PES packet's bytes to their places and writes what stands between them. */
  #spread(out: Buffer, pesStart: number, firstAdaptationBytes: number, times: PesTimes): void {
    const end = out.length;
    let from = pesStart;
    let adaptationBytes = firstAdaptationBytes;
    for (let packet = 0; packet < end; packet += TS_PACKET_BYTES) {
      const isFirst = packet === 0;
      const payload = Math.min(PAYLOAD_BYTES - adaptationBytes, end - from);
      // The last packet is filled up before its payload.
      const room = PAYLOAD_BYTES - payload;
      const to = packet + TS_PACKET_BYTES - payload;
      if (to !== from) out.copyWithin(to, from, from + payload);
      from += payload;
      this.#counter = (this.#counter + 1) & 15;
      out[packet] = TS_SYNC_BYTE;
      out[packet + 1] = (isFirst ? 0x40 : 0) | (this.pid >> 8);
      out[packet + 2] = this.pid;
      out[packet + 3] = (room > 0 ? 0x30 : 0x10) | this.#counter;
      if (room > 0) writeAdaptation(out, packet + TS_HEADER_BYTES, room, isFirst ? times : undefined);
      adaptationBytes = 0;
    }
  }
}

/** Returns the offset after it. */
function writeHeader(
  out: Buffer,
  start: number,
  streamId: number,
  payloadBytes: number,
  pts: number,
  dts: number,
): number {
  const hasDts = pts !== dts;
  const timeBytes = hasDts ? 10 : 5;
  let length = 3 + timeBytes + payloadBytes;
  if (length > 0xffff) {
    if ((streamId & 0xf0) !== STREAM_ID_VIDEO) {
      throw new FormatError(
        'frame',
        `an audio PES packet of ${length} bytes, over 65535: frames are that long nowhere`,
      );
    }
    // 0: as long as it takes to the next one; allowed for video alone.
    length = 0;
  }
  out[start] = 0;
  out[start + 1] = 0;
  out[start + 2] = 1;
  out[start + 3] = streamId;
  out[start + 4] = length >> 8;
  out[start + 5] = length;
  out[start + 6] = 0x84; // data_alignment_indicator: an access unit begins here
  out[start + 7] = hasDts ? 0xc0 : 0x80;
  out[start + 8] = timeBytes;
  const at = writeTime(out, start + 9, hasDts ? 3 : 2, pts);
  return hasDts ? writeTime(out, at, 1, dts) : at;
}

/** adaptation_field of so many bytes, its length byte included: ISO/IEC 13818-1 §2.4.3.4. */
function writeAdaptation(
  out: Buffer,
  start: number,
  bytes: number,
  times: Omit<PesTimes, 'pts' | 'dts'> | undefined,
): void {
  out[start] = bytes - 1;
  if (bytes === 1) return;
  const pcr = times?.pcr;
  out[start + 1] =
    (times?.isDiscontinuity ? 0x80 : 0) | (times?.isRandomAccess ? 0x40 : 0) | (pcr === undefined ? 0 : 0x10);
  let at = start + 2;
  if (pcr !== undefined) {
    const base = modulo(pcr);
    const high = Math.floor(base / 2); // the upper 32 of 33 bits
    out[at] = high >>> 24;
    out[at + 1] = high >>> 16;
    out[at + 2] = high >>> 8;
    out[at + 3] = high;
    out[at + 4] = ((base % 2) << 7) | 0x7e;
    out[at + 5] = 0; // the extension, of 27 MHz
    at += 6;
  }
  out.fill(0xff, at, start + bytes);
}

/** Five bytes of a 33-bit time behind four bits that tell which; returns the offset after it. */
function writeTime(out: Buffer, at: number, mark: number, ticks: number): number {
  const low = ticks % 0x40000000; // 30 bits
  const high = (ticks - low) / 0x40000000; // 3 bits
  out[at] = (mark << 4) | (high << 1) | 1;
  out[at + 1] = low >> 22;
  out[at + 2] = (low >> 14) | 1;
  out[at + 3] = low >> 7;
  out[at + 4] = (low << 1) | 1;
  return at + 5;
}

function modulo(ticks: number): number {
  const rest = ticks % MODULUS;
  return rest < 0 ? rest + MODULUS : rest;
}
