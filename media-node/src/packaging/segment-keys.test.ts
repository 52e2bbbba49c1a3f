import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import { keyUri } from './segment-keys.ts';
import { VhostPaths } from './vhost-paths.ts';

const NAMES = { app: 'live/eu', stream: 'a b%' };
const VALUES = { seq: 10, timestampMs: Date.UTC(2026, 1, 3, 4, 5, 6, 78), durationMs: 0, track: 'video' } as const;
const encoded = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

for (const [name, vhost] of [
  ['of the default vhost', '__defaultVhost__'],
  ['of another vhost', 'tv'],
] as const) {
  test(`a key's address made from the template of its file names that file, ${name}`, () => {
    const keyFile = '[vhost]/[app]/[2006]-[01]-[02]/[15].[04].[05].[999]-[stream]-[timestamp]-[seq].key';
    const keys = { ...VHOST_DEFAULTS.hls.keys, keyFile };
    const paths = new VhostPaths({ name: vhost, hls: { ...VHOST_DEFAULTS.hls, keys }, dash: VHOST_DEFAULTS.dash });
    const file = paths.key(NAMES, VALUES);
    for (const before of ['/', 'https://keys.example/']) {
      assert.equal(keyUri(`${before}${keyFile}`, file, NAMES, paths.vhost, VALUES), `${before}${encoded(file)}`);
    }
  });
}

test('a key has the address of its file, that behind another one, or one of its own', () => {
  const of = (url: string): string => keyUri(url, 'live/s 1-10.key', { app: 'live', stream: 's 1' }, undefined, VALUES);
  assert.equal(of(''), 'live/s 1-10.key');
  assert.equal(of('https://keys.example/'), 'https://keys.example/live/s%201-10.key');
  assert.equal(of('https://keys.example/?of=[app]/[stream]&n=[seq]'), 'https://keys.example/?of=live/s%201&n=10');
});
