import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { test } from 'node:test';
import { makeVideoTrack } from '../media/codecs/make-track.ts';
import type { VhostChanges } from './testing-node.ts';
import { configOf, EPOCH_MS, KEY, TestNode } from './testing-node.ts';
import { audio, audioTrack, streamOf, video, videoTrack } from './testing.ts';

const LOW_LATENCY: VhostChanges = { hls: { container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } } };
const KEYS = {
  enabled: true,
  fragmentsPerKey: 5,
  keyFile: '[app]/[stream]-[seq].key',
  keyUrl: '/[app]/[stream]-[seq].key',
};
/** Lets what has been resolved go on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a stream is packaged in MPEG-TS as the guide has it: names, numbers, times, window', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  assert.equal(node.packaged.snapshot, undefined);
  node.feed(streamOf({ startMs: 1_000, seconds: 21 }));
  const { segments, targetDurationS, isIndependent, discontinuitySequence, tracks } = node.snapshot;
  assert.deepEqual([targetDurationS, isIndependent, discontinuitySequence], [2, true, 0]);
  assert.deepEqual(
    segments.map(({ seq }) => seq),
    [5, 6, 7, 8, 9],
  );
  for (const { seq, media, programDateTimeMs, isDiscontinuity, isGap, run } of segments) {
    assert.equal(media.ts?.file, `live/stream01-${seq}.ts`);
    assert.deepEqual([media.ts?.startMs, media.ts?.durationMs], [1_000 + seq * 2_000, 2_000]);
    assert.equal(programDateTimeMs, EPOCH_MS + seq * 2_000);
    assert.deepEqual([isDiscontinuity, isGap], [false, false]);
    assert.deepEqual(run, { seq: 0, programDateTimeMs: EPOCH_MS, startMs: 1_000 });
    const bytes = await node.read(media.ts.file);
    assert.equal(bytes.length, media.ts.bytes);
    assert.equal(bytes.length % 188, 0);
  }
  const [video, audio] = tracks;
  assert.deepEqual([video?.codecs, video?.frameRate, video?.width], ['avc1.4d400d', 30, 322]);
  assert.deepEqual([audio?.codecs, audio?.sampleRate, audio?.channels], ['mp4a.40.2', 48_000, 2]);
  const most = Math.max(...segments.map(({ media }) => ((media.ts?.bytes ?? 0) * 8_000) / (media.ts?.durationMs ?? 1)));
  assert.ok(
    (video?.peakBitrate ?? 0) + (audio?.peakBitrate ?? 0) >= most,
    'the bandwidth that is told is not exceeded',
  );
  assert.deepEqual(node.packagings.stats(), {
    ...node.packagings.stats(),
    packagings: 1,
    segments: 10,
    listedSegments: 5,
  });
  assert.equal(node.packagings.find({ ...KEY, stream: 'other' }), undefined);
});

test('fragmented MP4 has a rendition a track, and an initialization section that says which segment it begins with', async (t) => {
  const node = new TestNode({ dash: { enabled: true } });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 7 }));
  const [first] = node.snapshot.segments;
  assert.deepEqual(Object.keys(first?.media ?? {}).toSorted(), ['audio', 'ts', 'video']);
  assert.equal(first?.media.video?.file, 'live/stream01-video-0.m4s');
  assert.equal(first.media.audio?.init?.file, 'live/stream01-audio-init-0.mp4');
  for (const { media } of node.snapshot.segments) {
    assert.equal(media.video?.init?.file, 'live/stream01-video-init-0.mp4');
    for (const file of [media.video, media.video.init, media.audio, media.audio?.init, media.ts]) {
      assert.equal((await node.read(file?.file ?? '')).length, file?.bytes);
    }
  }
  const changed = videoTrack(9);
  node.feed([video(7_000, true, changed), audio(7_010), video(9_000, true, changed), video(9_100, false, changed)]);
  const last = node.snapshot.segments.at(-1);
  assert.equal(last?.isDiscontinuity, true);
  assert.equal(last.media.video?.init?.file, 'live/stream01-video-init-4.mp4');
  assert.equal(last.media.audio?.init?.file, 'live/stream01-audio-init-0.mp4', 'what did not change keeps its own');
  assert.equal(last.run?.seq, 4);
});

test('parts of low latency fill their target, also where each of few frames is a key frame', async (t) => {
  for (const fps of [4, 5, 10, 30]) {
    const node = new TestNode(LOW_LATENCY);
    t.after(() => node.close());
    await node.publish();
    for (const frame of streamOf({ seconds: 9, fps, gop: 1 })) node.feed([frame]);
    const { segments, partTargetMs = 0 } = node.snapshot;
    const parts = segments.flatMap(({ media }) => media.video?.parts.slice(0, -1) ?? []);
    assert.ok(parts.length > 5, `${parts.length} parts at ${fps} fps`);
    for (const { durationMs } of parts) {
      const share = durationMs / partTargetMs;
      assert.ok(share <= 1 && share >= 0.85, `a part of ${durationMs} ms at ${fps} fps, target ${partTargetMs} ms`);
    }
  }
});

test('low latency tells parts as they come, where the next one will be, and no more of them when they are old', async (t) => {
  const node = new TestNode(LOW_LATENCY);
  t.after(() => node.close());
  await node.publish();
  const frames = streamOf({ seconds: 12.5 });
  let seen = node.packaged.snapshot;
  let revision = 0;
  const files = new Set<string>();
  for (const frame of frames) {
    const hinted = seen?.nextPart;
    node.feed([frame]);
    const { snapshot } = node.packaged;
    if (snapshot === undefined || snapshot === seen) continue;
    assert.ok(snapshot.revision > revision);
    ({ revision } = snapshot);
    const parts = snapshot.open?.media.video?.parts ?? [];
    const before = seen?.open?.seq === snapshot.open?.seq ? (seen?.open?.media.video?.parts.length ?? 0) : 0;
    if (hinted?.video !== undefined && before > 0 && parts.length > before) {
      assert.equal(parts[before]?.file, hinted.video, 'the part came where it was said to');
    }
    for (const { file, bytes, durationMs } of parts) {
      files.add(file);
      assert.equal((await node.read(file)).length, bytes);
      assert.ok(durationMs <= (snapshot.partTargetMs ?? 0));
    }
    seen = snapshot;
  }
  const { segments, open, partTargetMs, targetDurationS } = node.snapshot;
  assert.deepEqual([partTargetMs, targetDurationS, open?.seq], [203, 2, 6]);
  assert.equal(open?.media.video?.parts.length, 2);
  assert.deepEqual(
    segments.map(({ media }) => media.video?.parts.length),
    [0, 0, 10, 10, 10],
  );
  assert.deepEqual(
    segments.at(-1)?.media.video?.parts.map(({ isIndependent }) => isIndependent),
    [true, ...Array.from({ length: 9 }, () => false)],
  );
  assert.ok(segments.at(-1)?.media.audio?.parts.every(({ isIndependent }) => isIndependent));
  assert.ok(files.size >= 45, `${files.size} parts were told while their segment was open`);
  const { bytes } = node.packagings.stats();
  const held = segments.reduce((sum, { media }) => sum + (media.video?.bytes ?? 0) + (media.audio?.bytes ?? 0), 0);
  assert.ok(bytes < 2.5 * held, `${bytes} bytes for ${held} listed: the parts are not there twice`);
});

test('keys are those of the guide: every five segments, served where it says, and they decrypt', async (t) => {
  const node = new TestNode({ hls: { keys: KEYS, windowMs: 30_000 } });
  const plain = new TestNode({ hls: { windowMs: 30_000 } });
  t.after(() => [node, plain].forEach((each) => each.close()));
  const frames = streamOf({ seconds: 17 });
  for (const each of [node, plain]) {
    await each.publish();
    each.feed(frames);
  }
  const keys = new Set<string>();
  for (const [index, { seq, key, media }] of node.snapshot.segments.entries()) {
    const begins = seq - (seq % 5);
    assert.equal(key?.file, `live/stream01-${begins}.key`);
    assert.equal(key.uri, `/live/stream01-${begins}.key`);
    const bytes = await node.read(key.file);
    keys.add(bytes.toString('hex'));
    const decipher = createDecipheriv('aes-128-cbc', bytes, Buffer.from(key.iv, 'hex'));
    const clear = Buffer.concat([decipher.update(await node.read(media.ts?.file ?? '')), decipher.final()]);
    assert.ok(clear.equals(await plain.read(plain.snapshot.segments[index]?.media.ts?.file ?? '')));
  }
  assert.equal(keys.size, 2);
});

test('a configuration takes effect while the stream runs', async (t) => {
  const node = new TestNode({ hls: { enabled: false } });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 3 }));
  assert.equal(node.packagings.find(KEY), undefined);
  node.config.swap(configOf());
  await settled();
  node.feed(streamOf({ startMs: 3_000, seconds: 4 }));
  node.feed(streamOf({ startMs: 7_000, seconds: 12 }));
  assert.equal(node.snapshot.segments.length, 5);
  node.config.swap(configOf({ hls: { windowMs: 6_000 } }));
  node.feed(streamOf({ startMs: 19_000, seconds: 4 }));
  assert.equal(node.snapshot.segments.length, 3, 'a shorter window');
  const last = node.snapshot.segments.at(-1);
  node.config.swap(configOf({ hls: { container: 'fmp4', windowMs: 6_000 } }));
  node.feed(streamOf({ startMs: 23_000, seconds: 1 }));
  assert.equal(
    Math.round(node.snapshot.segments.at(-1)?.media.ts?.durationMs ?? 0),
    2_000,
    'nothing is empty meanwhile',
  );
  node.feed(streamOf({ startMs: 24_000, seconds: 5 }));
  const { segments, discontinuitySequence } = node.snapshot;
  assert.deepEqual(Object.keys(segments[0]?.media ?? {}), ['video', 'audio']);
  assert.equal(segments[0]?.isDiscontinuity, true);
  assert.ok((segments[0]?.seq ?? 0) > (last?.seq ?? 0));
  assert.equal(discontinuitySequence, 0);
  assert.ok((await node.read(last?.media.ts?.file ?? '')).length > 0, 'who has the old playlist still gets its files');
  node.config.swap(configOf({ ...LOW_LATENCY, hls: { ...LOW_LATENCY.hls, fragmentMs: 1_000 } }));
  node.feed(streamOf({ startMs: 29_000, seconds: 6, gop: 30 }));
  assert.deepEqual([node.snapshot.targetDurationS, node.snapshot.partTargetMs], [2, 203]);
  node.config.swap(configOf({ hls: { enabled: false } }));
  assert.equal(node.packagings.find(KEY), undefined);
});

test('the last segment before another format is listed until there is one of that', async (t) => {
  for (const changes of [{ hls: { container: 'fmp4' } }, LOW_LATENCY, { hls: { keys: KEYS } }] as const) {
    const node = new TestNode();
    t.after(() => node.close());
    await node.publish();
    const frames = streamOf({ seconds: 14 });
    const between = (fromMs: number, toMs: number) => frames.filter(({ dtsMs }) => dtsMs >= fromMs && dtsMs < toMs);
    node.feed(between(0, 9_000));
    node.config.swap(configOf(changes));
    node.feed(between(9_000, 10_100));
    const { segments, open, partTargetMs } = node.snapshot;
    assert.deepEqual([segments.at(-1)?.seq, open, partTargetMs], [4, undefined, undefined]);
    assert.ok(segments.every(({ media }) => media.ts !== undefined));
    assert.equal((await node.read('live/stream01-4.ts')).length, segments.at(-1)?.media.ts?.bytes);
    node.feed(between(10_100, 11_900));
    assert.equal(node.snapshot.segments.at(-1)?.seq, 4, 'parts alone do not take its place');
    node.feed(between(11_900, 14_000));
    assert.equal(node.snapshot.segments[0]?.seq, 5);
  }
});

test('memory is bounded: what is unlisted goes first, then the window gets shorter', async (t) => {
  const fat = streamOf({ seconds: 60 }).map((frame) =>
    frame.track.kind === 'video' ? video(frame.dtsMs, frame.isKey, undefined, 5_000) : frame,
  );
  const node = new TestNode(
    { hls: { windowMs: 40_000 } },
    { memory: { maxBytes: 3_000_000, maxStreamBytes: 2_000_000 } },
  );
  t.after(() => node.close());
  await node.publish();
  for (const frame of fat) {
    node.feed([frame]);
    assert.ok(node.packagings.stats().bytes <= 2_500_000);
  }
  const { segments } = node.snapshot;
  assert.ok(segments.length >= 4 && segments.length < 20, `${segments.length} segments`);
  for (const { media } of segments) assert.equal((await node.read(media.ts?.file ?? '')).length, media.ts?.bytes);
  assert.ok(node.packagings.stats().droppedSegments > 0);
});

test('a segment that has left the playlist stays for as long as somebody may have that playlist', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 13 }));
  assert.equal(node.snapshot.segments[0]?.seq, 1);
  assert.ok((await node.read('live/stream01-0.ts')).length > 0);
  node.feed(streamOf({ startMs: 13_000, seconds: 20 }));
  assert.equal(node.packaged.read('live/stream01-0.ts'), undefined);
});

test('whoever waits is woken by a change, by time, by the end and by a signal', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const node = new TestNode();
  await node.publish();
  node.feed(streamOf({ seconds: 3 }));
  const { packaged } = node;
  const woken: string[] = [];
  const { snapshot } = packaged;
  const wait = async (name: string, mostMs: number, signal?: AbortSignal) => {
    await packaged.changed(snapshot, mostMs, signal);
    woken.push(name);
  };
  void wait('time', 100);
  const controller = new AbortController();
  void wait('signal', 10_000, controller.signal);
  void wait('change', 10_000);
  t.mock.timers.tick(100);
  await settled();
  controller.abort();
  await settled();
  node.feed(streamOf({ startMs: 3_000, seconds: 3 }));
  await settled();
  assert.deepEqual(woken, ['time', 'signal', 'change']);
  await packaged.changed(snapshot, 10_000);
  const last = packaged.changed(packaged.snapshot, 10_000);
  void node.close();
  await last;
  await packaged.changed(packaged.snapshot, 10_000);
});

test('whoever waits for a stream that has just begun waits for its first segment', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  const begun = node.publish();
  const { packaged } = node;
  let isWoken = false;
  const waited = packaged.changed(undefined, 20_000).then(() => (isWoken = true));
  await begun;
  node.feed(streamOf({ seconds: 1 }));
  await settled();
  assert.equal(isWoken, false, 'that it is known how to begin is no segment');
  node.feed(streamOf({ startMs: 1_000, seconds: 4 }));
  await waited;
  assert.equal(node.snapshot.segments.length > 0, true);
});

test('a GOP that is longer than the target is told of in words, and cuts are not independent while listed', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 4 }));
  node.feed(streamOf({ startMs: 4_000, seconds: 6, gop: 600 }));
  assert.equal(node.snapshot.isIndependent, false);
  const told = node.logs.filter(({ msg }) => String(msg).startsWith('HLS segment cut without a key frame'));
  assert.equal(told.length, 1);
  assert.deepEqual([told[0]?.['targetDurationS'], told[0]?.['keyframeIntervalS']], [2, 2]);
  assert.equal(node.packagings.stats().forcedCuts, 2);
  node.feed(streamOf({ startMs: 10_000, seconds: 20 }));
  assert.equal(node.snapshot.isIndependent, true, 'they have left the window');
});

test('a GOP that is longer than the target is a notice, once its length is known or it was cut three times', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 4 }));
  node.feed(streamOf({ startMs: 4_000, seconds: 6, gop: 600 }));
  assert.deepEqual(node.packagings.notices(), [], 'it may end soon');
  node.feed(streamOf({ startMs: 10_000, seconds: 2 }));
  const [notice, ...more] = node.packagings.notices();
  assert.deepEqual(more, []);
  const { detail, atMs, ...rest } = notice ?? assert.fail();
  assert.deepEqual(rest, { ...KEY, code: 'KeyFramesTooFar' });
  assert.deepEqual(
    { ...detail, keyFrameDistanceMs: Math.round(detail['keyFrameDistanceMs'] ?? 0) },
    { keyFrameDistanceMs: 6_000, targetDurationMs: 2_000, fragmentMs: 2_000 },
  );
  assert.ok(atMs <= node.nowMs && atMs > EPOCH_MS);
  node.feed(streamOf({ startMs: 12_000, seconds: 8, gop: 600 }));
  assert.ok((node.packagings.notices()[0]?.detail['keyFrameDistanceMs'] ?? 0) > 6_000, 'no key frame need ever come');
});

test('key frames that are near enough are no notice, and neither is sound alone', async (t) => {
  for (const options of [{ gop: 60 }, { gop: 15 }, { gop: 0 }]) {
    const node = new TestNode();
    t.after(() => node.close());
    await node.publish();
    node.feed(streamOf({ seconds: 12, ...options }));
    assert.ok(node.snapshot.segments.length > 3);
    assert.deepEqual(node.packagings.notices(), []);
  }
});

test('a codec that no segment carries is left out, and a stream of nothing else is not listed', async (t) => {
  const speex = { ...audioTrack(5), codec: 'speex', config: Buffer.alloc(0) } as const;
  const node = new TestNode({ dash: { enabled: true } });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 5, audio: speex }));
  assert.deepEqual(
    node.snapshot.tracks.map(({ kind }) => kind),
    ['video'],
  );
  assert.deepEqual(Object.keys(node.snapshot.segments[0]?.media ?? {}).toSorted(), ['ts', 'video']);
  const alone = new TestNode();
  t.after(() => alone.close());
  await alone.publish();
  alone.feed(streamOf({ seconds: 5, gop: 0, audio: speex }));
  assert.equal(alone.packaged.snapshot, undefined);
  for (const each of [node, alone]) {
    const [notice, ...more] = each.packagings.notices();
    assert.deepEqual([notice?.code, notice?.codec, notice?.detail, more], ['CodecLeftOut', 'speex', { inMp4: 0 }, []]);
    assert.equal(each.logs.filter(({ codec }) => codec === 'speex').length, 1, 'logged once, not with each segment');
  }
});

test('a codec that MPEG-TS alone leaves out is told with the mend, and is no track of MPEG-TS', async (t) => {
  const av1 = makeVideoTrack(5, 'av1', Buffer.from('81000c00', 'hex'));
  const node = new TestNode({ dash: { enabled: true } });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 5, video: av1 }));
  assert.deepEqual(
    node.snapshot.tracks.map(({ codec, isInTs }) => [codec, isInTs]),
    [
      ['av1', false],
      ['aac', undefined],
    ],
  );
  const told = node.logs.filter(({ codec }) => codec === 'av1');
  assert.equal(told.length, 1);
  assert.match(String(told[0]?.['msg']), /left out of segments of MPEG-TS, .* set hls\.container of the Vhost to fmp4/);
  const [notice, ...more] = node.packagings.notices();
  assert.deepEqual([notice?.code, notice?.codec, notice?.detail, more], ['CodecLeftOut', 'av1', { inMp4: 1 }, []]);
});

test('what older segments hold is told while they are listed, by the next node too', async (t) => {
  const node = new TestNode({ hls: { container: 'fmp4' } });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 4 }));
  assert.ok(!('formerTracks' in node.snapshot));
  const before = node.snapshot.tracks;
  const av1 = makeVideoTrack(5, 'av1', Buffer.from('81000c00', 'hex'));
  // Another configuration of the same codec and size is no news.
  node.feed(streamOf({ startMs: 4_000, seconds: 2, video: videoTrack(7) }));
  node.feed(streamOf({ startMs: 6_000, seconds: 4, video: av1 }));
  const { formerTracks = [], tracks } = node.snapshot;
  assert.deepEqual(
    formerTracks.map((each) => [each.beforeSeq, each.tracks.map(({ codecs }) => codecs)]),
    [[3, before.map(({ codecs }) => codecs)]],
  );
  assert.equal(tracks[0]?.codec, 'av1');
  const next = new TestNode({ hls: { container: 'fmp4' } }, { nodeId: 'node-2', ledger: node.ledger });
  t.after(() => next.close());
  next.nowMs = node.nowMs;
  await next.publish();
  assert.deepEqual(next.snapshot.formerTracks, formerTracks);
  next.feed(streamOf({ seconds: 3 }));
  assert.deepEqual(
    next.snapshot.formerTracks?.map((each) => [each.beforeSeq, each.tracks[0]?.codec]),
    [
      [3, 'h264'],
      [4, 'av1'],
    ],
  );
  next.feed(streamOf({ startMs: 3_000, seconds: 30 }));
  assert.equal(next.snapshot.formerTracks, undefined, 'those segments have left the list');
});

test('a frame whose NAL units are broken is left out, and the rest goes on', async (t) => {
  const node = new TestNode({ dash: { enabled: true } });
  t.after(() => node.close());
  await node.publish();
  const broken = { ...video(1_001), data: Buffer.from('00000fffff', 'hex') };
  node.feed([...streamOf({ seconds: 1 }), broken, ...streamOf({ startMs: 2_000, seconds: 3 })]);
  assert.equal(node.snapshot.segments.length, 2);
  assert.equal(node.packagings.stats().droppedFrames, 1);
  assert.equal(node.logs.filter(({ msg }) => String(msg).includes('NAL units are broken')).length, 1);
});

test('a stream that is packaged anew by the same node counts its changes on, so that other nodes see them', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 9 }));
  const { revision, segments } = node.snapshot;
  node.config.swap(configOf({ hls: { enabled: false } }));
  assert.equal(node.packagings.find(KEY), undefined);
  node.config.swap(configOf());
  await settled();
  node.feed(streamOf({ startMs: 9_000, seconds: 5 }));
  assert.ok(node.snapshot.revision > revision, `${node.snapshot.revision} after ${revision}`);
  assert.ok(node.snapshot.segments[0]!.seq > segments.at(-1)!.seq);
});
