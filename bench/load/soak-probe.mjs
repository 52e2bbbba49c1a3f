import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';

/*
 * Loaded ahead of a program by `node --import`: says over the channel what the program holds, without a change to it.
 *
 *   'look'      what is held now, and how long the event loop was kept busy since the message before
 *   'collect'   the same, after everything that nobody holds any more was thrown away
 *   '/a/path'   writes a heap snapshot there
 */

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/**
 * CPU of the main thread from one timer to the next, in ms: what a socket waits for in this process. The time between the timers
 * would tell as much of what else the machine does.
 */
const TICK_MS = 10;
const MOST_TICKS = 60_000;
let ticks = [];
const used = () => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
};
let usedMs = used();
setInterval(() => {
  const nowMs = used();
  if (ticks.length < MOST_TICKS) ticks.push(nowMs - usedMs);
  usedMs = nowMs;
}, TICK_MS).unref();

function look() {
  const busy = ticks.sort((a, b) => a - b);
  ticks = [];
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  return {
    // arrayBuffers are among what is external.
    heapBytes: heapUsed,
    externalBytes: external,
    arrayBufferBytes: arrayBuffers,
    rssBytes: rss,
    resources,
    busyP99Ms: busy[Math.floor(busy.length * 0.99)] ?? 0,
    busyMostMs: busy.at(-1) ?? 0,
  };
}

process.on('message', (message) => {
  if (message !== 'look' && message !== 'collect') {
    process.send?.(writeHeapSnapshot(message));
    return;
  }
  const before = look();
  if (message === 'look') {
    process.send?.(before);
    return;
  }
  // What finalizers let go is collected by the second one.
  collect();
  setImmediate(() => {
    collect();
    const { busyP99Ms, busyMostMs } = before;
    process.send?.({ ...look(), busyP99Ms, busyMostMs });
    ticks = [];
    usedMs = used();
  });
});
process.channel?.unref();
