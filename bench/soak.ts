import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { AVC_FRAME, RtmpPeer } from '../media-node/src/protocols/testing/rtmp-peer.ts';
import { RTMP_VIDEO } from '../media-node/src/formats/rtmp-message.ts';
import type { Figure } from './lib/figure.ts';
import { describe, isMissed, median } from './lib/figure.ts';
import { rssBytes } from './lib/processes.ts';
import type { Product } from './lib/product.ts';
import { startProduct, startRedis } from './lib/product.ts';
import { LOAD_CORE } from './lib/settings.ts';

/*
 * `make soak`: an origin and an edge with publishers and viewers coming and going, 50 a second, decent and not, for
 * SOAK_MINUTES (3). At the end memory, handles and the event loop's delay have to be what they were after the warm-up,
 * and both nodes alive. Exits 1 otherwise.
 */

const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 3);
/** A heap is collected every two minutes otherwise, and garbage hides what grows. Some 40 MB are alive. */
const HEAP_BOUND = '--max-old-space-size=64';
const SESSIONS_A_SECOND = 50;
const STREAMS = 20;
const LONGEST_STAY_MS = 4_000;
const FRAME_MS = 40;

interface Sample {
  readonly rssMiB: number;
  readonly handles: number;
  readonly lagMs: number;
}

/** Counts of sessions begun, and of those that ended otherwise than meant. */
const counts = { begun: 0, faults: 0 };

const pick = (bound: number) => Math.floor(Math.random() * bound);
const stay = () => delay(pick(LONGEST_STAY_MS));
const streamName = () => `soak${pick(STREAMS)}`;

/** Publishes until its stay is over; now and then vanishes in the middle of a message, or finds the stream taken. */
async function publish(node: Product): Promise<void> {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  try {
    const name = streamName();
    peer.call('publish', null, name, 'live');
    for (;;) {
      if (peer.isClosed || peer.codes().includes('NetStream.Publish.BadName')) return;
      if (peer.codes().includes('NetStream.Publish.Start')) break;
      await delay(5);
    }
    peer.sendMedia(0);
    const endMs = performance.now() + pick(LONGEST_STAY_MS);
    for (let dtsMs = FRAME_MS; performance.now() < endMs && !peer.isClosed; dtsMs += FRAME_MS) {
      peer.send(RTMP_VIDEO, AVC_FRAME, dtsMs);
      await delay(FRAME_MS);
    }
    if (pick(4) === 0) peer.socket.write(Buffer.from([6, 0, 0, 0, 0, 0xff]));
  } finally {
    peer.close();
  }
}

async function playRtmp(node: Product): Promise<void> {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  try {
    await peer.play(streamName());
    await stay();
  } finally {
    peer.close();
  }
}

/** Plays HTTP-FLV; every fourth never reads. */
async function playFlv(node: Product): Promise<void> {
  const request = get({ port: node.httpPort, path: `/live/${streamName()}.flv`, agent: false });
  const reads = pick(4) > 0;
  request.on('error', () => undefined);
  request.on('response', (response) => {
    response.on('error', () => undefined);
    if (reads) response.resume();
  });
  await stay();
  request.destroy();
}

/** Connects and says what means nothing, or nothing at all. */
async function misbehave(node: Product): Promise<void> {
  const socket = connect(pick(2) === 0 ? node.rtmpPort : node.httpPort, '127.0.0.1');
  socket.on('error', () => undefined);
  if (pick(3) > 0) socket.write(Buffer.from(Array.from({ length: 1 + pick(4_000) }, () => pick(256))));
  await stay();
  socket.destroy();
}

function sessionFor(nodes: readonly Product[]): Promise<void> {
  const node = nodes[pick(nodes.length)]!;
  const dice = pick(10);
  if (dice < 2) return publish(node);
  if (dice < 6) return playRtmp(node);
  return dice < 9 ? playFlv(node) : misbehave(node);
}

async function sample(node: Product): Promise<Sample> {
  return {
    rssMiB: rssBytes(node.process.pid) / 2 ** 20,
    handles: readdirSync(`/proc/${node.process.pid}/fd`).length,
    lagMs: (await node.metric('livecluster_event_loop_lag_seconds{quantile="0.99"}')) * 1_000,
  };
}

/** The median of a part of the samples, from and to as shares of the whole. */
function part(samples: readonly Sample[], field: keyof Sample, from: number, to: number): number {
  const slice = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));
  return median(slice.map((each) => each[field]));
}

async function soak(): Promise<Figure[]> {
  const redis = await startRedis();
  const common = { redisPort: redis.port, nodeArgs: [HEAP_BOUND] };
  const origin = await startProduct(common);
  const edge = await startProduct({ ...common, role: 'edge', core: LOAD_CORE });
  const nodes = [origin, edge];
  const samples = nodes.map((): Sample[] => []);
  const atRest = await Promise.all(nodes.map(sample));
  const running = new Set<Promise<void>>();
  try {
    const startedMs = performance.now();
    const endMs = startedMs + MINUTES * 60_000;
    let sampledMs = startedMs;
    while (performance.now() < endMs) {
      const due = ((performance.now() - startedMs) / 1_000) * SESSIONS_A_SECOND;
      for (; counts.begun < due; counts.begun++) {
        const session = sessionFor(nodes)
          .catch(() => void counts.faults++)
          .finally(() => running.delete(session));
        running.add(session);
      }
      if (performance.now() - sampledMs >= 1_000) {
        sampledMs += 1_000;
        for (const [index, node] of nodes.entries()) {
          if (node.process.hasExited) throw node.process.error('ended in the middle');
          samples[index]!.push(await sample(node));
        }
        const seconds = Math.round((sampledMs - startedMs) / 1_000);
        if (seconds % 15 === 0) console.log(progress(seconds, samples));
      }
      await delay(10);
    }
    await Promise.all(running);
    for (const node of nodes) {
      await node.process.until('let every session go', async () => (await node.metric('livecluster_players{')) === 0);
    }
    // What a stream that ended, a pull and a publisher's grace hold is given back by then.
    await delay(45_000);
    const after = await Promise.all(nodes.map(sample));
    return nodes.flatMap((_, index) => {
      const name = index === 0 ? 'origin' : 'edge';
      const own = samples[index]!;
      const ratio = (field: keyof Sample) => part(own, field, 0.75, 1) / part(own, field, 0.25, 0.5);
      return [
        { what: `${name}: RSS, last quarter against second`, value: ratio('rssMiB'), unit: '', atMost: 1.15 },
        { what: `${name}: handles, last quarter against second`, value: ratio('handles'), unit: '', atMost: 1.15 },
        {
          what: `${name}: handles left over at rest`,
          value: after[index]!.handles - atRest[index]!.handles,
          unit: '',
          atMost: 5,
        },
        {
          what: `${name}: event-loop delay p99, last quarter over second`,
          value: part(own, 'lagMs', 0.75, 1) - part(own, 'lagMs', 0.25, 0.5),
          unit: 'ms',
          atMost: 10,
        },
      ];
    });
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
    await redis.close();
  }
}

function progress(seconds: number, samples: readonly Sample[][]): string {
  const each = samples.map((own, index) => {
    const { rssMiB, handles, lagMs } = own.at(-1)!;
    return `${index === 0 ? 'origin' : 'edge'} ${rssMiB.toFixed(0)} MiB, ${handles} handles, ${lagMs.toFixed(1)} ms`;
  });
  return `${seconds} s: ${counts.begun} sessions, ${counts.faults} faults; ${each.join('; ')}`;
}

const figures = await soak();
figures.push({
  what: 'sessions that could not be held to their end, of a hundred',
  value: (counts.faults / counts.begun) * 100,
  unit: '',
  atMost: 2,
});
for (const figure of figures) console.log(describe(figure));
process.exit(figures.some(isMissed) ? 1 : 0);
