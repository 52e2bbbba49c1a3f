import assert from 'node:assert/strict';
import { join, normalize } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { PathNames } from '../lib/path-template.ts';
import { PathError } from '../lib/path-template.ts';
import type { PathSettings } from './vhost-paths.ts';
import { VhostPaths, VhostPathTable } from './vhost-paths.ts';

const NAMES: PathNames = { app: 'live', stream: 'stream01' };
const VALUES = {
  seq: 7,
  timestampMs: Date.UTC(2026, 1, 3, 4, 5, 6, 78) + 0.5,
  durationMs: 1_999.6,
  track: 'video',
} as const;

function settings(hls: Partial<PathSettings['hls']> = {}, name: string = DEFAULT_VHOST): PathSettings {
  return { name, hls: { ...VHOST_DEFAULTS.hls, ...hls }, dash: VHOST_DEFAULTS.dash };
}

/** Every path that names get. */
function allPaths(paths: VhostPaths, names: PathNames): string[] {
  return [
    paths.playlist(names),
    paths.manifest(names),
    paths.tsSegment(names, VALUES),
    paths.fmp4Segment(names, VALUES),
    paths.part(names, VALUES, 3),
    paths.init(names, VALUES),
    paths.key(names, VALUES),
  ];
}

test('the templates of the guide give the paths that its players ask for', () => {
  assert.deepEqual(allPaths(new VhostPaths(settings()), NAMES), [
    'live/stream01.m3u8',
    'live/stream01.mpd',
    'live/stream01-7.ts',
    'live/stream01-video-7.m4s',
    'live/stream01-video-7.p3.m4s',
    'live/stream01-video-init-7.mp4',
    'live/stream01-7.key',
  ]);
});

test('every variable is put in, dates in UTC', () => {
  const paths = new VhostPaths(
    settings({
      tsFile: '[vhost]/[app]/[2006]-[01]-[02]/[15].[04].[05].[999]/[stream]-[timestamp]-[duration]-[seq].ts',
      fmp4File: '[app]/[stream]/[track]-[timestamp].m4s',
    }),
  );
  assert.equal(
    paths.tsSegment(NAMES, VALUES),
    'live/2026-02-03/04.05.06.078/stream01-1770091506078-2000-7.ts',
    'a Vhost without a name of its own leaves it out',
  );
  assert.equal(paths.init(NAMES, VALUES), 'live/stream01/video-1770091506078-init-7.mp4');
  const named = new VhostPaths(settings({ tsFile: '[vhost]/[app]/[stream]-[seq].ts' }, 'shop'));
  assert.equal(named.tsSegment(NAMES, VALUES), 'shop/live/stream01-7.ts');
  assert.deepEqual(named.match('shop/live/stream01-7.ts'), { kind: 'segment', ...NAMES });
  assert.equal(named.match('other/live/stream01-7.ts'), undefined);
});

test('a path names its stream and what it is', () => {
  const paths = new VhostPaths(settings());
  const table: [path: string, kind: string | undefined, app?: string, stream?: string][] = [
    ['live/a.m3u8', 'm3u8', 'live', 'a'],
    ['live/eu/a.m3u8', 'm3u8', 'live/eu', 'a'],
    ['live/a.mpd', 'mpd', 'live', 'a'],
    ['live/a-1-2.ts', 'segment', 'live', 'a-1'],
    ['live/a-audio-5.p12.m4s', 'part', 'live', 'a'],
    ['live/a-audio-5.m4s', 'segment', 'live', 'a'],
    ['live/a-audio-init-5.mp4', 'init', 'live', 'a'],
    ['live/a-5.key', 'key', 'live', 'a'],
    ['live/100%.m3u8', 'm3u8', 'live', '100%'],
    ['a.m3u8', undefined],
    ['live/a.ts', undefined],
    ['live/a-5.flv', undefined],
    ['live/a.toString', undefined],
    ['', undefined],
    [`live/${'a'.repeat(5_000)}.m3u8`, undefined],
  ];
  for (const [path, kind, app, stream] of table) {
    assert.deepEqual(paths.match(path), kind === undefined ? undefined : { kind, app, stream }, path);
  }
});

test('names that would lead elsewhere are written so that they do not, and are read back', () => {
  const paths = new VhostPaths(settings());
  const table: [PathNames, string][] = [
    [{ app: '..', stream: '..' }, '%2E./%2E..m3u8'],
    [{ app: 'a/../../etc', stream: 'passwd' }, 'a/%2E./%2E./etc/passwd.m3u8'],
    [{ app: '/etc', stream: '/b' }, '%2Fetc/%2Fb.m3u8'],
    [{ app: 'a//b/', stream: 'c\\d' }, 'a%2F%2Fb%2F/c%5Cd.m3u8'],
    [{ app: 'live', stream: '.hidden%2e\u0000' }, 'live/%2Ehidden%252e%00.m3u8'],
    [{ app: '라이브', stream: '스트림 1' }, '라이브/스트림 1.m3u8'],
  ];
  for (const [names, path] of table) {
    assert.equal(paths.playlist(names), path);
    assert.deepEqual(paths.match(path), { kind: 'm3u8', ...names });
  }
});

test('two streams never share a path, none leaves the root, and each path names its stream', () => {
  const name = fc.oneof(
    fc.stringMatching(/^[ab%./\\-]{1,6}$/),
    fc.stringMatching(/^[a-z0-9.-]{1,4}(-video-1|\.p1|-init-1|-1)$/),
    fc.string({ minLength: 1, unit: 'grapheme' }),
  );
  const names = fc.record({ app: name, stream: name }, { noNullPrototype: true });
  const templates = [
    {},
    {
      m3u8File: '[app]-[stream].m3u8',
      fmp4File: '[seq]/[track]/[app].[stream].m4s',
      tsFile: '[stream]/[app]_[seq].ts',
    },
    { m3u8File: '[stream]-[app]-[stream].m3u8', fmp4File: 'x[track]-[timestamp]-[stream]/[app].m4s' },
  ].map((hls) => new VhostPaths(settings(hls)));
  fc.assert(
    fc.property(fc.constantFrom(...templates), names, names, (paths, one, other) => {
      const [mine, theirs] = [one, other].map((each) => tried(() => allPaths(paths, each)));
      if (mine === undefined || theirs === undefined) return;
      for (const path of mine) {
        const match = paths.match(path);
        assert.deepEqual({ app: match?.app, stream: match?.stream }, one);
        assert.ok(normalize(join('/root', path)) === `/root/${path}`, path);
      }
      const isSame = one.app === other.app && one.stream === other.stream;
      if (!isSame) assert.equal(mine.filter((path) => theirs.includes(path)).length, 0);
    }),
  );
});

test('a template that cannot keep streams apart is refused in words', () => {
  const paths = new VhostPaths(settings({ tsFile: '[app]/[stream][seq].ts' }));
  assert.throws(() => paths.tsSegment(NAMES, { ...VALUES, seq: 10 }), {
    name: 'PathError',
    code: 'ambiguous',
    message: /tsFile \[app\]\/\[stream\]\[seq\]\.ts .*: put a \/ or - between its variables/,
  });
  assert.throws(() => new VhostPaths(settings()).playlist({ app: 'a', stream: 'b'.repeat(3_000) }), {
    code: 'too-long',
  });
});

test('files of before a change of the templates are still found, playlists at their new path alone', () => {
  const table = new VhostPathTable();
  const before = settings();
  const after = settings({ tsFile: 'ts/[app]/[stream]/[seq].ts', m3u8File: 'hls/[app]/[stream].m3u8' });
  assert.equal(table.of(before), table.of(settings()));
  table.of(after);
  assert.equal(table.match(after, 'hls/live/a.m3u8')?.kind, 'm3u8');
  assert.equal(table.match(after, 'live/a.m3u8'), undefined);
  assert.deepEqual(table.match(after, 'live/a-5.ts'), { kind: 'segment', app: 'live', stream: 'a' });
  for (let i = 0; i < 10; i++) table.of(settings({ tsFile: `${i}/[app]/[stream]/[seq].ts` }));
  assert.equal(table.match(after, 'live/a-5.ts'), undefined, 'only a few are remembered');
});

function tried(make: () => string[]): string[] | undefined {
  try {
    return make();
  } catch (error) {
    assert.ok(error instanceof PathError);
    return undefined;
  }
}
