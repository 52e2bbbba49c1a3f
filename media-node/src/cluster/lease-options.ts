import type { Logger } from 'pino';
import type { NodeInfo } from './directory.ts';

export interface LeasedDirectoryOptions {
  readonly node: NodeInfo;
  readonly logger: Logger;
  /** Sessions served now, told with each heartbeat. */
  readonly load?: () => number;
  /** Between heartbeats. Default 1.5 s. */
  readonly renewMs?: number;
  /** Life of a lease. Default 5 s. */
  readonly leaseMs?: number;
  /**
   * How long after it began or came back the store counts as incomplete: the others need a reconnect (≤ 1 s) and a
   * heartbeat to write their records again. Default 3 s.
   */
  readonly settleMs?: number;
  /** Between steps of the sweep for records of dead nodes. Default 10 s. */
  readonly sweepMs?: number;
  /** How long a node must have been without a lease before its records are swept. Default 30 s. */
  readonly staleMs?: number;
  /** How long `start` waits for the first heartbeat's answer. Default 2 s. */
  readonly startWaitMs?: number;
  readonly now?: () => number;
}

export const LEASE_DEFAULTS = {
  renewMs: 1_500,
  leaseMs: 5_000,
  settleMs: 3_000,
  sweepMs: 10_000,
  staleMs: 30_000,
  startWaitMs: 2_000,
  now: Date.now,
} as const;
