import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PassThrough } from 'node:stream';
import { readable, readableLines } from './log-lines.ts';

test('a log line is shown as node, message and fields', () => {
  const line = JSON.stringify({
    level: 40,
    time: 0,
    node: 'edge-0',
    nodeId: 'x',
    msg: 'pull ended',
    app: 'live',
    why: 'a b',
  });
  assert.match(readable(line, false), /^\d\d:\d\d:\d\d edge-0 {4}warn pull ended app=live why="a b"$/);
  assert.match(
    readable(JSON.stringify({ level: 30, time: 0, msg: 'x', err: { message: 'boom', stack: '…' } }), false),
    /x err="boom"$/,
  );
  assert.equal(readable('no JSON', false), 'no JSON');
});

test('lines split over writes come whole', async () => {
  const out = new PassThrough();
  const lines = readableLines(out, false);
  lines.write('not js');
  lines.write('on\nsecond\nrest');
  lines.end();
  await new Promise((resolve) => lines.on('finish', resolve));
  assert.equal(String(out.read()), 'not json\nsecond\n');
});
