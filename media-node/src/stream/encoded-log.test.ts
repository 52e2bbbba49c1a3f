import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EncodedLog } from './encoded-log.ts';

describe('the log of an output', () => {
  test('gives the bytes from any position that was not forgotten, as they were appended', () => {
    const operation = fc.oneof(
      fc.record({ op: fc.constant('append' as const), size: fc.integer({ min: 0, max: 9_000 }) }),
      fc.record({ op: fc.constant('large' as const), size: fc.constant(300_000) }),
      fc.record({ op: fc.constantFrom('begin' as const, 'drop' as const) }),
      fc.record({ op: fc.constant('forget' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ op: fc.constant('read' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const log = new EncodedLog();
        let all = Buffer.alloc(0);
        let least = 0;
        let gopStart: number | undefined;
        let fill = 0;
        for (const step of operations) {
          switch (step.op) {
            case 'append':
            case 'large': {
              const bytes = Buffer.alloc(step.size, ++fill);
              log.append(bytes);
              all = Buffer.concat([all, bytes]);
              break;
            }
            case 'begin':
              log.beginGop();
              gopStart = all.length;
              break;
            case 'drop':
              log.dropGop();
              gopStart = undefined;
              break;
            case 'forget':
              least = Math.round(least + (all.length - least) * step.part);
              log.forget(least);
              break;
            case 'read': {
              const from = Math.round(least + (all.length - least) * step.part);
              assert.ok(log.from(from).equals(all.subarray(from)));
            }
          }
          assert.equal(log.end, all.length);
          assert.equal(log.gopStart, gopStart);
          if (gopStart !== undefined) assert.ok(log.from(gopStart).equals(all.subarray(gopStart)));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('what was read stays as it was when more is appended', () => {
    const log = new EncodedLog();
    log.append(Buffer.from('one '));
    const one = log.from(0);
    for (let count = 0; count < 10_000; count++) log.append(Buffer.from('more'));
    assert.equal(one.toString(), 'one ');
  });

  test('the same question is answered with the same Buffer', () => {
    const log = new EncodedLog();
    log.append(Buffer.from('abc'));
    log.beginGop();
    log.append(Buffer.from('def'));
    assert.equal(log.from(1).toString(), 'bcdef');
    assert.equal(log.from(1), log.from(1));
    log.append(Buffer.from('g'));
    assert.equal(log.from(1).toString(), 'bcdefg');
  });

  test('memory is bounded where nobody may join: old bytes go once they are read', () => {
    const log = new EncodedLog();
    const bytes = Buffer.alloc(100_000);
    const memory = new Set<ArrayBufferLike>();
    for (let count = 0; count < 100; count++) {
      log.append(bytes);
      memory.clear();
      for (let from = Math.max(0, log.end - bytes.length); from < log.end; from += 1_000) {
        const slice = log.from(from);
        if (slice.buffer.byteLength > slice.length) memory.add(slice.buffer);
      }
      log.forget(log.end - bytes.length);
    }
    for (const { byteLength } of memory) assert.ok(byteLength <= 1024 * 1024, `${byteLength}`);
  });
});
