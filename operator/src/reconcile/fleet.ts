import type { Logger } from 'pino';
import type { NodeStatus, StreamNotice } from '#contract/admin-api.ts';
import type { Role } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { Backoff, jittered } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { sleep, systemClock } from '../runtime/clock.ts';
import type { Limiter } from './limiter.ts';
import { NodeAdminError } from './node-admin.ts';
import type { NodeAdmin } from './node-admin.ts';

/** A media pod that has an address. */
export interface FleetNode {
  readonly name: string;
  readonly uid: string;
  readonly role: Role;
  readonly host: string;
  /** Whether Kubernetes calls it ready: a change is a reason to ask it at once. */
  readonly isReady: boolean;
  /** Whether the pod is on its way out. */
  readonly isLeaving: boolean;
}

/** A configuration with its nodeConfigHash. */
export interface HashedConfig {
  readonly config: NodeConfig;
  readonly hash: string;
}

/** What the nodes of a cluster are to be. */
export interface FleetTarget {
  readonly nodes: readonly FleetNode[];
  readonly token: string;
  readonly configs: Readonly<Record<Role, HashedConfig>>;
}

/** What is known of one node. */
export interface NodeReport {
  /** Its last answer. */
  readonly status?: NodeStatus;
  /** Hash of the configuration in force on it. */
  readonly hash?: string;
  /** The wanted configuration was refused, and why. */
  readonly rejected?: { readonly hash: string; readonly reason: string };
  /** Calls in a row that failed. */
  readonly failures: number;
}

/** What changed in the reports: `config` what is in force or refused, or whether it answers; `counts` the rest. */
export type FleetChange = 'config' | 'counts';

export interface FleetOptions {
  readonly admin: NodeAdmin;
  /** Shared by all fleets: calls at once. */
  readonly limiter: Limiter;
  readonly log: Logger;
  readonly onChange: (change: FleetChange) => void;
  readonly onPush?: (result: 'accepted' | 'refused' | 'failed') => void;
  /** A node's answer lists notices: those it listed before too. */
  readonly onNotices?: (notices: readonly StreamNotice[]) => void;
  readonly clock?: Clock;
  /** Time from one look at a node to the next; 3 s unless told. */
  readonly pollMs?: number;
  readonly random?: () => number;
}

const POLL_MS = 3_000;
const POLL_JITTER = 0.4;
const RETRY = { initialMs: 200, maxMs: 3_000, jitter: 0.4 } as const;
/** A node that was told to close and is still there, because its container was started again, is told again. */
const CLOSE_AGAIN_MS = 1_000;
/** Failed calls in a row after which a node counts as unreachable. */
export const UNREACHABLE_FAILURES = 3;

/**
 * The media nodes of one cluster: gives each the configuration it should have, as soon as that is known, and keeps what
 * it reports. Each node has a loop of its own, so that one that does not answer holds up no other.
 */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #agents = new Map<string, NodeAgent>();
  #isClosed = false;
  #isClosingNodes = false;
  #target: FleetTarget | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Sets what is wanted; changed configurations go out at once. */
  setTarget(target: FleetTarget): void {
    if (this.#isClosed || this.#isClosingNodes) return;
    this.#target = target;
    this.#setNodes(target.nodes);
  }

  /** What is known of the pod with this uid; undefined before its first answer or failure. */
  report(podUid: string): NodeReport | undefined {
    return this.#agents.get(podUid)?.report;
  }

  /** Whether the pod with this uid is one of its nodes. */
  has(podUid: string): boolean {
    return this.#agents.has(podUid);
  }

  /** The cluster is deleted: tells every node to close, again and again as long as it is in `setClosingNodes`. Idempotent. */
  closeNodes(): void {
    if (this.#isClosed) return;
    this.#isClosingNodes = true;
    for (const agent of this.#agents.values()) agent.closeNode();
  }

  /** While closing: the nodes that are still there. */
  setClosingNodes(nodes: readonly FleetNode[]): void {
    if (!this.#isClosed && this.#isClosingNodes) this.#setNodes(nodes);
  }

  /** Asks no node anything more. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.close()));
  }

  #setNodes(nodes: readonly FleetNode[]): void {
    const target = this.#target;
    if (!target) return;
    const wanted = new Set(nodes.map(({ uid }) => uid));
    for (const [uid, agent] of this.#agents) {
      if (wanted.has(uid)) continue;
      this.#agents.delete(uid);
      void agent.close();
    }
    for (const node of nodes) {
      const agent = this.#agents.get(node.uid) ?? new NodeAgent(this.#options);
      this.#agents.set(node.uid, agent);
      if (this.#isClosingNodes) agent.closeNode();
      agent.set(node, target.token, target.configs[node.role]);
    }
  }
}

/** The loop of one node. */
class NodeAgent {
  readonly #options: FleetOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #waking = new AbortController();
  #running: Promise<void> | undefined;
  #wanted: { node: FleetNode; token: string; config: HashedConfig } | undefined;
  #isClosingNode = false;
  /** Visits in a row that found a leaving node drained and still there. */
  #idleVisits = 0;
  report: NodeReport | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff({ ...RETRY, ...(options.random ? { random: options.random } : {}) });
  }

  set(node: FleetNode, token: string, config: HashedConfig): void {
    const before = this.#wanted;
    this.#wanted = { node, token, config };
    const isSame =
      before?.token === token &&
      before.config.hash === config.hash &&
      before.node.host === node.host &&
      before.node.isReady === node.isReady &&
      before.node.isLeaving === node.isLeaving;
    if (!isSame) this.#wake();
    this.#running ??= this.#run();
  }

  closeNode(): void {
    if (this.#isClosingNode) return;
    this.#isClosingNode = true;
    this.#wake();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#waking.abort();
    await this.#running;
  }

  #wake(): void {
    this.#waking.abort();
    this.#waking = new AbortController();
    this.#backoff.reset();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const waking = this.#waking.signal;
      const delayMs = await this.#options.limiter.run(() => this.#visit());
      // Woken during the visit: what was wanted then is not what is wanted now.
      if (this.#stopping.signal.aborted || waking.aborted) continue;
      await sleep(this.#clock, delayMs, waking);
    }
  }

  /** Asks or tells the node one thing; returns the ms until the next. Never rejects. */
  async #visit(): Promise<number> {
    const wanted = this.#wanted;
    if (!wanted || this.#stopping.signal.aborted) return 0;
    const { admin, pollMs = POLL_MS, random = Math.random } = this.#options;
    const access = { host: wanted.node.host, token: wanted.token };
    try {
      if (this.#isClosingNode) {
        await admin.closeNode(access);
        return CLOSE_AGAIN_MS;
      }
      if (this.#mustPush(wanted.config.hash)) {
        await this.#push(access, wanted.config);
      } else {
        await this.#ask(access, wanted.node);
        if (wanted.node.isLeaving) await this.#seeOut(access);
        if (this.#mustPush(wanted.config.hash)) return 0;
      }
      this.#backoff.reset();
      return jittered(pollMs, POLL_JITTER, random);
    } catch (error) {
      this.#failed(wanted.node, error);
      return this.#isClosingNode ? CLOSE_AGAIN_MS : this.#backoff.next();
    }
  }

  /** Only a node that has said what it runs is told otherwise; what it refused once it is not offered again. */
  #mustPush(hash: string): boolean {
    const { report } = this;
    return report?.hash !== undefined && report.hash !== hash && report.rejected?.hash !== hash;
  }

  async #push(access: { host: string; token: string }, { config, hash }: HashedConfig): Promise<void> {
    const { admin, log, onPush } = this.#options;
    const pod = this.#wanted?.node.name;
    try {
      const inForce = await admin.pushConfig(access, config);
      onPush?.('accepted');
      log.debug({ pod, hash }, 'configuration pushed');
      const { rejected: _rejected, ...rest } = this.report ?? { failures: 0 };
      this.#set({ ...rest, hash: inForce, failures: 0 });
    } catch (error) {
      const isRefusal = error instanceof NodeAdminError && error.code === 'refused';
      onPush?.(isRefusal ? 'refused' : 'failed');
      if (!isRefusal) throw error;
      const reason = error.reason ?? 'no reason given';
      log.error({ pod, hash, reason }, 'a node refused its configuration and keeps the old one');
      this.#set({ ...this.report, rejected: { hash, reason }, failures: 0 });
    }
  }

  async #ask(access: { host: string; token: string }, node: FleetNode): Promise<void> {
    const status = await this.#options.admin.status(access);
    // Addresses are used again: another pod's answer says nothing of this one.
    if (!status.nodeId.startsWith(`${node.uid}.`)) {
      throw new NodeAdminError('bad-answer', `another pod answers at the address of ${node.name}`);
    }
    const rejected = this.report?.rejected;
    const hash = status.config.hash;
    this.#set({ status, hash, failures: 0, ...(rejected && rejected.hash !== hash ? { rejected } : {}) });
    if (status.notices?.length && !this.#stopping.signal.aborted) this.#options.onNotices?.(status.notices);
  }

  /**
   * A node whose pod is being stopped drains by itself and ends: unless SIGTERM came before it listened for it, which the
   * kubelet never repeats. What it should have done is then asked of it here.
   */
  async #seeOut(access: { host: string; token: string }): Promise<void> {
    const { admin } = this.#options;
    const { state, sessions } = this.report?.status ?? {};
    if (state === 'ready') {
      this.#idleVisits = 0;
      await admin.drain(access);
    } else if (state === 'draining' && sessions === 0) {
      // By the next visit one that drains by itself is gone.
      this.#idleVisits += 1;
      if (this.#idleVisits > 1) await admin.closeNode(access);
    }
  }

  #failed(node: FleetNode, error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const failures = (this.report?.failures ?? 0) + 1;
    // Said once: a node that starts, or is being deleted, does not answer for a while.
    if (failures === UNREACHABLE_FAILURES && node.isReady) {
      this.#options.log.warn({ err: error, pod: node.name }, 'a ready media node does not answer the operator');
    }
    this.#set({ ...this.report, failures });
  }

  #set(report: NodeReport): void {
    if (this.#stopping.signal.aborted) return;
    const before = this.report;
    this.report = report;
    const isUnreachable = (of: NodeReport | undefined) => (of?.failures ?? 0) >= UNREACHABLE_FAILURES;
    if (
      before?.hash !== report.hash ||
      before?.rejected?.hash !== report.rejected?.hash ||
      isUnreachable(before) !== isUnreachable(report)
    ) {
      this.#options.onChange('config');
    } else if (countsOf(before) !== countsOf(report)) {
      this.#options.onChange('counts');
    }
  }
}

function countsOf(report: NodeReport | undefined): string {
  const { state, sessions, streams, viewers } = report?.status ?? {};
  return [state, sessions, streams, viewers].join();
}
