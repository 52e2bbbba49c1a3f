import assert from 'node:assert/strict';
import { test } from 'node:test';
import { switchedLogger } from './switched-logger.ts';

test('a changed level holds for children that were there before', () => {
  const lines: string[] = [];
  const { logger, setLevel } = switchedLogger('info', { node: 'a' }, { write: (line) => void lines.push(line) });
  const child = logger.child({ session: 1 });
  child.debug('hidden');
  setLevel('debug');
  child.debug('shown');
  setLevel('error');
  child.warn('hidden');
  child.error({ code: 'x' }, 'also shown');
  setLevel('nonsense');
  logger.error('the level stays');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line) as { msg: string; node: string }).map(({ msg, node }) => [msg, node]),
    [
      ['shown', 'a'],
      ['also shown', 'a'],
      ['the level stays', 'a'],
    ],
  );
});
