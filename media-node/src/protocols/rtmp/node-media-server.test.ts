import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import type { Tool } from '../testing/ffmpeg.ts';
import { probePackets, publishTestPicture } from '../testing/ffmpeg.ts';
import type { NodeMediaServer } from '../testing/node-media-server.ts';
import { startNodeMediaServer } from '../testing/node-media-server.ts';
import type { TestNode } from '../testing/test-node.ts';
import { LOG, RELAY_KEY, startTestNode } from '../testing/test-node.ts';
import { RtmpPullClient, RtmpPushClient } from './relay-clients.ts';
import type { RelayEnd } from '../../stream/relay.ts';

let peer: NodeMediaServer;
let node: TestNode;
let tools: Tool[] = [];

before(async () => {
  [peer, node] = await Promise.all([startNodeMediaServer(), startTestNode()]);
});
after(async () => {
  node.close();
  await peer.close();
});
afterEach(() => {
  for (const tool of tools) tool.stop();
  tools = [];
});

const keyOf = (stream: string): { vhost: string; app: string; stream: string } => ({
  vhost: '__defaultVhost__',
  app: 'live',
  stream,
});
const ours = (stream: string): string => `rtmp://127.0.0.1:${node.rtmpPort}/live/${stream}`;
const theirs = (stream: string): string => `rtmp://127.0.0.1:${peer.rtmpPort}/live/${stream}`;

function publish(url: string): void {
  tools.push(publishTestPicture(url));
}

/** Waits until the peer has a stream: it turns away players and relays that come earlier. */
async function published(stream: string): Promise<void> {
  await until('ffmpeg at the peer', () => peer.log().includes(`start push /live/${stream}`));
}

async function assertPlays(url: string): Promise<void> {
  const { packets, codecs } = await probePackets(url, 1);
  assert.deepEqual(codecs, ['aac', 'h264'], peer.log());
  assert.ok(packets.length > 20, `${packets.length} packets`);
}

const target = (): { nodeId: string; host: string; rtmpPort: number } => ({
  nodeId: 'peer',
  host: '127.0.0.1',
  rtmpPort: peer.rtmpPort,
});

describe('with node-media-server', () => {
  test('our client plays from its server', async () => {
    publish(theirs('down'));
    await published('down');
    const stream = node.gate.registry.open(keyOf('down'));
    const pull = new RtmpPullClient({ relayKey: RELAY_KEY, log: LOG });
    const ends: RelayEnd[] = [];
    const listener = { onStart: () => undefined, onEnd: (end: RelayEnd) => ends.push(end) };
    const session = pull.pull({ key: keyOf('down'), target: target(), path: ['us'], stream }, listener);
    await until('frames', () => session.frames > 60);
    await assertPlays(ours('down'));
    assert.deepEqual(ends, []);
    session.close('the test is over');
  });

  test('our client publishes to its server', async () => {
    publish(ours('up'));
    const stream = node.gate.registry.open(keyOf('up'));
    await until('frames from ffmpeg', () => stream.stats().framesIn > 20);
    const push = new RtmpPushClient({ relayKey: RELAY_KEY, log: LOG });
    const ends: RelayEnd[] = [];
    const listener = { onStart: () => undefined, onEnd: (end: RelayEnd) => ends.push(end) };
    const session = push.push({ key: keyOf('up'), target: target(), path: ['us'], stream }, listener);
    await until('frames to the peer', () => session.frames > 20);
    await assertPlays(theirs('up'));
    assert.deepEqual(ends, []);
    session.close('the test is over');
  });

  test('its client plays from our server', async () => {
    // Before there is media: it loses what comes in the same read as Play.Start, the decoder configurations included.
    peer.relay({ mode: 'pull', url: ours('their-pull'), streamPath: '/live/their-pull' });
    const stream = node.gate.registry.open(keyOf('their-pull'));
    await until('its client', () => stream.stats().viewers.rtmp === 1);
    publish(ours('their-pull'));
    await until('frames from ffmpeg', () => stream.stats().framesIn > 20);
    await assertPlays(theirs('their-pull'));
  });

  test('its client publishes to our server', async () => {
    publish(theirs('their-push'));
    await published('their-push');
    peer.relay({ mode: 'push', url: ours('their-push'), streamPath: '/live/their-push' });
    const stream = node.gate.registry.open(keyOf('their-push'));
    await until('frames', () => stream.stats().framesIn > 60);
    await assertPlays(ours('their-push'));
  });
});
