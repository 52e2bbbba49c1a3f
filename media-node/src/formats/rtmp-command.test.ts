import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../lib/format-error.ts';
import { encodeAmf0 } from './amf0.ts';
import { decodeCommand, encodeCommand } from './rtmp-command.ts';
import { unhex } from './testing.ts';

const AMF0 = 20;
const AMF3 = 17;

test('a command comes back as it was written', () => {
  const payload = encodeCommand('play', 4, null, 'cam1?token=x', -2000);
  assert.deepEqual(decodeCommand({ type: AMF0, payload }), {
    name: 'play',
    transactionId: 4,
    object: undefined,
    args: ['cam1?token=x', -2000],
  });
  const connect = decodeCommand({ type: AMF0, payload: encodeCommand('connect', 1, { app: 'live' }) });
  assert.deepEqual(connect, { name: 'connect', transactionId: 1, object: { app: 'live' }, args: [] });
});

test('an AMF3 command is read with and without its format byte, and with a command object in AMF3', () => {
  const amf0 = encodeCommand('connect', 1, { app: 'live' });
  for (const payload of [Buffer.concat([Buffer.from([0]), amf0]), amf0]) {
    assert.deepEqual(decodeCommand({ type: AMF3, payload }).object, { app: 'live' });
  }
  // { app: 'live' } as an anonymous dynamic AMF3 object
  const payload = Buffer.concat([
    unhex('00'),
    encodeAmf0('connect', 1),
    unhex('11 0a 0b 01 07 617070 06 09 6c697665 01'),
  ]);
  assert.deepEqual(decodeCommand({ type: AMF3, payload }), {
    name: 'connect',
    transactionId: 1,
    object: { app: 'live' },
    args: [],
  });
});

test('what peers leave out is filled in', () => {
  const bare = { name: 'getStreamLength', transactionId: 0, object: undefined, args: [] };
  assert.deepEqual(decodeCommand({ type: AMF0, payload: encodeAmf0('getStreamLength') }), bare);
  assert.deepEqual(decodeCommand({ type: AMF0, payload: encodeAmf0('getStreamLength', null, 'x') }), bare);
});

test('a command without a name is an error', () => {
  for (const payload of [Buffer.alloc(0), encodeAmf0(1), encodeAmf0(null)]) {
    for (const type of [AMF0, AMF3]) {
      assert.throws(
        () => decodeCommand({ type, payload }),
        (e) => e instanceof FormatError && e.code === 'amf',
      );
    }
  }
});
