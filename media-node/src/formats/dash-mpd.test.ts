import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PackagedSegment, PackagingSnapshot } from '#contract/packaging.ts';
import { SNAPSHOT_EPOCH_MS, anyShape, snapshotOf } from '#contract/testing/packaging.ts';
import { hasManifest, manifest, manifestText } from './dash-mpd.ts';

const BOTH = ['video', 'audio'] as const;
const NOW_MS = SNAPSHOT_EPOCH_MS + 6_500;
const render = (snapshot: PackagingSnapshot, query?: string, location?: string, nowMs = NOW_MS): string =>
  manifestText(manifest(snapshot, { path: 'live/s.mpd', ...(query !== undefined && { query }) }), nowMs, location);

test('a manifest of two tracks: every element in its place', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000, 1_961], firstSeq: 7 });
  const text = render(snapshot);
  assert.equal(
    text,
    `<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" publishTime="2026-01-02T03:04:10.961Z" minimumUpdatePeriod="PT2S" minBufferTime="PT2S" timeShiftBufferDepth="PT6S" suggestedPresentationDelay="PT6S">
<Period id="1767323045000" start="PT1767323045S">
<AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
<Representation id="video" bandwidth="2500000" codecs="avc1.64001f" width="1280" height="720" frameRate="25">
<SegmentTemplate timescale="90000" presentationTimeOffset="0" startNumber="7" initialization="s-video-init-7.mp4" media="s-video-$Number$.m4s">
<SegmentTimeline><S t="0" d="180000" r="1"/><S d="176490"/></SegmentTimeline>
</SegmentTemplate>
</Representation>
</AdaptationSet>
<AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1">
<Representation id="audio" bandwidth="130000" codecs="mp4a.40.2" audioSamplingRate="48000">
<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
<SegmentTemplate timescale="90000" presentationTimeOffset="0" startNumber="7" initialization="s-audio-init-7.mp4" media="s-audio-$Number$.m4s">
<SegmentTimeline><S t="0" d="180000" r="1"/><S d="176490"/></SegmentTimeline>
</SegmentTemplate>
</Representation>
</AdaptationSet>
</Period>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="2026-01-02T03:04:11.500Z"/>
</MPD>
`,
  );
});

test('a discontinuity begins a Period, whose beginning stays when its first segment is gone', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000, 2_000, 2_000], seams: [1] });
  const periods = (text: string) => text.match(/<Period [^>]*>/g);
  const offsets = (text: string) => text.match(/presentationTimeOffset="\d+"/g);
  assert.deepEqual(periods(render(snapshot)), [
    '<Period id="1767323045000" start="PT1767323045S">',
    '<Period id="1767323047000" start="PT1767323047S">',
  ]);
  assert.match(render(snapshot), / timeShiftBufferDepth="PT8S"/);
  const later = { ...snapshot, segments: snapshot.segments.slice(2) };
  assert.deepEqual(periods(render(later)), ['<Period id="1767323047000" start="PT1767323047S">']);
  assert.deepEqual(offsets(render(later)), ['presentationTimeOffset="180000"', 'presentationTimeOffset="180000"']);
  assert.match(render(later), /startNumber="2"/);
});

test('a Period is described by what its own segments hold, whatever the newest hold', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000, 2_000, 2_000], seams: [1, 2, 3] });
  const [video, audio] = snapshot.tracks;
  assert.ok(video !== undefined && audio !== undefined);
  const former = [
    { beforeSeq: 1, tracks: [{ ...video, codecs: 'hvc1.1.6.L93.B0', width: 640, height: 360 }, audio] },
    { beforeSeq: 3, tracks: [video] },
  ];
  const { media } = snapshot.segments[2] ?? assert.fail();
  delete media.audio;
  const told = (formerTracks: typeof former) =>
    render({ ...snapshot, formerTracks })
      .split('<Period ')
      .slice(1)
      .map((period) =>
        [...period.matchAll(/codecs="(\S+?)"(?: width="(\d+)")?/g)].map(([, ...each]) => each.join(' ').trim()),
      );
  assert.deepEqual(told(former), [
    ['hvc1.1.6.L93.B0 640', 'mp4a.40.2'],
    ['avc1.64001f 1280'],
    ['avc1.64001f 1280'],
    ['avc1.64001f 1280', 'mp4a.40.2'],
  ]);
  // What was not told of is described as the next.
  assert.deepEqual(told([]), [
    ['avc1.64001f 1280', 'mp4a.40.2'],
    ['avc1.64001f 1280', 'mp4a.40.2'],
    ['avc1.64001f 1280'],
    ['avc1.64001f 1280', 'mp4a.40.2'],
  ]);
});

test('a run whose beginning is not told begins with what is listed', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000] });
  const segments = snapshot.segments.slice(1).map((segment): PackagedSegment => {
    const { run: _, ...rest } = segment;
    return rest;
  });
  const text = render({ ...snapshot, segments });
  assert.match(text, /<Period id="1767323047000" start="PT1767323047S">/);
  assert.match(text, /presentationTimeOffset="180000".*\n<SegmentTimeline><S t="180000" d="180000"\/>/);
});

test('a Period begins with its first picture, and sound of before is left out', () => {
  const made = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000, 2_000] });
  const segments = made.segments.map((segment) => {
    const { video, audio } = segment.media;
    return {
      ...segment,
      media: { video: { ...video!, compositionMs: 80 }, audio: { ...audio!, startMs: audio!.startMs + 20 } },
    };
  });
  const text = render({ ...made, segments });
  assert.match(text, /<Period id="1767323045000" start="PT1767323045S">/);
  assert.match(text, /presentationTimeOffset="7200"[^>]*>\n<SegmentTimeline><S t="7200" d="180000" r="2"\/>/);
  assert.match(
    text,
    /presentationTimeOffset="7200"[^>]*>\n<SegmentTimeline><S t="7200" d="174600"\/><S d="180000" r="1"\/>/,
  );
  const later = render({ ...made, segments: segments.slice(1) });
  assert.match(later, /presentationTimeOffset="7200"[^>]*>\n<SegmentTimeline><S t="181800" d="180000" r="1"\/>/);
});

test('the end of a stream is told by its length, on the same time line', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 1_500], isEnded: true });
  const text = render(snapshot);
  assert.match(text, / mediaPresentationDuration="PT1767323048.5S"/);
  assert.match(text, / type="dynamic"/);
  assert.match(text, / minimumUpdatePeriod="PT2S"/, 'it becomes static');
});

test('a static manifest begins with its first segment, at the time at which it was live, and is never asked for again', () => {
  const made = snapshotOf({
    renditions: BOTH,
    durationsMs: Array(5).fill(2_000) as number[],
    seams: [4],
    isEnded: true,
  });
  const segments = made.segments.slice(2);
  const text = manifestText(manifest({ ...made, segments }, { path: 'live/s.mpd', isStatic: true }), NOW_MS);
  assert.match(text, / type="static" .*mediaPresentationDuration="PT1767323055S" .*timeShiftBufferDepth="PT6S"/);
  assert.doesNotMatch(text, /minimumUpdatePeriod/);
  assert.deepEqual(text.match(/<Period [^>]*>/g), [
    '<Period id="1767323045000" start="PT1767323049S">',
    '<Period id="1767323053000" start="PT1767323053S">',
  ]);
  const listed = (each: string) => play(each).map(({ uri, atMs }) => [uri, Math.round(atMs)]);
  assert.deepEqual(listed(text), listed(render({ ...made, segments })));
  const going = { ...made, isEnded: false };
  assert.match(manifestText(manifest(going, { path: 'live/s.mpd', isStatic: true }), NOW_MS), / type="dynamic"/);
});

/** The snapshot with its files named otherwise. */
function renamed(snapshot: PackagingSnapshot, name: (seq: number, kind: string) => string): PackagingSnapshot {
  const segments = snapshot.segments.map((segment) => {
    const media = Object.entries(segment.media).map(([kind, each]) => [
      kind,
      { ...each, file: name(segment.seq, kind) },
    ]);
    return { ...segment, media: Object.fromEntries(media) as PackagedSegment['media'] };
  });
  return { ...snapshot, segments };
}

test('files that no number tells apart are listed', () => {
  const snapshot = renamed(
    snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000] }),
    (seq, kind) => `live/s/${1_767_323_045_000 + seq * 2_001}-${kind}.m4s`,
  );
  const text = render(snapshot);
  assert.match(
    text,
    /<SegmentList timescale="90000" presentationTimeOffset="0">\n<Initialization sourceURL="s-video-init-0.mp4"\/>\n<SegmentTimeline><S t="0" d="180000"\/><S d="180000"\/><\/SegmentTimeline>\n<SegmentURL media="\/live\/s\/1767323045000-video.m4s"\/>\n<SegmentURL media="\/live\/s\/1767323047001-video.m4s"\/>\n<\/SegmentList>/,
  );
  assert.match(text, /profile:full:2011/);
});

test('a number may stand anywhere in the names, and digits may stand beside it', () => {
  const snapshot = snapshotOf({ renditions: ['video'], durationsMs: Array(4).fill(1_000) as number[], firstSeq: 9 });
  const media = (name: (seq: number, kind: string) => string) =>
    / media="([^"]*)"/.exec(render(renamed(snapshot, name)))?.[1];
  assert.equal(
    media((seq) => `live/cam9/1${seq}1-12.m4s`),
    '/live/cam9/1$Number$1-12.m4s',
  );
  assert.equal(
    media((seq) => `${seq}/live/12/s.m4s`),
    '/$Number$/live/12/s.m4s',
  );
});

test('a segment that nobody has is left out, and what follows keeps its number and time', () => {
  const snapshot = snapshotOf({
    renditions: ['video'],
    durationsMs: Array(4).fill(2_000) as number[],
    gaps: [1],
    seams: [2],
  });
  const text = render(snapshot);
  assert.doesNotMatch(text, /s-video-1\./);
  assert.match(text, /startNumber="0"[^>]*>\n<SegmentTimeline><S t="0" d="180000"\/><\/SegmentTimeline>/);
  assert.match(text, /startNumber="2"[^>]*>\n<SegmentTimeline><S t="360000" d="180000" r="1"\/><\/SegmentTimeline>/);
});

test('sound that is missing for a segment makes a hole, not another numbering', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: Array(3).fill(2_000) as number[] });
  const segments = snapshot.segments.map((segment, index) => {
    const { audio: _, ...media } = segment.media;
    return index === 1 ? { ...segment, media } : segment;
  });
  const text = render({ ...snapshot, segments });
  assert.match(text, /<S t="0" d="180000" r="2"\/>/);
  assert.match(
    text,
    /<S t="0" d="180000"\/><S t="360000" d="180000"\/><\/SegmentTimeline>\n<SegmentURL media="s-audio-0.m4s"\/>\n<SegmentURL media="s-audio-2.m4s"\/>/,
  );
});

test('segments are told to begin with a key frame only where all do', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000] });
  const [first, second] = snapshot.segments;
  const video = { ...second!.media.video!, isIndependent: false };
  const cut: PackagedSegment = { ...second!, media: { ...second!.media, video } };
  const sets = render({ ...snapshot, isIndependent: false, segments: [first!, cut] }).match(/<AdaptationSet [^>]*>/g);
  assert.deepEqual(
    sets?.map((set) => set.includes('startWithSAP="1"')),
    [false, true],
  );
});

test('the time of day that is told is never far from the last segment, for encoders’ clocks go wrong', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000, 2_000, 2_000] });
  const told = (laterMs: number): number => {
    const text = render(snapshot, undefined, undefined, SNAPSHOT_EPOCH_MS + 6_000 + laterMs);
    return Date.parse(/<UTCTiming [^>]* value="([^"]*)"/.exec(text)![1]!) - SNAPSHOT_EPOCH_MS - 6_000;
  };
  assert.deepEqual([0, 1_500, 4_000, 60_000, -60_000].map(told), [0, 1_500, 4_000, 4_000, 0]);
});

test('MP3 is named by its object type in MP4, frame rates that are no whole numbers as fractions', () => {
  const snapshot = snapshotOf({ renditions: BOTH, durationsMs: [2_000] });
  const codecs = (sampleRate: number) => {
    const [video, audio] = snapshot.tracks;
    const tracks = [
      { ...video!, frameRate: 29.97 },
      { ...audio!, codecs: 'mp4a.40.34', sampleRate },
    ];
    return /codecs="(mp4a[^"]*)"/.exec(render({ ...snapshot, tracks }))?.[1];
  };
  assert.deepEqual([codecs(44_100), codecs(22_050)], ['mp4a.6B', 'mp4a.69']);
  const [video] = snapshot.tracks;
  assert.match(render({ ...snapshot, tracks: [{ ...video!, frameRate: 29.97 }] }), / frameRate="29970\/1000"/);
});

test('addresses, names and queries are escaped', () => {
  const snapshot = snapshotOf({ renditions: ['video'], durationsMs: [2_000], stem: `live/a&b<"c">'d'$e` });
  const text = render(snapshot, '?vhost=a&x="1"', 's.mpd?a=1&b=<2>');
  assert.match(text, /<Location>s\.mpd\?a=1&amp;b=&lt;2&gt;<\/Location>\n<Period/);
  assert.match(
    text,
    / media="a%26b%3C%22c%22%3E&apos;d&apos;%24e-video-\$Number\$\.m4s\?vhost=a&amp;x=&quot;1&quot;">/,
  );
});

test('there is a manifest as soon as a segment of fragmented MP4 is complete', () => {
  assert.equal(hasManifest(snapshotOf({ renditions: ['ts'], durationsMs: [2_000] })), false);
  assert.equal(hasManifest(snapshotOf({ renditions: BOTH, durationsMs: [], partTargetMs: 500, openParts: 2 })), false);
  assert.equal(hasManifest(snapshotOf({ renditions: BOTH, durationsMs: [2_000], gaps: [0] })), false);
  const sound = snapshotOf({ renditions: ['audio'], durationsMs: [2_000] });
  assert.equal(hasManifest(sound), true);
  assert.equal(hasManifest({ ...sound, tracks: [] }), false);
  assert.doesNotMatch(render({ ...sound, tracks: [] }), /<Period/);
});

/** What a player makes of a manifest: address, and times in the presentation and in the media, of each segment. */
function play(text: string): { uri: string; kind: string; atMs: number; mediaMs: number; durationMs: number }[] {
  const found: ReturnType<typeof play> = [];
  for (const [, id, start, period] of text.matchAll(/<Period id="(\d+)" start="PT([\d.]+)S">(.*?)<\/Period>/gs)) {
    assert.ok(id);
    for (const [set, kind] of period!.matchAll(/<AdaptationSet [^>]*contentType="(\w+)".*?<\/AdaptationSet>/gs)) {
      const offset = Number(/presentationTimeOffset="(\d+)"/.exec(set)![1]);
      const number = Number(/startNumber="(\d+)"/.exec(set)?.[1] ?? 0);
      const pattern = /<SegmentTemplate [^>]* media="([^"]*)"/.exec(set)?.[1];
      const list = [...set.matchAll(/<SegmentURL media="([^"]*)"/g)].map(([, uri]) => uri!);
      let time = 0;
      let index = 0;
      for (const [s, duration, r] of set.matchAll(/<S(?: t="\d+")? d="(\d+)"(?: r="(\d+)")?\/>/g)) {
        time = Number(/ t="(\d+)"/.exec(s)?.[1] ?? time);
        for (let repeat = Number(r ?? 0); repeat >= 0; repeat--, index++) {
          const uri = pattern === undefined ? list[index]! : pattern.replace('$Number$', `${number + index}`);
          const atMs = Number(start) * 1_000 + (time - offset) / 90;
          found.push({ uri, kind: kind!, atMs, mediaMs: time / 90, durationMs: Number(duration) / 90 });
          time += Number(duration);
        }
      }
    }
  }
  return found;
}

test('of any snapshot, players find every segment that is there, once and at its time', () => {
  fc.assert(
    fc.property(anyShape, fc.boolean(), (shape, isNumbered) => {
      const made = snapshotOf(shape);
      const snapshot = isNumbered
        ? made
        : renamed(made, (seq, kind) => `live/${kind}/${(seq * 7_919) % 1_000_003}.m4s`);
      const expected = BOTH.flatMap((kind) =>
        snapshot.segments.flatMap(({ isGap, media, programDateTimeMs }) => {
          const file = media[kind];
          if (isGap || file === undefined) return [];
          return [
            { file: file.file, kind, atMs: programDateTimeMs, mediaMs: file.startMs, durationMs: file.durationMs },
          ];
        }),
      );
      const found = play(render(snapshot)).toSorted(
        (a, b) => BOTH.indexOf(a.kind as 'video') - BOTH.indexOf(b.kind as 'video'),
      );
      assert.equal(found.length, expected.length);
      for (const [index, each] of expected.entries()) {
        const { uri, kind, atMs, mediaMs, durationMs } = found[index]!;
        const path = new URL(uri.replaceAll('&apos;', "'"), 'http://a/live/s.mpd').pathname;
        assert.deepEqual([decodeURIComponent(path), kind], [`/${each.file}`, each.kind]);
        assert.ok(Math.abs(atMs - each.atMs) < 1);
        assert.ok(Math.abs(mediaMs - each.mediaMs) < 1 && Math.abs(durationMs - each.durationMs) < 1);
      }
    }),
  );
});
