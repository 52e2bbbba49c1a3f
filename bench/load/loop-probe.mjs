import { monitorEventLoopDelay } from 'node:perf_hooks';

/*
 * Loaded ahead of a program by `node --import`: measures its event loop's delay without a change to it. Any message
 * answers with the figures since the message before, in milliseconds.
 */

// The histogram measures from timer to timer: the period itself is in every value.
const RESOLUTION_MS = 5;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
const ms = (ns) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
process.on('message', () => {
  process.send?.({
    p50: ms(delay.percentile(50)),
    p99: ms(delay.percentile(99)),
    p999: ms(delay.percentile(99.9)),
    max: ms(delay.max),
  });
  delay.reset();
});
process.channel?.unref();
