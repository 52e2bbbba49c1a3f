import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { Publisher, Viewers } from './lib/load.ts';
import { benchVhost, startProduct, startRedis } from './lib/product.ts';
import type { StartServer } from './lib/servers.ts';
import { startFloor } from './lib/servers.ts';
import { SETTLE_MS } from './lib/settings.ts';
import type { Send } from './lib/strace.ts';
import { traceSends } from './lib/strace.ts';

/*
 * Whether the floor is one: strace counts what it sends. Exactly one send() a viewer and window, each taken whole. The
 * product's beside it, as the window asks of it too.
 */

const VIEWERS = 20;
const WINDOW_MS = 350;
const TRACE_MS = 5_000;
/** Viewers of one flush are served within this time; windows are further apart. */
const SAME_FLUSH_S = 0.1;

async function sendsOf(start: StartServer, protocol: 'rtmp' | 'flv'): Promise<Send[]> {
  const server = await start();
  let publisher: Publisher | undefined;
  let viewers: Viewers | undefined;
  try {
    publisher = await Publisher.start(server);
    viewers = await Viewers.start(server, { viewers: VIEWERS, protocol });
    await delay(SETTLE_MS);
    return await traceSends(server.process.pid, TRACE_MS);
  } finally {
    await viewers?.process.close();
    await publisher?.process.close();
    await server.close();
  }
}

/** The most sends of one viewer in one window; Infinity where a viewer missed a window or a send was not taken whole. */
function mostPerWindow(sends: readonly Send[]): number {
  const flushes: Send[][] = [];
  let lastS = -Infinity;
  for (const send of sends) {
    if (send.atS - lastS > SAME_FLUSH_S) flushes.push([]);
    flushes.at(-1)!.push(send);
    lastS = send.atS;
  }
  // strace may have come and gone in the midst of one.
  const whole = flushes.slice(1, -1);
  let most = whole.length === 0 ? Infinity : 0;
  for (const flush of whole) {
    const bySocket = Map.groupBy(flush, ({ socket }) => socket);
    const isWhole = bySocket.size === VIEWERS && flush.every(({ asked, sent }) => asked === sent);
    most = Math.max(most, isWhole ? 0 : Infinity, ...[...bySocket.values()].map(({ length }) => length));
  }
  return most;
}

export async function sends(): Promise<Figure[]> {
  const redis = await startRedis();
  const vhost = benchVhost(WINDOW_MS) ?? benchVhost()!;
  const product: StartServer = () => startProduct({ redisPort: redis.port, vhost });
  try {
    const figures: Figure[] = [];
    for (const protocol of ['rtmp', 'flv'] as const) {
      const floor = await sendsOf(startFloor({ windowMs: WINDOW_MS }), protocol);
      figures.push({
        what: `floor, ${protocol}: most sends of a viewer in a window, each taken whole`,
        value: mostPerWindow(floor),
        unit: '',
        atMost: 1,
      });
      const ours = await sendsOf(product, protocol);
      for (const [name, list] of [
        ['floor', floor],
        ['livecluster', ours],
      ] as const) {
        figures.push({
          what: `${name}, ${protocol}: writes to sockets, of ${WINDOW_MS} ms windows`,
          value: list.length / VIEWERS / (TRACE_MS / 1_000),
          unit: 'a viewer-second',
        });
      }
    }
    return figures;
  } finally {
    await redis.close();
  }
}
