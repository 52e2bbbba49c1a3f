import { readU24, readU32 } from '../lib/bytes.ts';
import { FLV_TAG_AUDIO, FLV_TAG_SCRIPT, FLV_TAG_VIDEO } from '../formats/flv-file.ts';
import type { Patch } from './container.ts';
import type { RecordingFile } from './file-system.ts';
import type { RecordingFormat } from './recording-path.ts';

/** What of a file whose writer was killed is whole. */
export interface WholePart {
  /** Bytes up to the end of the last whole unit; 0 when there is none. */
  readonly bytes: number;
  /** Media is among them, not only headers. */
  readonly hasMedia: boolean;
  /** Of FLV: time of the last tag, in milliseconds; 0 of MP4. */
  readonly lastMs: number;
}

const WINDOW_BYTES = 256 * 1024;
const FLV_HEADER_BYTES = 13;
const TAG_HEADER_BYTES = 11;
const BOX_HEADER_BYTES = 16;

/** Reads a file from its beginning to its end, with few reads however small the steps. */
class Scan {
  readonly size: number;
  readonly #file: RecordingFile;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  #start = 0;
  #length = 0;

  constructor(file: RecordingFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** The bytes at a place, until the next call; undefined where the file ends before. `length` is small. */
  async at(position: number, length: number): Promise<Buffer | undefined> {
    if (position + length > this.size) return undefined;
    if (position < this.#start || position + length > this.#start + this.#length) {
      const { bytesRead } = await this.#file.read(this.#window, 0, WINDOW_BYTES, position);
      this.#start = position;
      this.#length = bytesRead;
      if (bytesRead < length) return undefined;
    }
    return this.#window.subarray(position - this.#start, position - this.#start + length);
  }
}

/** `isPart`: it is no file's beginning but begins at a tag or fragment. */
export async function wholePart(file: RecordingFile, format: RecordingFormat, isPart = false): Promise<WholePart> {
  const scan = new Scan(file, (await file.stat()).size);
  return format === 'flv' ? wholeFlv(scan, isPart) : wholeMp4(scan);
}

async function wholeFlv(scan: Scan, isPart: boolean): Promise<WholePart> {
  let bytes = isPart ? 0 : FLV_HEADER_BYTES;
  let hasMedia = false;
  let lastMs = 0;
  if (!isPart && (await scan.at(0, 3))?.toString('latin1') !== 'FLV') return { bytes: 0, hasMedia, lastMs };
  for (;;) {
    const tag = await scan.at(bytes, TAG_HEADER_BYTES);
    if (tag === undefined) break;
    const type = tag[0]!;
    const timeMs = ((tag[7]! << 24) | readU24(tag, 4)) >>> 0;
    const tagBytes = TAG_HEADER_BYTES + readU24(tag, 1);
    if (type !== FLV_TAG_AUDIO && type !== FLV_TAG_VIDEO && type !== FLV_TAG_SCRIPT) break;
    // A page that never reached the disk is zeros: the size behind the tag tells.
    const size = await scan.at(bytes + tagBytes, 4);
    if (size === undefined || readU32(size, 0) !== tagBytes) break;
    bytes += tagBytes + 4;
    // Sequence headers are at 0, as are the first frames.
    hasMedia ||= type !== FLV_TAG_SCRIPT && timeMs > 0;
    lastMs = Math.max(lastMs, timeMs);
  }
  return { bytes: Math.min(bytes, scan.size), hasMedia, lastMs };
}

async function wholeMp4(scan: Scan): Promise<WholePart> {
  let at = 0;
  let bytes = 0;
  let hasMedia = false;
  for (;;) {
    const head = await scan.at(at, Math.min(BOX_HEADER_BYTES, scan.size - at));
    if (head === undefined || head.length < 8) break;
    const type = head.toString('latin1', 4, 8);
    let size = readU32(head, 0);
    if (size === 1 && head.length === BOX_HEADER_BYTES) size = Number(head.readBigUInt64BE(8));
    if (!/^(ftyp|moov|moof|mdat|mfra)$/.test(type) || size < 8 || at + size > scan.size) break;
    at += size;
    // A fragment is whole with its data.
    if (type !== 'moof' && type !== 'ftyp') bytes = at;
    hasMedia ||= type === 'mdat';
  }
  return { bytes, hasMedia, lastMs: 0 };
}

/** Where FlvContainer's own fields of onMetaData lie: a name with its length, the type number, eight bytes. */
const LENGTH_FIELDS = ['duration', 'filesize', 'lasttimestamp'] as const;

/** What onMetaData of a file that FlvContainer began is to say, now that its length is known; undefined where it has none. */
export async function flvLengthPatch(file: RecordingFile, { bytes, lastMs }: WholePart): Promise<Patch | undefined> {
  const scan = new Scan(file, bytes);
  const tagBytes = TAG_HEADER_BYTES + readU24((await scan.at(FLV_HEADER_BYTES, TAG_HEADER_BYTES))!, 1);
  const tag = await scan.at(FLV_HEADER_BYTES, Math.min(tagBytes, WINDOW_BYTES));
  if (tag === undefined || tag[0] !== FLV_TAG_SCRIPT) return undefined;
  const patched = Buffer.from(tag);
  for (const field of LENGTH_FIELDS) {
    const name = Buffer.from(`\0${String.fromCharCode(field.length)}${field}\0`, 'latin1');
    const at = patched.indexOf(name);
    if (at < 0 || at + name.length + 8 > patched.length) continue;
    patched.writeDoubleBE(field === 'filesize' ? bytes : lastMs / 1_000, at + name.length);
  }
  return { position: FLV_HEADER_BYTES, bytes: patched };
}
