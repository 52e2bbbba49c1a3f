import { readFile } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Logger } from 'pino';
import { pollText } from '../media-node/src/config/config-folder.ts';
import { switchedLogger } from '../media-node/src/lib/switched-logger.ts';
import { addressTable } from './address-table.ts';
import { followCertificate } from './certificate-files.ts';
import { readLoop } from './demo-loop.ts';
import { DemoPublisher } from './demo-publisher.ts';
import { LocalCluster, LocalClusterError } from './local-cluster.ts';
import { readableLines } from './log-lines.ts';
import { planFrom, PlanError } from './plan.ts';
import type { Plan } from './plan.ts';
import { firstOriginPorts } from './port-plan.ts';

/*
 * `make run`: the origins and edges of a LiveCluster on this machine, without Kubernetes and Redis.
 *
 *   node local/main.ts [file.yaml]      or CLUSTER=file.yaml; default examples/livecluster.yaml
 *
 * DEMO=0 publishes no test picture. HOST=0.0.0.0 lets other machines in. RTMP_PORT, RTMPS_PORT, HTTP_PORT, API_PORT and
 * ADMIN_PORT move the first origin's ports. TLS_CERT and TLS_KEY name the PEM files for RTMPS.
 * RECORDINGS names the folder for recordings, ./recordings by default; SEGMENTS the one for segments where origin.storage.hls
 * keeps them on a disk, ./segments by default. LOG=json writes the log as the nodes on Kubernetes do.
 */

const GRACE_MS = 5_000;
const DEMO = { app: 'live', stream: 'demo' } as const;

const say = (text: string) => void process.stdout.write(`${text}\n`);
const isTerminal = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
const bold = (text: string) => (isTerminal ? `\x1b[1m${text}\x1b[0m` : text);

async function main(): Promise<void> {
  const { positionals } = parseArgs({ allowPositionals: true });
  const path = resolve(positionals[0] ?? process.env['CLUSTER'] ?? 'examples/livecluster.yaml');
  const file = shortPath(path);
  const host = process.env['HOST'] || '127.0.0.1';
  // 127.0.0.1 is what localhost means to every program; the name is easier to read and to type.
  const shownHost = host === '127.0.0.1' || host === '0.0.0.0' ? 'localhost' : host;
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new PlanError([`${file} cannot be read (${cause.code}); name a file that exists: make run CLUSTER=path`]);
  });
  const plan = planFrom(text);
  const isJson = process.env['LOG'] === 'json';
  // While the nodes come and go their lines would bury the table.
  const { logger, setLevel } = switchedLogger(
    isJson ? 'info' : 'warn',
    {},
    isJson ? process.stdout : readableLines(process.stdout, isTerminal),
  );
  const stopping = new AbortController();
  const tls = plan.rtmps ? await followCertificate(process.env, say, stopping.signal) : undefined;
  const cluster = new LocalCluster({
    host,
    ...(tls !== undefined && { tls }),
    recordings: resolve(process.env['RECORDINGS'] || 'recordings'),
    segments: resolve(process.env['SEGMENTS'] || 'segments'),
    firstOrigin: firstOriginPorts(process.env),
    logger,
    note: (line) => say(line),
  });
  onSignals(cluster, stopping);
  if (!isJson) stopping.signal.addEventListener('abort', () => setLevel('warn'), { once: true });
  await cluster.apply(plan);
  if (stopping.signal.aborted) return;
  showTable(cluster, plan, file, shownHost);
  setLevel(plan.nodes[0]?.config.logLevel ?? 'info');
  if (process.env['DEMO'] !== '0') startDemo(cluster, host, stopping.signal, logger);
  watch(cluster, path, text, file, shownHost, stopping.signal);
}

function showTable(cluster: LocalCluster, plan: Plan, file: string, host: string): void {
  for (const note of plan.notes) say(`note: ${note}`);
  const first = cluster.nodes[0];
  const page = `http://${host}:${first?.ports.http}/`;
  say(
    `\n${bold(`LiveCluster ${plan.cluster}`)} of ${file} runs. Use any name for STREAM, and any node for anything.\n`,
  );
  say(addressTable(cluster.nodes, host));
  const isDemo = process.env['DEMO'] !== '0';
  say(
    isDemo
      ? `\n${bold('Watch')} the test picture live/demo in a browser: ${bold(page)}`
      : `\n${bold('Watch')} in a browser: ${bold(page)}`,
  );
  say(`Edit ${file} to change the cluster while it runs. Ctrl-C stops it.\n`);
}

function startDemo(cluster: LocalCluster, host: string, stop: AbortSignal, logger: Logger): void {
  const publisher = new DemoPublisher({
    loop: readLoop(),
    host: host === '0.0.0.0' ? '127.0.0.1' : host,
    port: () => cluster.nodes[0]?.ports.rtmp ?? 0,
    ...DEMO,
    log: logger.child({ node: 'demo' }),
  });
  stop.addEventListener('abort', () => publisher.close('make run ends'), { once: true });
}

/** Takes each edit of the file while the process runs; a broken one changes nothing. */
function watch(
  cluster: LocalCluster,
  path: string,
  first: string,
  file: string,
  host: string,
  stop: AbortSignal,
): void {
  const stopPolling = pollText(
    () => readFile(path, 'utf8'),
    first,
    {
      onText: (text) => void reload(cluster, text, file, host, stop),
      onError: (error) => say(`${file} cannot be read: ${error.message}; the cluster stays as it is`),
    },
    { everyMs: 300 },
  );
  // Nothing else keeps the process alive when a plan has ended all its sockets.
  const alive = setInterval(() => undefined, 60_000);
  stop.addEventListener('abort', () => (stopPolling(), clearInterval(alive)), { once: true });
}

async function reload(
  cluster: LocalCluster,
  text: string,
  file: string,
  host: string,
  stop: AbortSignal,
): Promise<void> {
  try {
    const plan = planFrom(text);
    const before = cluster.nodes.map(({ name }) => name).join();
    await cluster.apply(plan);
    if (stop.aborted) return;
    for (const note of plan.notes) say(`note: ${note}`);
    say(`${file} changed and is in force`);
    if (before !== cluster.nodes.map(({ name }) => name).join()) say(addressTable(cluster.nodes, host));
  } catch (error) {
    say(`${file} changed, but cannot be taken; the cluster stays as it was:`);
    say(explain(error));
  }
}

function onSignals(cluster: LocalCluster, stopping: AbortController): void {
  let signals = 0;
  const onSignal = () => {
    signals += 1;
    if (signals > 1) process.exit(130);
    say(`\nStopping: sessions may end by themselves for ${GRACE_MS / 1_000} s. Ctrl-C again stops at once.`);
    stopping.abort();
    cluster.close('make run ends', GRACE_MS).then(
      () => process.exit(0),
      (error: unknown) => {
        say(explain(error));
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

/** An error as lines for a person: what we foresaw without a stack, the rest with it. */
function explain(error: unknown): string {
  if (error instanceof PlanError) return error.faults.map((fault) => `  ${fault}`).join('\n');
  if (error instanceof LocalClusterError || error instanceof RangeError) return `  ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function shortPath(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') || isAbsolute(short) ? path : short;
}

main().catch((error: unknown) => {
  say('The cluster cannot run:');
  say(explain(error));
  process.exit(1);
});
