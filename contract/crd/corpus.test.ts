import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readManifests } from '../manifest.ts';
import { corpus } from './corpus.ts';

test('the corpus holds right and wrong manifests of both kinds', () => {
  const count = (valid: boolean, prefix: string) =>
    corpus().filter((manifest) => manifest.valid === valid && manifest.name.startsWith(prefix)).length;
  for (const valid of [true, false]) {
    for (const prefix of ['lc-', 'vhost-']) assert.ok(count(valid, prefix) >= 5, `${prefix} ${valid}`);
  }
});

for (const { name, valid, text, expect } of corpus()) {
  if (valid) {
    test(`zod takes ${name}`, () => {
      const { errors, liveClusters, vhosts } = readManifests(text);
      assert.deepEqual(errors, []);
      assert.equal(liveClusters.length + vhosts.length, 1);
    });
  } else {
    test(`zod refuses ${name} and says why`, () => {
      const { errors, liveClusters, vhosts } = readManifests(text);
      assert.equal(liveClusters.length + vhosts.length, 0);
      for (const part of expect) {
        assert.ok(
          errors.some((line) => line.includes(part)),
          `expected "${part}" in:\n${errors.join('\n')}`,
        );
      }
    });
  }
}
