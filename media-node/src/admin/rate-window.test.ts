import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RateWindow, SAMPLE_MS } from './rate-window.ts';

test('a steady rate is told from the first second on', () => {
  const window = new RateWindow(1_000);
  assert.deepEqual(window.kbps(2_000, 125_000, 250_000), { recv_30s: 1_000, send_30s: 2_000 });
  for (let timeMs = 1_000 + SAMPLE_MS; timeMs < 200_000; timeMs += SAMPLE_MS) {
    const bytes = (timeMs - 1_000) * 125;
    assert.deepEqual(window.kbps(timeMs, bytes, 2 * bytes), { recv_30s: 1_000, send_30s: 2_000 });
    window.mark(timeMs, bytes, 2 * bytes);
  }
});

test('what is older than 35 s counts no more, what is younger than 30 s does', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1_000_000), { minLength: 12, maxLength: 40 }), (bytesPerStep) => {
      const window = new RateWindow(0);
      const totals = [0];
      let nowMs = 0;
      for (const bytes of bytesPerStep) {
        nowMs += SAMPLE_MS;
        totals.push((totals.at(-1) ?? 0) + bytes);
        window.mark(nowMs, totals.at(-1) ?? 0, 0);
      }
      const total = totals.at(-1) ?? 0;
      const since = totals.at(-7) ?? 0;
      assert.equal(window.kbps(nowMs, total, 0).recv_30s, Math.round(((total - since) * 8) / (6 * SAMPLE_MS)));
    }),
  );
});

test('in the first second a burst is no rate, and counts that were taken anew give none', () => {
  assert.equal(new RateWindow(500).kbps(501, 1_000, 0).recv_30s, 8);
  const window = new RateWindow(0);
  window.mark(5_000, 900, 900);
  for (let mark = 2; mark < 9; mark++) window.mark(mark * 5_000, 900, 900);
  assert.deepEqual(window.kbps(60_000, 10, 900), { recv_30s: 0, send_30s: 0 });
});
