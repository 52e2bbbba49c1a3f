import assert from 'node:assert/strict';
import { join, normalize } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isStreamName } from '../stream/stream-key.ts';
import { numbered, recordingPath } from './recording-path.ts';
import { appliesTo } from './stream-patterns.ts';

const key = { vhost: 'tv', app: 'live/eu', stream: 'cam' };

test('a path is made of the stream’s names and the time of its beginning', () => {
  const atMs = Date.UTC(2026, 1, 3, 4, 5, 6, 7);
  const template = '[vhost]/[app]/[stream]/[2006]-[01]-[02]/[15].[04].[05].[999].[timestamp].mp4';
  assert.equal(recordingPath(template, key, atMs), `tv/live/eu/cam/2026-02-03/04.05.06.007.${atMs}.mp4`);
  assert.equal(recordingPath('[vhost]/[stream].flv', { ...key, vhost: '__defaultVhost__' }, atMs), 'cam.flv');
  assert.equal(numbered('a.b/c.flv', 2), 'a.b/c-2.flv');
});

test('no name of a stream leads out of the folder or makes a name that no disk takes', () => {
  const name = fc
    .oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 512 }),
      fc
        .array(fc.constantFrom('..', '/', '.', '\\', 'a', '%2e', '한'), { minLength: 1, maxLength: 400 })
        .map((all) => all.join('')),
    )
    .filter(isStreamName);
  fc.assert(
    fc.property(name, name, (app, stream) => {
      const path = recordingPath('[app]/[stream].[timestamp].flv', { vhost: 'tv', app, stream }, 1);
      const parts = path.split('/');
      assert.equal(normalize(join('/folder', path)), `/folder/${path}`);
      for (const part of parts) {
        assert.ok(Buffer.byteLength(part) <= 200, part);
        assert.ok(part !== '' && !part.startsWith('.'), path);
      }
      assert.match(path, /\.flv$/);
    }),
  );
});

test('two streams with long names of one beginning have two paths', () => {
  const path = (stream: string) => recordingPath('[stream].flv', { ...key, stream }, 1);
  assert.notEqual(path(`${'한'.repeat(300)}a`), path(`${'한'.repeat(300)}b`));
});

test('applyTo names streams, with stars for any characters', () => {
  const table: [string[], string, string, boolean][] = [
    [[], 'live', 'cam', true],
    [['live/cam'], 'live', 'cam', true],
    [['live/cam'], 'live', 'cam2', false],
    [['live/*'], 'live', 'cam', true],
    [['live/*'], 'vod', 'cam', false],
    [['*/cam'], 'live/eu', 'cam', true],
    [['live/c*m*1'], 'live', 'camera1', true],
    [['live/c*m*1'], 'live', 'cam', false],
    [['a/x', 'live/cam'], 'live', 'cam', true],
    [['live/ab*ba'], 'live', 'aba', false],
    [['live/*a*a*'], 'live', 'a', false],
    [['live/.*'], 'live', 'cam', false],
  ];
  for (const [patterns, app, stream, expected] of table) {
    assert.equal(appliesTo(patterns, { app, stream }), expected, `${patterns.join()} ${app}/${stream}`);
  }
});
