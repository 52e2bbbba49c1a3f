import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { BenchProcess, freePort } from './lib/processes.ts';
import { ENTRY, setUpProduct, startRedis } from './lib/product.ts';
import { RUNS, SERVER_CORE } from './lib/settings.ts';

/*
 * How long a media node takes from its spawn to the first 200 on /readyz, on one CPU, with a real Redis; beside it what
 * Node itself takes to answer its first request.
 */

const GIVE_UP_MS = 30_000;

/** Seconds from the spawn of a Node to its first 200. */
async function untilOk(args: readonly string[], env: Readonly<Record<string, string>>, url: string): Promise<number> {
  const started = performance.now();
  const child = new BenchProcess(args[0]!, SERVER_CORE, process.execPath, args, { env });
  try {
    for (;;) {
      const ok = await fetch(url).then(
        (response) => response.ok,
        () => false,
      );
      const tookMs = performance.now() - started;
      if (ok) return tookMs / 1_000;
      if (child.hasExited || tookMs > GIVE_UP_MS) throw child.error(`gives no 200 at ${url}`);
      await delay(5);
    }
  } finally {
    await child.close();
  }
}

export async function startup(): Promise<Figure[]> {
  const redis = await startRedis();
  const product = await setUpProduct({ redisPort: redis.port, role: 'edge' }, { rtmp: 0, http: 0 });
  try {
    const ready = `http://127.0.0.1:${product.adminPort}/readyz`;
    const barePort = await freePort();
    const bare = `require('node:http').createServer((q, s) => s.end()).listen(${barePort}, '127.0.0.1')`;
    // The image comes with a filled compile cache, so the first start here, which fills it, is not counted.
    await untilOk([ENTRY], product.env, ready);
    const ours: number[] = [];
    const floor: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      ours.push(await untilOk([ENTRY], product.env, ready));
      floor.push(await untilOk(['-e', bare], {}, `http://127.0.0.1:${barePort}/`));
    }
    return [
      {
        what: 'media node, spawn to the first 200 on /readyz, one CPU',
        value: median(ours),
        unit: 's',
        atMost: 1,
        runs: ours,
      },
      { what: 'Node alone, spawn to its first 200', value: median(floor), unit: 's', runs: floor },
    ];
  } finally {
    await redis.close();
    product.close();
  }
}
