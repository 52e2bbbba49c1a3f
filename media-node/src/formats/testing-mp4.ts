import assert from 'node:assert/strict';

/* A reader of MP4 for the tests of its writers; it shares nothing with them. */

export interface Mp4Box {
  readonly type: string;
  /** Of its header. */
  readonly offset: number;
  readonly body: Buffer;
}

/** The boxes one behind the other; fails where their sizes do not fill the bytes exactly. */
export function boxes(bytes: Buffer): Mp4Box[] {
  const found: Mp4Box[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const size = bytes.readUInt32BE(offset);
    assert.ok(size >= 8 && offset + size <= bytes.length, `a box of ${size} bytes at ${offset} of ${bytes.length}`);
    found.push({
      type: bytes.toString('latin1', offset + 4, offset + 8),
      offset,
      body: bytes.subarray(offset + 8, offset + size),
    });
    offset += size;
  }
  return found;
}

/** All boxes at a path such as `moov/trak/mdia`. */
export function find(bytes: Buffer, path: string): Buffer[] {
  let level = [bytes];
  for (const type of path.split('/')) {
    level = level.flatMap((body) => boxes(body).flatMap((box) => (box.type === type ? [box.body] : [])));
  }
  return level;
}

export interface ReadSample {
  readonly duration: number;
  readonly size: number;
  readonly flags: number | undefined;
  readonly composition: number;
  readonly data: Buffer;
}

export interface ReadRun {
  readonly sequenceNumber: number;
  readonly trackId: number;
  readonly start: number;
  readonly samples: readonly ReadSample[];
}

/** The runs of fragments one behind the other; fails where they are not what ISO/IEC 14496-12 §8.8 says. */
export function readFragments(bytes: Buffer): ReadRun[] {
  const runs: ReadRun[] = [];
  const top = boxes(bytes);
  for (let index = 0; index < top.length; index += 2) {
    const moof = top[index]!;
    const mdat = top[index + 1]!;
    assert.deepEqual([moof.type, mdat.type], ['moof', 'mdat']);
    let dataEnd = mdat.offset + 8;
    for (const traf of find(moof.body, 'traf')) {
      const run = readTraf(traf, find(moof.body, 'mfhd')[0]!.readUInt32BE(4), bytes.subarray(moof.offset), (offset) => {
        assert.equal(moof.offset + offset, dataEnd, 'runs lie in mdat one behind the other');
      });
      runs.push(run);
      for (const { size } of run.samples) dataEnd += size;
    }
    assert.equal(dataEnd, mdat.offset + 8 + mdat.body.length, 'samples fill mdat');
  }
  return runs;
}

function readTraf(traf: Buffer, sequenceNumber: number, base: Buffer, onData: (offset: number) => void): ReadRun {
  assert.deepEqual(
    boxes(traf).map(({ type }) => type),
    ['tfhd', 'tfdt', 'trun'],
  );
  const [tfhd, tfdt, trun] = boxes(traf).map(({ body }) => body) as [Buffer, Buffer, Buffer];
  assert.equal(tfhd.readUInt32BE(0), 0x020000, 'default-base-is-moof');
  assert.equal(tfdt.readUInt32BE(0), 0x01000000);
  const flags = trun.readUInt32BE(0) & 0xffffff;
  assert.equal(flags & 0x301, 0x301);
  let dataAt = trun.readInt32BE(8);
  onData(dataAt);
  const samples: ReadSample[] = [];
  let at = 12;
  for (let left = trun.readUInt32BE(4); left > 0; left--) {
    const duration = trun.readUInt32BE(at);
    const size = trun.readUInt32BE(at + 4);
    at += 8;
    const sampleFlags = (flags & 0x400) === 0 ? undefined : trun.readUInt32BE(at);
    if (sampleFlags !== undefined) at += 4;
    const composition = (flags & 0x800) === 0 ? 0 : trun.readInt32BE(at);
    if ((flags & 0x800) !== 0) at += 4;
    samples.push({ duration, size, flags: sampleFlags, composition, data: base.subarray(dataAt, dataAt + size) });
    dataAt += size;
  }
  assert.equal(at, trun.length, 'samples fill trun');
  return { sequenceNumber, trackId: tfhd.readUInt32BE(4), start: Number(tfdt.readBigUInt64BE(4)), samples };
}
