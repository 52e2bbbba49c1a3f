import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { sleep, systemClock } from './clock.ts';
import type { LeaderLease } from './leader-lease.ts';

/** Options of runAsLeader. */
export interface RunAsLeaderOptions {
  readonly lease: LeaderLease;
  /** Aborts on SIGTERM and SIGINT. */
  readonly shutdown: AbortSignal;
  /** Begins the work: starts reflectors and controllers. Called once, when this process leads. */
  readonly lead: () => Promise<void> | void;
  /** Ends the work: resolves when no reconcile is under way any more. Called at most once, only after lead. */
  readonly stop: (reason: string) => Promise<void>;
  readonly log: Logger;
  readonly clock?: Clock;
  /** How long to wait for `stop`; 20 s unless told, within a pod's usual 30 s. */
  readonly stopTimeoutMs?: number;
}

/**
 * The life of an operator's replica, to its exit code. On shutdown: workers first, then the lease is given up, 0. On a
 * lost lease, or when `lead` fails: workers stop, what is in flight is awaited, 1, so that the pod starts afresh.
 */
export async function runAsLeader(options: RunAsLeaderOptions): Promise<0 | 1> {
  const { lease, shutdown, log } = options;
  const asked = new Promise<'shutdown'>((resolve) => {
    if (shutdown.aborted) resolve('shutdown');
    else shutdown.addEventListener('abort', () => resolve('shutdown'), { once: true });
  });
  if (!shutdown.aborted) lease.start();
  const first = await Promise.race([asked, lease.acquired]);
  if (first === 'shutdown') {
    await lease.release('shutdown');
    return 0;
  }
  if (!first) return 0;

  const leading = Promise.resolve()
    .then(options.lead)
    .then(
      () => new Promise<never>(() => {}),
      (error: unknown) => {
        log.error({ err: error }, 'the work of the leader could not begin');
        return 'failed' as const;
      },
    );
  const end = await Promise.race([asked, lease.ended.then(({ kind }) => kind), leading]);
  await stopWithin(options, end);
  await lease.release(end);
  return end === 'shutdown' || end === 'released' ? 0 : 1;
}

async function stopWithin(options: RunAsLeaderOptions, reason: string): Promise<void> {
  const { stop, log, clock = systemClock, stopTimeoutMs = 20_000 } = options;
  const isDone = new AbortController();
  const stopping = stop(reason)
    .catch((error: unknown) => log.error({ err: error }, 'the work of the leader did not end cleanly'))
    .then(() => isDone.abort());
  // Writes are guarded by the lease, so what is left behind can do no harm.
  const isLate = await Promise.race([stopping.then(() => false), sleep(clock, stopTimeoutMs, isDone.signal)]);
  if (isLate) log.error({ stopTimeoutMs }, 'reconciles still under way are left behind');
}
