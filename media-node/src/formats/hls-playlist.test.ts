import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse, setOptions, types } from 'hls-parser';
import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import { anyShape, snapshotOf } from '#contract/testing/packaging.ts';
import { lastOf, mediaPlaylist, renditionReport } from './hls-playlist.ts';

/** As far as these tests look at what m3u8-parser, the parser of video.js, reads. */
interface Manifest {
  readonly version: number;
  readonly targetDuration: number;
  readonly mediaSequence: number;
  readonly discontinuitySequence: number;
  readonly discontinuityStarts: readonly number[];
  readonly endList?: boolean;
  readonly independentSegments?: boolean;
  readonly skip?: { readonly skippedSegments: number };
  readonly segments: readonly {
    readonly uri?: string;
    readonly duration?: number;
    readonly map?: { readonly uri: string };
    readonly key?: { readonly method: string; readonly uri: string; readonly iv: Uint32Array };
    readonly programDateTime?: number;
    readonly parts?: readonly { readonly uri: string }[];
  }[];
  readonly preloadSegment?: Manifest['segments'][number] & {
    readonly preloadHints?: readonly { readonly type: string; readonly uri: string }[];
  };
}
interface Parser {
  readonly manifest: Manifest;
  push(text: string): void;
  end(): void;
}
const { Parser } = createRequire(import.meta.url)('m3u8-parser') as { readonly Parser: new () => Parser };

function read(text: string): Manifest {
  const parser = new Parser();
  parser.push(text);
  parser.end();
  return parser.manifest;
}

function playlist(snapshot: PackagingSnapshot, rendition: RenditionName, isDelta = false): string {
  return mediaPlaylist(snapshot, { rendition, path: 'live/s.m3u8', isDelta });
}

test('a playlist of MPEG-TS: every tag in its place', () => {
  const snapshot = snapshotOf({ renditions: ['ts'], durationsMs: [2_000, 2_040.4, 1_960], firstSeq: 7, seams: [8] });
  assert.equal(
    playlist({ ...snapshot, discontinuitySequence: 3 }, 'ts'),
    `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.000Z
#EXTINF:2.000,
s-7.ts
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:07.000Z
#EXTINF:2.040,
s-8.ts
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:09.040Z
#EXTINF:1.960,
s-9.ts
`,
  );
});

test('a key stands at the head and at each change; one that ends is told, and its address may be elsewhere', () => {
  const snapshot = snapshotOf({ renditions: ['ts'], durationsMs: [2_000, 2_000, 2_000], keys: [0, 1] });
  const [first, second, third] = snapshot.segments;
  const { key: _, ...open } = third!;
  const elsewhere = { ...second!, key: { ...second!.key!, uri: 'https://keys.example/a"b\n' } };
  const lines = playlist({ ...snapshot, segments: [first!, elsewhere, open] }, 'ts').split('\n');
  assert.deepEqual(
    lines.filter((line) => line.startsWith('#EXT-X-KEY')),
    [
      `#EXT-X-KEY:METHOD=AES-128,URI="s-0.key",IV=0x${'0'.repeat(32)}`,
      `#EXT-X-KEY:METHOD=AES-128,URI="https://keys.example/a%22b%0A",IV=0x${'0'.repeat(31)}1`,
      '#EXT-X-KEY:METHOD=NONE',
    ],
  );
});

test("a key's address from the root has what follows every file's address, another server's has not", () => {
  const snapshot = snapshotOf({ renditions: ['ts'], durationsMs: [2_000, 2_000], keys: [0, 1] });
  const [first, second] = snapshot.segments.map((segment) => ({ ...segment, key: segment.key! }));
  const ours = { ...first!, key: { ...first!.key, uri: `/${first!.key.file}` } };
  const other = { ...second!, key: { ...second!.key, uri: '/keys/s-1.key' } };
  const request = { rendition: 'ts', path: 's.m3u8', isDelta: false, query: '?vhost=a' } as const;
  const lines = mediaPlaylist({ ...snapshot, segments: [ours, other] }, request).split('\n');
  assert.deepEqual(
    lines.filter((line) => line.startsWith('#EXT-X-KEY')).map((line) => /URI="([^"]*)"/.exec(line)?.[1]),
    [`/${first!.key.file}?vhost=a`, '/keys/s-1.key'],
  );
});

test('a low-latency playlist: parts of the last two segments and of the open one, the next part', () => {
  const snapshot = snapshotOf({
    renditions: ['video', 'audio'],
    durationsMs: [1_000, 1_000, 1_000, 1_000, 1_000],
    partTargetMs: 500,
    openParts: 1,
    gaps: [3],
    seams: [4],
  });
  assert.equal(
    playlist(snapshot, 'video').split('#EXTINF:1.000,\ns-video-1.m4s\n')[1],
    `#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:07.000Z
#EXTINF:1.000,
s-video-2.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:08.000Z
#EXT-X-PART:DURATION=0.500,URI="s-video-3.p0.m4s",INDEPENDENT=YES,GAP=YES
#EXT-X-PART:DURATION=0.500,URI="s-video-3.p1.m4s",GAP=YES
#EXT-X-GAP
#EXTINF:1.000,
s-video-3.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="s-video-init-4.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:09.000Z
#EXT-X-PART:DURATION=0.500,URI="s-video-4.p0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.500,URI="s-video-4.p1.m4s"
#EXTINF:1.000,
s-video-4.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:10.000Z
#EXT-X-PART:DURATION=0.500,URI="s-video-5.p0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="s-video-5.p1.m4s"
`,
  );
  assert.match(
    playlist(snapshot, 'audio'),
    /^#EXTM3U\n#EXT-X-VERSION:9\n.*\n#EXT-X-TARGETDURATION:1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6\.000,HOLD-BACK=3\.000,PART-HOLD-BACK=1\.500\n#EXT-X-PART-INF:PART-TARGET=0\.500\n/,
  );
  assert.equal(
    renditionReport(snapshot, 'audio', 's.m3u8?hls_track=audio'),
    '#EXT-X-RENDITION-REPORT:URI="s.m3u8?hls_track=audio",LAST-MSN=5,LAST-PART=0\n',
  );
  const { open: _, ...between } = snapshot;
  assert.match(renditionReport(between, 'audio', 'a'), /LAST-MSN=4,LAST-PART=1\n$/);
  assert.equal(renditionReport({ ...snapshot, isEnded: true }, 'audio', 'a'), '');
});

test('a delta update leaves out what lies six target durations and more from the end', () => {
  const shape = { renditions: ['video'], durationsMs: Array<number>(10).fill(1_000), partTargetMs: 500 } as const;
  const snapshot = snapshotOf({ ...shape, openParts: 1 });
  const delta = playlist(snapshot, 'video', true);
  assert.match(delta, /#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=4\n/);
  assert.doesNotMatch(delta, /EXT-X-MAP|s-video-3\.m4s/);
  assert.ok(playlist(snapshot, 'video').endsWith(delta.slice(delta.indexOf('#EXT-X-PROGRAM'))));
  const short = snapshotOf({ ...shape, durationsMs: [1_000, 1_000] });
  assert.equal(playlist(short, 'video', true), playlist(short, 'video'));
  const ended = { ...snapshot, isEnded: true };
  assert.equal(playlist(ended, 'video', true), playlist(ended, 'video'));
});

test('a segment that a rendition is not in is a gap of it, and addresses elsewhere are absolute', () => {
  const snapshot = snapshotOf({ renditions: ['video', 'audio'], durationsMs: [2_000, 3_000], stem: 'other/a b' });
  const [first, second] = snapshot.segments;
  const { audio: _, ...silent } = second!.media;
  const text = playlist({ ...snapshot, segments: [first!, { ...second!, media: silent }] }, 'audio');
  assert.match(text, /#EXT-X-MAP:URI="\/other\/a%20b-audio-init-0\.mp4"\n/);
  assert.match(text, /\n\/other\/a%20b-audio-0\.m4s\n/);
  assert.match(text, /#EXT-X-GAP\n#EXTINF:3\.000,\ngap-1\n$/);
});

test('two independent parsers read from any playlist what the snapshot says', () => {
  fc.assert(
    fc.property(anyShape, fc.boolean(), (shape, isDelta) => {
      const snapshot = snapshotOf(shape);
      for (const rendition of shape.renditions) {
        const path = `${shape.stem}.m3u8`;
        const text = mediaPlaylist(snapshot, { rendition, path, isDelta });
        const manifest = read(text);
        const skipped = manifest.skip?.skippedSegments ?? 0;
        checkSegments(snapshot, rendition, manifest, skipped, path);
        const openMs = snapshot.open?.media[rendition]?.durationMs ?? 0;
        const keptMs = snapshot.segments
          .slice(skipped)
          .reduce((sum, { media }) => sum + media[rendition]!.durationMs, openMs);
        if (skipped > 0)
          assert.ok(isDelta && keptMs >= snapshot.targetDurationS * 6_000, 'what is skipped is old enough');
        if (snapshot.segments.length > 0 && skipped === 0) checkWithHlsParser(snapshot, rendition, text);
      }
    }),
  );
});

function checkSegments(
  snapshot: PackagingSnapshot,
  rendition: RenditionName,
  manifest: Manifest,
  skipped: number,
  path: string,
): void {
  const at = (uri: string): string => decodeURIComponent(new URL(uri, `http://h/${encodeURI(path)}`).pathname.slice(1));
  const expected = snapshot.segments.slice(skipped);
  assert.equal(manifest.segments.length, expected.length);
  assert.equal(manifest.mediaSequence, snapshot.segments[0]?.seq ?? snapshot.open?.seq ?? 0);
  assert.equal(manifest.targetDuration, snapshot.targetDurationS);
  assert.equal(manifest.discontinuitySequence, snapshot.discontinuitySequence);
  assert.equal(manifest.endList ?? false, snapshot.isEnded);
  assert.equal(manifest.independentSegments ?? false, snapshot.isIndependent);
  for (const [index, segment] of expected.entries()) {
    const media = segment.media[rendition]!;
    const told = manifest.segments[index]!;
    assert.equal(at(told.uri!), media.file);
    assert.ok(Math.abs(told.duration! * 1_000 - media.durationMs) < 1);
    assert.ok(Math.round(told.duration!) <= snapshot.targetDurationS);
    assert.equal(told.programDateTime, segment.programDateTimeMs);
    if (told.map !== undefined || skipped === 0) assert.equal(told.map && at(told.map.uri), media.init?.file);
    assert.equal(told.key && at(told.key.uri), segment.key?.file);
    if (told.key !== undefined) assert.equal(told.key.iv.at(-1), Number.parseInt(segment.key!.iv.slice(-8), 16));
    if (told.parts !== undefined) {
      assert.deepEqual(
        told.parts.map(({ uri }) => at(uri)),
        media.parts.map(({ file }) => file),
      );
    }
  }
  const hint = manifest.preloadSegment?.preloadHints?.[0]?.uri;
  assert.equal(hint && at(hint), snapshot.nextPart?.[rendition]);
}

setOptions({ strictMode: true });

function checkWithHlsParser(snapshot: PackagingSnapshot, rendition: RenditionName, text: string): void {
  const parsed = parse(text);
  assert.ok(parsed instanceof types.MediaPlaylist);
  const isLow = snapshot.partTargetMs !== undefined;
  const hasGap = parsed.segments.some(({ gap }) => gap);
  assert.equal(parsed.version, isLow ? 9 : hasGap ? 8 : rendition === 'ts' ? 3 : 6);
  assert.equal(parsed.lowLatencyCompatibility?.canBlockReload ?? false, isLow);
  const segments = parsed.segments.filter(({ uri }) => uri !== '');
  assert.deepEqual(
    segments.map(({ mediaSequenceNumber }) => mediaSequenceNumber),
    snapshot.segments.map(({ seq }) => seq),
  );
  assert.deepEqual(
    segments.map(({ discontinuity }) => discontinuity ?? false),
    snapshot.segments.map(({ isDiscontinuity }) => isDiscontinuity),
  );
  assert.deepEqual(
    segments.map(({ gap }) => gap ?? false),
    snapshot.segments.map(({ isGap }) => isGap),
  );
  const last = lastOf(snapshot, rendition);
  const openParts = snapshot.open?.media[rendition]?.parts.length ?? 0;
  assert.equal(last?.msn, openParts > 0 ? snapshot.open?.seq : segments.at(-1)?.mediaSequenceNumber);
}
