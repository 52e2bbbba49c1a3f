import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_NOTICES } from '#contract/admin-api.ts';
import type { StreamNotice } from '#contract/admin-api.ts';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import type { EventContent } from '../kube/events.ts';
import type { KubeObject } from '../kube/object.ts';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import type { Rendered } from './config-renderer.ts';
import { StreamEvents } from './stream-events.ts';
import { create, events, fake, live, node, quiet, readyCluster } from './testing/test-operator.ts';

const notice = (vhost: string, stream = 'stream01'): StreamNotice => ({
  vhost,
  app: 'live',
  stream,
  code: 'KeyFramesTooFar',
  detail: { keyFrameDistanceMs: 8_333.4, targetDurationMs: 2_000, fragmentMs: 1_500 },
  atMs: 1_000,
});
interface Told extends KubeObject {
  readonly type: string;
  readonly note: string;
  readonly regarding: { readonly name: string; readonly uid: string };
}
const told = () => fake.all('Event').filter((each) => each['reason'] === 'KeyFramesTooFar') as unknown as Told[];

test('what nodes notice of streams is an event of the Vhost, or of the LiveCluster that catches all, once', async () => {
  create('Vhost', 'tv', '{clusterRef: {name: live}, hosts: [tv.example]}');
  await readyCluster();
  node('live-origin-0').notices = [notice('tv'), notice(DEFAULT_VHOST), notice('deleted')];
  node('live-origin-1').notices = [notice('tv')];
  await until('both events', () => told().length === 2);
  await quiet();
  assert.equal(told().length, 2, 'each of them once');
  const of = (kind: string, name: string) => {
    const uid = fake.find(kind, name)?.metadata.uid;
    return told().find(({ regarding }) => regarding.uid === uid) ?? assert.fail(`of ${name}`);
  };
  const begin =
    'stream live/stream01: its key frames are 8.3 s apart or more and the target duration is 2 s, ' +
    'so segments are cut without a key frame and players cannot begin at them: ' +
    "set the encoder's key frame interval to at most 1.5 s, or raise hls.fragment";
  assert.deepEqual([of('Vhost', 'tv').type, of('Vhost', 'tv').note], ['Warning', begin]);
  assert.equal(of('LiveCluster', 'live').note, `${begin}, in a Vhost with the host __defaultVhost__`);
});

test('streams of a Vhost that claims the catch-all host are its own', async () => {
  create('Vhost', 'all', `{clusterRef: {name: live}, hosts: [${DEFAULT_VHOST}]}`);
  await readyCluster();
  node('live-origin-0').notices = [notice(DEFAULT_VHOST)];
  await until('the event', () => told().length === 1);
  assert.equal(told()[0]?.regarding.name, 'all');
});

test('a status of the longest names is read', async () => {
  await readyCluster();
  const longest = (each: number) =>
    Object.assign(notice(DEFAULT_VHOST, `${each}`.padEnd(512, '"')), { app: '방'.repeat(512) });
  node('live-origin-0').notices = Array.from({ length: MOST_NOTICES }, (_, each) => longest(each));
  await until('all of them are told', () => told().length === MOST_NOTICES);
});

test('notices that are not known, or broken, say nothing and hold nothing up', async () => {
  await readyCluster();
  const detail = { keyFrameDistanceMs: 3_000 };
  node('live-origin-0').notices = [
    { ...notice(DEFAULT_VHOST, 'a'), code: 'Newer' },
    { ...notice(DEFAULT_VHOST, 'b'), detail },
  ];
  node('live-origin-1').notices = [{ about: 'something else' } as unknown as StreamNotice];
  node('live-origin-1').streams = 5;
  await quiet();
  node('live-origin-0').notices = [notice(DEFAULT_VHOST, 'c')];
  await until('what is known is told', () => told().length === 1);
  assert.match(events().join('\n'), /stream live\/c: /);
  assert.ok(!/stream live\/[ab]: /.test(events().join('\n')));
  await until('its counts', () => live()?.status?.streams === 5);
});

function recorded() {
  const clock = new FakeClock();
  const notes: string[] = [];
  const object: KubeObject = { apiVersion: 'v1', kind: 'LiveCluster', metadata: { name: 'live', namespace: 'tv' } };
  const streamEvents = new StreamEvents({
    watches: { get: <T extends KubeObject>() => object as T },
    renderer: { render: () => ({ verdicts: { accepted: [], refused: [] } }) as unknown as Rendered },
    events: { record: (_: KubeObject, { note }: EventContent) => void notes.push(note) },
    clock,
  });
  return { clock, notes, streamEvents };
}

test('a stream is told of again after an hour, or when its cluster was made anew', async () => {
  const { clock, notes, streamEvents } = recorded();
  const tell = () => streamEvents.tell('tv/live', [notice(DEFAULT_VHOST)]);
  tell();
  await clock.advance(3_599_999);
  tell();
  assert.equal(notes.length, 1);
  await clock.advance(1);
  tell();
  assert.equal(notes.length, 2);
  streamEvents.forget('tv/live');
  tell();
  assert.equal(notes.length, 3);
});

test('a codec that segments lack is told of with the mend, each codec of a stream once', () => {
  const { notes, streamEvents } = recorded();
  const leftOut = (codec: string, inMp4: number) => {
    return { ...notice(DEFAULT_VHOST), code: 'CodecLeftOut', detail: { inMp4 }, codec };
  };
  const { codec: _, ...ofNone } = leftOut('av1', 1);
  for (const each of [leftOut('av1', 1), leftOut('speex', 0), leftOut('av1', 1), leftOut('opus', 2), ofNone]) {
    streamEvents.tell('tv/live', [each]);
  }
  assert.deepEqual(notes, [
    'stream live/stream01: HLS leaves its av1 out, which MPEG-TS does not carry: set hls.container to fmp4, ' +
      'in a Vhost with the host __defaultVhost__, or publish another codec',
    'stream live/stream01: HLS and DASH leave its speex out, which they do not carry: publish another codec, such as H.264 and AAC',
  ]);
});

test('whatever names publishers think of, a cluster has so many events an hour at most, of bounded length', async () => {
  const { clock, notes, streamEvents } = recorded();
  const flood = (key: string) => {
    for (let each = 0; each < 200; each += 1) {
      streamEvents.tell(key, [notice(DEFAULT_VHOST, `${each}${'방'.repeat(500)}`)]);
    }
  };
  flood('tv/live');
  assert.equal(notes.length, 64);
  assert.ok(notes.every((note) => Buffer.byteLength(note) <= 1_024 && note.endsWith(DEFAULT_VHOST)));
  flood('tv/other');
  assert.equal(notes.length, 128, 'another cluster has its own');
  await clock.advance(3_600_000);
  const many = Array.from({ length: MOST_NOTICES + 9 }, (_, each) => notice(DEFAULT_VHOST, `s${each}`));
  streamEvents.tell('tv/live', many);
  assert.equal(notes.length, 128 + MOST_NOTICES);
});
