import { mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { isMissed } from './lib/figure.ts';
import type { Product } from './lib/product.ts';
import { SchedulerSpan } from './lib/processes.ts';
import { startProduct, startRedis } from './lib/product.ts';
import { temporary } from './lib/servers.ts';
import type { Look } from './soak/bounds.ts';
import { boundsOf } from './soak/bounds.ts';
import type { NodeSample } from './soak/node-watch.ts';
import { errorLines, NodeWatch, SOAK_PROBE } from './soak/node-watch.ts';
import { LEGEND, row, table, verdict } from './soak/report.ts';
import { Sessions } from './soak/sessions.ts';
import { SteadySessions } from './soak/steady.ts';
import { PULL_HOLD_MS, VHOSTS } from './soak/vhosts.ts';

/*
 * `make soak`: two origins and an edge with encoders and viewers of every protocol coming and going, 50 a second, decent and not,
 * for SOAK_MINUTES (3). Before it a warm-up, for code is compiled and tables get their size; then everybody leaves, and the
 * nodes at rest are what those at the end are compared with: memory, handles, tables. Meanwhile an encoder and the viewers of
 * each Vhost stay, and must not notice. Exits 1 when a figure is out of its bound, or a node ends.
 *
 * SOAK_SNAPSHOTS=folder gets heap snapshots of the nodes at rest, before and after: what grew is what the second has more of.
 */

const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 3);
const SNAPSHOTS = process.env['SOAK_SNAPSHOTS'];
const WARM_UP_MS = Math.min(30_000, (MINUTES * 60_000) / 3);
const SESSIONS_A_SECOND = 50;
const MOST_AT_ONCE = 300;
const LEAST_A_SECOND = 45;
const STEP_MS = 20;
const LOOK_MS = Math.min(5_000, (MINUTES * 60_000) / 24);
const TELL_MS = 15_000;
/** Connections between nodes are kept for 65 s after their last use, fetched files for 30 s after they were listed. */
const MOST_REST_MS = 120_000;
/** More than a node has that nobody ever came to: to Redis and to the other nodes, which tell of themselves. */
const SOCKETS_AT_REST = 2;
/** Of a viewer who stays: the others' coming and going never keeps it waiting, but the machine may. */
const MOST_SILENCE_MS = 10_000;
/** Records of nodes, and of streams that may go on: none of a session, none of a name that somebody made up. */
const MOST_KEYS = 400;

/** Garbage is collected long before there is so much of it; without a bound it hides in resident memory what grows. */
const HEAP_BOUND = '--max-old-space-size=96';
/** Of the time that this process wants to run; above it, figures of time say more of the machine than of the nodes. */
const MOST_WAIT_SHARE = 0.2;

/** Begins sessions as they are due, and looks at the nodes, for so long. */
async function comeAndGo(watches: readonly NodeWatch[], sessions: Sessions, ms: number): Promise<Look[][]> {
  const looks = watches.map((): Look[] => []);
  const startedMs = performance.now();
  const begunBefore = sessions.begun;
  let lookedMs = startedMs;
  let toldMs = startedMs;
  for (let nowMs = startedMs; nowMs - startedMs < ms; nowMs = performance.now()) {
    const due = begunBefore + ((nowMs - startedMs) / 1_000) * SESSIONS_A_SECOND;
    // Those that come due while this process waits for a CPU are not begun all at once.
    while (sessions.begun < due && sessions.running < MOST_AT_ONCE) sessions.begin();
    if (nowMs - lookedMs >= LOOK_MS) {
      lookedMs = nowMs;
      const { begun } = sessions;
      const samples = await Promise.all(watches.map((watch) => watch.sample()));
      const { user, system } = process.cpuUsage();
      const ownCpuMs = (user + system) / 1_000;
      for (const [index, sample] of samples.entries()) looks[index]!.push({ sample, begun, ownCpuMs });
      if (nowMs - toldMs >= TELL_MS) {
        toldMs = nowMs;
        tell(`${((nowMs - startedMs) / 1_000).toFixed(0)} s`, sessions, watches, samples);
      }
    }
    await delay(STEP_MS);
  }
  return looks;
}

function tell(
  when: string,
  { begun, running, faultCount }: Sessions,
  watches: readonly NodeWatch[],
  samples: readonly NodeSample[],
): void {
  console.log(`${when}: ${begun} sessions, ${running} of them now, ${faultCount} faults`);
  for (const [index, { name }] of watches.entries()) console.log(row(name, samples[index]!));
}

/** Waits until the nodes have let everything go, or have had time enough to. */
async function atRest(watches: readonly NodeWatch[], fresh: readonly NodeSample[]): Promise<NodeSample[]> {
  const endMs = performance.now() + MOST_REST_MS;
  for (;;) {
    const samples = await Promise.all(watches.map((watch) => watch.sample()));
    const isAtRest = samples.every(({ tables, sockets }, index) => {
      const isEmpty = Object.values(tables).every((count) => count === 0);
      return isEmpty && sockets <= fresh[index]!.sockets + SOCKETS_AT_REST;
    });
    if (isAtRest || performance.now() > endMs) return samples;
    await delay(1_000);
  }
}

async function snapshot(watches: readonly NodeWatch[], when: string): Promise<void> {
  if (SNAPSHOTS === undefined) return;
  mkdirSync(SNAPSHOTS, { recursive: true });
  for (const watch of watches) await watch.snapshot(join(SNAPSHOTS, `${watch.name}-${when}.heapsnapshot`));
}

async function soak(): Promise<{ readonly figures: Figure[]; readonly sessions: Sessions }> {
  const redis = await startRedis();
  const folder = temporary();
  const watches: NodeWatch[] = [];
  const start = async (name: string, role: 'origin' | 'edge', ordinal: number): Promise<Product> => {
    const { errors, onLog } = errorLines();
    const [vhost, ...moreVhosts] = VHOSTS;
    const env = { LIVECLUSTER_DVR_FOLDER: join(folder, name) };
    mkdirSync(env.LIVECLUSTER_DVR_FOLDER);
    const common = { redisPort: redis.port, nodeArgs: [HEAP_BOUND], probe: SOAK_PROBE, pullHoldMs: PULL_HOLD_MS };
    const node = await startProduct({ ...common, role, ordinal, core: 'any', vhost, moreVhosts, env, onLog });
    watches.push(new NodeWatch(name, node, errors));
    return node;
  };
  try {
    const origin = await start('origin-0', 'origin', 0);
    await start('origin-1', 'origin', 1);
    const edge = await start('edge-0', 'edge', 0);
    const sessions = new Sessions(watches.map(({ node }) => node));
    console.log(LEGEND);
    const fresh = await Promise.all(watches.map((watch) => watch.sample()));
    tell('started', sessions, watches, fresh);
    const round = async (ms: number): Promise<{ looks: Look[][]; silenceMs: number; rest: NodeSample[] }> => {
      const steady = new SteadySessions(sessions);
      await steady.begin(origin, edge);
      const looks = await comeAndGo(watches, sessions, ms);
      const silenceMs = steady.longestSilenceMs();
      await steady.over();
      await sessions.over();
      return { looks, silenceMs, rest: await atRest(watches, fresh) };
    };
    const { rest: before } = await round(WARM_UP_MS);
    tell('warmed up and at rest', sessions, watches, before);
    await snapshot(watches, 'before');
    const begunBefore = sessions.begun;
    const span = new SchedulerSpan(process.pid);
    const { looks, silenceMs, rest: after } = await round(MINUTES * 60_000);
    const waitShare = span.end().waitShare / (1 + watches.length);
    tell('at rest again', sessions, watches, after);
    await snapshot(watches, 'after');
    const figures = watches.flatMap(({ name }, index) =>
      boundsOf(name, { before: before[index]!, busy: looks[index]!, after: after[index]! }),
    );
    const errors = watches.flatMap((watch) => watch.errors);
    for (const line of errors.filter((each) => each !== '')) console.log(`log: ${line}`);
    for (const [what, count] of sessions.faults) console.log(`fault, ${count} times: ${what}`);
    figures.push(
      {
        what: 'sessions begun a second',
        value: (sessions.begun - begunBefore) / (MINUTES * 60),
        unit: '',
        atLeast: LEAST_A_SECOND,
      },
      {
        what: 'those who stay: longest wait for something new',
        value: silenceMs / 1_000,
        unit: 's',
        atMost: MOST_SILENCE_MS / 1_000,
      },
      { what: 'sessions that went otherwise than they may', value: sessions.faultCount, unit: '', atMost: 0 },
      { what: 'errors in the logs', value: errors.length, unit: '', atMost: 0 },
      { what: 'keys in Redis at rest', value: await redisKeys(redis.port), unit: '', atMost: MOST_KEYS },
    );
    // Of this process and the nodes, which are its children.
    if (waitShare > MOST_WAIT_SHARE) {
      const share = (waitShare * 100).toFixed(0);
      console.log(
        `note: other work kept the processes from their CPUs for ${share} % of the time: figures of time are of both`,
      );
    }
    return { figures, sessions };
  } finally {
    await Promise.all(watches.map(({ node }) => node.close()));
    await redis.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function redisKeys(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  socket.write('DBSIZE\r\n');
  for await (const answer of socket as AsyncIterable<Buffer>) return Number(/^:(\d+)/.exec(answer.toString())?.[1]);
  return NaN;
}

const { figures, sessions } = await soak();
console.log(table(figures));
console.log(verdict(figures, sessions.begun, MINUTES));
process.exit(figures.some(isMissed) ? 1 : 0);
