import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { Adts } from './adts.ts';
import { unhex } from './testing.ts';

const HEADERS: readonly (readonly [name: string, config: string, header: string])[] = [
  ['AAC-LC, 48 kHz, stereo', '1190', 'fff14c80015ffc'],
  ['AAC-LC, 44.1 kHz, stereo', '1210', 'fff15080015ffc'],
  ['AAC-LC, 44.1 kHz, mono', '1208', 'fff15040015ffc'],
  ['AAC-LC, 48 kHz, 5.1', '11b0', 'fff14d80015ffc'],
  ['HE-AAC by its explicit form: the core, 24 kHz', '2b118800', 'fff15880015ffc'],
];
for (const [name, config, header] of HEADERS) {
  test(`the header of three bytes of ${name}`, () => {
    const frame = new Adts({ config: unhex(config) }).frame(unhex('aabbcc'));
    assert.equal(frame.toString('hex'), `${header}aabbcc`);
  });
}

test('aac_frame_length counts the header and has 13 bits', () => {
  const adts = new Adts({ config: unhex('1190') });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8184 }), (bytes) => {
      const head = Buffer.alloc(9);
      assert.equal(adts.writeHeader(bytes, head, 1), 8);
      assert.equal((head.readUInt32BE(4) >> 13) & 0x1fff, bytes + 7);
      assert.deepEqual([head[0], head[8]], [0, 0]);
    }),
  );
  assert.throws(
    () => adts.frame(Buffer.alloc(8185)),
    (error) =>
      error instanceof FormatError && error.code === 'frame' && /8185 bytes, over ADTS's 8184/.test(error.message),
  );
});

const UNFIT: readonly (readonly [name: string, config: string, message: RegExp])[] = [
  ['USAC', 'f94840', /object type 42/],
  ['a rate of its own', '1780bb8110', /sample rate of 96002 Hz/],
  ['channels told by a program config element', '1180000000000000', /channel configuration 0/],
  ['frames of 960 samples', '1194', /other than 1024 samples/],
  ['half a configuration', '11', /ends after 1 bytes/],
];
for (const [name, config, message] of UNFIT) {
  test(`no header can tell ${name}`, () => {
    assert.throws(
      () => new Adts({ config: unhex(config) }),
      (error) => error instanceof FormatError && error.code === 'codec-config' && message.test(error.message),
    );
  });
}
