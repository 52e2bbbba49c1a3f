import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { collectLogs } from './cluster/collect.ts';
import { addresses } from './cluster/rig.ts';
import { DEFAULT_VHOST, LABELS } from '../contract/names.ts';
import { Browser } from './lib/browser.ts';
import type { BrowserPlayer, PlayerKind } from './lib/browser.ts';
import { Encoder } from './lib/encoder.ts';
import { figure } from './lib/figures.ts';
import { HlsFollower } from './lib/hls-follower.ts';
import { killHard } from './lib/host-process.ts';
import { apply, condition, get, type KubeObject, kubectl, list } from './lib/kubectl.ts';
import { metricValue, scrape } from './lib/metrics.ts';
import { installOperator, makeNamespace, uninstallOperator } from './lib/operator.ts';
import { readersOf } from './lib/readers.ts';
import { probePackets } from './lib/probe.ts';
import { RoundRobin } from './lib/round-robin.ts';
import { S3_KEYS, S3Server } from './lib/s3-server.ts';
import { until } from './lib/until.ts';
import { Volumes } from './lib/volumes.ts';

/*
 * HLS, Low-Latency HLS, DASH and HTTP-TS on a real Kubernetes, as players meet them: two streams, one packaged in MPEG-TS with
 * DASH beside it, one for low latency, watched in Chromium and by other people's readers while their origin is killed. Every
 * request goes to another edge than the one before.
 */

const NAMESPACE = 'live-packaging';
const CLUSTER = 'live';
const LOW_LATENCY_HOST = 'll.example.com';
const onRig = process.env.E2E_KUBECONFIG === undefined;
const ofRole = (role: string) => `${LABELS.cluster}=${CLUSTER},${LABELS.role}=${role}`;

const clusterYaml = (dvr: string) => `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: ${CLUSTER}}
spec:
  origin: {replicas: 2, storage: {dvr: ${dvr}}}
  edge: {replicas: 2}
  drain: {origin: 2s}
`;
const vhost = (name: string, host: string, spec: string) => `
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: ${name}}
spec:
  clusterRef: {name: ${CLUSTER}}
  hosts: [${host}]
  ${spec}
`;
const PLAIN = `hls: {fragment: 2s, window: 12s}
  dash: {enabled: true}
  dvr: {enabled: true}`;
const LOW_LATENCY = `hls: {fragment: 1s, window: 8s, lowLatency: {enabled: true, part: 200ms}}
  dvr: {enabled: true, path: '[vhost]/[app]/[stream].[timestamp].mp4'}`;

/** What plays what, in Chromium. */
const PLAYERS: readonly { name: string; kind: PlayerKind; path: string; host?: string }[] = [
  { name: 'hls.js', kind: 'hls', path: '/live/stream01.m3u8' },
  { name: 'hls.js, low latency', kind: 'hls-ll', path: '/live/stream01.m3u8', host: LOW_LATENCY_HOST },
  { name: 'shaka, DASH', kind: 'dash', path: '/live/stream01.mpd' },
  { name: 'mpegts.js, HTTP-FLV', kind: 'flv', path: '/live/stream01.flv' },
  { name: 'mpegts.js, HTTP-TS', kind: 'ts', path: '/live/stream01.ts' },
];

let plain: Encoder | undefined;
let low: Encoder | undefined;
let browser: Browser | undefined;
let volumes: Volumes | undefined;
let s3: S3Server | undefined;
/** performance.now() of moments that later tests rest on. */
const moments = { playable: 0, killed: 0 };
const proxies: RoundRobin[] = [];
const followers = new Set<HlsFollower>();
/** Without a proxy: at the address of the edges' Service. */
const watching: { player: BrowserPlayer; proxy?: RoundRobin }[] = [];

const podIp = (pod: KubeObject) => pod.status.podIP as string;
const isReady = (pod: KubeObject) => condition(pod, 'Ready') === 'True' && pod.metadata.deletionTimestamp === undefined;
const readyPods = (role: string, count: number) =>
  until(`${count} ready ${role} pods`, async () => {
    const present = (await list('pods', NAMESPACE, ofRole(role))).sort((a, b) =>
      a.metadata.name.localeCompare(b.metadata.name),
    );
    return present.length === count && present.every(isReady) ? present : undefined;
  });

async function serviceAddress(name: 'ingest' | 'playback'): Promise<string> {
  const service = await get('service', `${CLUSTER}-${name}`, NAMESPACE);
  const ingress = service.status.loadBalancer?.ingress?.[0] as { ip?: string; hostname?: string } | undefined;
  return ingress?.ip ?? ingress?.hostname ?? (service.spec.clusterIP as string);
}

/** Every request of its client goes to another edge. */
async function throughEdges(host?: string, { edges = 2 } = {}): Promise<RoundRobin> {
  const targets = (await readyPods('edge', 2)).map((pod) => `${podIp(pod)}:8080`).slice(0, edges);
  const proxy = await RoundRobin.open(targets, host === undefined ? {} : { host });
  proxies.push(proxy);
  return proxy;
}

/** A reader that takes every playlist and segment, through all edges. */
async function follow(host: string | undefined): Promise<HlsFollower> {
  const follower = await HlsFollower.open(`${(await throughEdges(host)).url}/live/stream01.m3u8`);
  followers.add(follower);
  return follower;
}

async function assertSound(follower: HlsFollower): Promise<void> {
  await follower.stop();
  await follower.assertSound();
  follower.remove();
  followers.delete(follower);
}

const programmed = async (name: string) => {
  const object = await get('vhost', name, NAMESPACE);
  return object.status?.observedGeneration === object.metadata.generation && condition(object, 'Programmed') === 'True';
};

async function applyVhost(name: string, host: string, spec: string): Promise<void> {
  await apply(vhost(name, host, spec), NAMESPACE);
  await until(`the Vhost ${name} is Programmed`, () => programmed(name));
}

const textOf = async (url: string): Promise<string> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
  if (!response.ok) throw new Error(`${response.status} ${url}: ${await response.text()}`);
  return response.text();
};

/** The first media playlist of a multivariant one. */
async function mediaPlaylist(url: string): Promise<string> {
  const multivariant = await textOf(url);
  const uri = multivariant.split('\n').find((line) => line !== '' && !line.startsWith('#'));
  return textOf(new URL(uri!, url).href);
}

/** Waits until a playlist lists enough to play. */
const listed = (url: string) =>
  until(`${url} lists segments`, async () => ((await mediaPlaylist(url)).match(/#EXTINF/g) ?? []).length >= 3);

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

before(async () => {
  await makeNamespace(NAMESPACE);
  await installOperator();
  if (onRig) volumes = await Volumes.make('e2e-recordings', 2);
  const storage =
    volumes === undefined ? '{type: EmptyDir}' : `{type: PVC, storageClassName: ${volumes.storageClassName}}`;
  await apply(clusterYaml(storage), NAMESPACE);
  await applyVhost('plain', DEFAULT_VHOST, PLAIN);
  await applyVhost('low', LOW_LATENCY_HOST, LOW_LATENCY);
  const [origin] = await readyPods('origin', 2);
  await readyPods('edge', 2);
  const address = await serviceAddress('ingest');
  const start = (query: string) =>
    new Encoder(`rtmp://${podIp(origin!)}:1935/live/stream01${query}`, {
      picture: 'clock',
      // One origin has both, so that its end concerns both; afterwards they go where the Service sends them.
      laterUrl: `rtmp://${address}:1935/live/stream01${query}`,
    });
  plain = start('');
  low = start(`?vhost=${LOW_LATENCY_HOST}`);
});

let hasFailed = false;
afterEach(async (context) => {
  if (hasFailed || !('error' in context) || !context.error) return;
  hasFailed = true;
  const folder = await collectLogs({ kubeconfig: process.env['KUBECONFIG'] ?? '', prefix: [] }, 'first-failure');
  console.log(`logs of the first failure are in ${folder}`);
});

after(async () => {
  await Promise.all([...followers].map((follower) => follower.stop()));
  for (const follower of followers) follower.remove();
  await browser?.close();
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await plain?.stop();
  await low?.stop();
  await kubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=true']);
  await volumes?.remove();
  await s3?.stop();
  await uninstallOperator();
});

test('Chromium plays every output, each request at another edge', async () => {
  for (const host of [undefined, LOW_LATENCY_HOST]) {
    const proxy = await throughEdges(host);
    await listed(`${proxy.url}/live/stream01.m3u8`);
  }
  moments.playable = performance.now();
  browser = await Browser.open();
  const service = await serviceAddress('playback');
  for (const { name, kind, path, host } of PLAYERS) {
    // What is one request for hours is nothing to spread.
    const proxy = kind === 'flv' || kind === 'ts' ? undefined : await throughEdges(host);
    const player = await browser.play(name, kind, `${proxy?.url ?? `http://${service}:8080`}${path}`);
    watching.push({ player, ...(proxy && { proxy }) });
  }
  await Promise.all(watching.map(({ player }) => player.moreSeconds(5)));
  await Promise.all(watching.map(({ player }) => player.reset()));
  await Promise.all(watching.map(({ player }) => player.moreSeconds(8)));
  for (const { player, proxy } of watching) {
    const seen = await player.figures();
    assert.deepEqual([seen.width, seen.height], [320, 180], player.name);
    assert.deepEqual(seen.fatal, [], player.name);
    assert.deepEqual(seen.clockStepsBackMs, [], `${player.name}: pictures only go forward`);
    assert.deepEqual(proxy?.refused ?? [], [], player.name);
    const isLowLatency = player.name === 'hls.js, low latency';
    figure(`${player.name}: encoder's picture → screen, median`, median(seen.latenciesMs) / 1000, {
      unit: 's',
      ...(isLowLatency && { atMost: 1.5 }),
    });
    // What the player keeps of its own accord, or because it began slowly.
    figure(`${player.name}: of that in the player's buffer, median`, median(seen.bufferedMs) / 1000, { unit: 's' });
  }
  for (const { player, proxy } of watching) {
    if (proxy === undefined) continue;
    const counts = Object.values(proxy.spread);
    console.log(`${player.name}: ${counts.join(' and ')} requests at the edges`);
    const isSpread = Math.min(...counts) >= 5 && Math.max(...counts) - Math.min(...counts) <= 1;
    assert.ok(isSpread, `${player.name}: ${counts.join(' and ')} requests at the edges`);
  }
});

/** The origin pod that has the publishers. */
const owner = () =>
  until('an origin that has the publishers', async () => {
    for (const pod of await readyPods('origin', 2)) {
      if (metricValue(await scrape(podIp(pod)), 'livecluster_publishers') > 0) return pod;
    }
    return undefined;
  });

test("the origin is killed: every player goes on, no request fails, and the playlist's numbers go on", async (t) => {
  if (!onRig) return t.skip('needs the processes of the machine: only on the rig');
  const both = await Promise.all([undefined, LOW_LATENCY_HOST].map(follow));
  await Promise.all(both.map((follower) => until('segments', () => follower.complete >= 2)));
  await Promise.all(watching.map(({ player }) => player.reset()));
  const starts = plain!.starts + low!.starts;
  const victim = await owner();
  moments.killed = performance.now();
  killHard(`LIVECLUSTER_POD_NAME=${victim.metadata.name}`, 'media-node/src/main.ts');
  await until('the encoders connect again', () => plain!.starts + low!.starts >= starts + 2);
  // Past what a player had in its buffer.
  await delay(8_000);
  await Promise.all(watching.map(({ player }) => player.moreSeconds(8)));
  for (const { player, proxy } of watching) {
    const seen = await player.figures();
    assert.deepEqual(seen.fatal, [], player.name);
    // RFC 8216bis 6.2.5.2: a request that waits for what does not come in three target durations.
    const unwelcome = (proxy?.refused ?? []).filter(
      ({ status, path }) => status !== 503 || !path.includes('_HLS_msn='),
    );
    assert.deepEqual(unwelcome, [], player.name);
    // A player that seeks at the seam may show a moment of it again, but not play it over and over.
    const againMs = seen.clockStepsBackMs.reduce((sum, each) => sum + each, 0);
    assert.ok(againMs <= 3_000, `${player.name}: pictures went back by ${seen.clockStepsBackMs.join(', ')} ms`);
    figure(`origin killed: longest stall of ${player.name}`, seen.longestStallMs / 1000, { atMost: 4, unit: 's' });
  }
  for (const follower of both) {
    await until('the seam is listed', () => follower.discontinuities >= 1);
    await assertSound(follower);
  }
});

/** Files of recordings below a folder that are whole; one that is still written has another name. */
const recordingsIn = (folder: string, ending: string) =>
  globSync(`**/*.${ending}`, { cwd: folder }).map((name) => join(folder, name));

/** A recording plays from its first picture, its times rise, and it lacks no more than the last moments. */
async function assertWhole(file: string, leastSeconds: number): Promise<void> {
  const packets = await probePackets(file);
  for (const kind of ['video', 'audio']) {
    const times = packets.filter((packet) => packet.kind === kind).map(({ dtsSeconds }) => dtsSeconds);
    const back = times.findIndex((time, index) => index > 0 && time <= times[index - 1]!);
    assert.equal(back, -1, `${kind} of ${file} rises: ${times[back]} s after ${times[back - 1]} s`);
    const seconds = times.at(-1)! - times[0]!;
    assert.ok(seconds >= leastSeconds, `${file} has ${seconds} s of ${kind}, of at least ${leastSeconds}`);
  }
  assert.ok(packets.find(({ kind }) => kind === 'video')?.isKey, `${file} begins with a key frame`);
}

test('what the killed origin recorded is on its volume, whole', async (t) => {
  if (volumes === undefined || moments.killed === 0) return t.skip('needs the volumes of the machine: only on the rig');
  const { folders } = volumes;
  for (const ending of ['flv', 'mp4']) {
    const file = await until(
      `the recording in ${ending}`,
      () => folders.flatMap((folder) => recordingsIn(folder, ending))[0],
    );
    await assertWhole(file, (moments.killed - moments.playable) / 1000 - 3);
  }
});

test('the players end', async () => {
  await Promise.all(watching.splice(0).map(({ player }) => player.stop()));
  await browser?.close();
  browser = undefined;
  await readyPods('origin', 2);
});

describe('is read without a complaint by', { concurrency: 3 }, () => {
  for (const { name, host, isSticky, read } of readersOf(LOW_LATENCY_HOST)) {
    test(name, async () => {
      const proxy = await throughEdges(host, isSticky ? { edges: 1 } : {});
      await read(proxy.url);
      assert.deepEqual(proxy.refused, []);
    });
  }
});

test('every segment begins with a key frame, times rise, playlists keep to the rules, and others agree', async () => {
  const both = await Promise.all([undefined, LOW_LATENCY_HOST].map(follow));
  for (const follower of both) {
    await until('segments', () => follower.complete >= 5);
    await assertSound(follower);
    const [variant] = follower.multivariant.variants;
    assert.deepEqual(variant?.resolution, { width: 320, height: 180 });
    assert.match(variant?.codecs ?? '', /avc1\.[0-9a-f]{6},mp4a\.40\.2/);
    assert.equal(Math.round(variant?.frameRate ?? 0), 25);
  }
});

test('an Event of the Vhost names the stream whose key frames become too rare for segments', async () => {
  const rare = new Encoder(`rtmp://${await serviceAddress('ingest')}:1935/live/rare`, { keyFramesForS: 5 });
  try {
    const ofReason = ['--field-selector', 'reason=KeyFramesTooFar', '-n', NAMESPACE];
    const told = await until(
      'the Event',
      async () => /^.*rare.*$/m.exec(await kubectl(['get', 'events', ...ofReason]))?.[0],
      {
        everyMs: 1_000,
      },
    );
    assert.match(
      told,
      /Warning +KeyFramesTooFar +vhost\/plain +stream live\/rare: its key frames are [\d.]+ s apart or more/,
    );
    assert.match(told, /set the encoder's key frame interval to at most 2 s, or raise hls\.fragment/);
  } finally {
    await rare.stop();
  }
});

const uids = async () =>
  (await list('pods', NAMESPACE, `${LABELS.cluster}=${CLUSTER}`)).map((pod) => pod.metadata.uid).sort();

test('fields of a Vhost change what is served, with no restart and no cut', async () => {
  const before = { pods: await uids(), starts: plain!.starts };
  const { url } = await throughEdges();
  const playlist = () => mediaPlaylist(`${url}/live/stream01.m3u8`);
  for (const { spec, shows } of [
    { spec: '{fragment: 1s, container: fmp4}', shows: /#EXT-X-MAP:/ },
    { spec: '{fragment: 1s, lowLatency: {enabled: true, part: 200ms}}', shows: /#EXT-X-PART:/ },
    { spec: '{fragment: 1s, keys: {enabled: true, fragmentsPerKey: 2}}', shows: /#EXT-X-KEY:METHOD=AES-128/ },
    { spec: '{fragment: 1s}', shows: /^(?![^]*#EXT-X-(KEY|MAP|PART))[^]*\.ts$/m },
  ]) {
    const since = performance.now();
    await applyVhost('plain', DEFAULT_VHOST, `hls: ${spec}`);
    await until(`the playlist of ${spec}`, async () => shows.test(await playlist()));
    figure(`hls: ${spec}: applied → listed`, (performance.now() - since) / 1000, { unit: 's' });
    const follower = await follow(undefined);
    await until('segments', () => follower.complete >= 3);
    await assertSound(follower);
  }
  const statusOf = async () => (await fetch(`${url}/live/stream01.mpd`)).status;
  assert.equal(await statusOf(), 404, 'no DASH');
  await applyVhost('plain', DEFAULT_VHOST, 'hls: {fragment: 1s}\n  dash: {enabled: true}');
  await until('DASH', async () => (await statusOf()) === 200);
  assert.deepEqual({ pods: await uids(), starts: plain!.starts }, before, 'same pods, and the encoder was not cut');
});

test('recordings go to S3, and one whose origin was killed is there, whole', async (t) => {
  if (!onRig) return t.skip('needs an S3 server that pods reach: only on the rig');
  s3 = await S3Server.start(addresses.node, 'recordings');
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's3' }, type: 'Opaque', stringData: S3_KEYS };
  await apply(JSON.stringify(secret), NAMESPACE);
  await applyVhost('plain', DEFAULT_VHOST, 'dvr: {enabled: true}');
  const bucket = `{bucket: recordings, endpoint: '${s3.url}', prefix: tv/, secretRef: {name: s3}}`;
  await apply(clusterYaml(`{type: S3, s3: ${bucket}}`), NAMESPACE);
  const cluster = () => get('livecluster', CLUSTER, NAMESPACE);
  await until('the origins are new', async () => {
    const { metadata, spec, status } = await get('statefulset', `${CLUSTER}-origin`, NAMESPACE);
    const isNew = status.observedGeneration === metadata.generation && status.updatedReplicas === spec.replicas;
    return (
      isNew && JSON.stringify(spec.template).includes('recordings') && condition(await cluster(), 'Ready') === 'True'
    );
  });
  await readyPods('origin', 2);
  const victim = await owner();
  const since = performance.now();
  await delay(8_000);
  killHard(`LIVECLUSTER_POD_NAME=${victim.metadata.name}`, 'media-node/src/main.ts');
  const seconds = (performance.now() - since) / 1000;
  const folder = join(s3.bucketFolder, 'tv');
  // Of whichever stream it had.
  const recordings = () => ['flv', 'mp4'].flatMap((ending) => recordingsIn(folder, ending));
  const file = await until('the recording in S3', () => recordings()[0]);
  await assertWhole(file, seconds - 3);
});
