import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ByteArena } from './byte-arena.ts';

test('whatever is appended, what was handed out before stays as it was', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 })), (parts) => {
      const arena = new ByteArena(0);
      const views: { view: Buffer; expected: Buffer }[] = [];
      let all = Buffer.alloc(0);
      for (const part of parts) {
        arena.append(Buffer.from(part));
        all = Buffer.concat([all, part]);
        views.push({ view: arena.from(0), expected: all });
      }
      assert.equal(arena.length, all.length);
      for (const { view, expected } of views) assert.ok(view.equals(expected));
    }),
  );
});
