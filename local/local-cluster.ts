import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { NodeConfig } from '#contract/node-config.ts';
import type { Role } from '#contract/names.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from '../media-node/src/cluster/memory-directory.ts';
import { MemorySharedBackend, MemorySharedStore } from '../media-node/src/cluster/memory-shared-store.ts';
import { SharedState } from '../media-node/src/cluster/shared-state.ts';
import { createNode } from '../media-node/src/node.ts';
import { NodeStartError } from '../media-node/src/node-options.ts';
import type { TlsIdentity } from '../media-node/src/lib/tls-identity.ts';
import type { MediaNode } from '../media-node/src/node.ts';
import type { ListenerPorts } from '../media-node/src/node-options.ts';
import type { Plan, PlannedNode } from './plan.ts';
import { PORT_VARIABLES, portsOf, SparePorts } from './port-plan.ts';
import type { NodePorts } from './port-plan.ts';

export interface LocalClusterOptions {
  /** Address to listen on and to reach each other by. */
  readonly host: string;
  readonly firstOrigin: NodePorts;
  /** Other nodes take any free ports: for tests, of which several run at once. */
  readonly anyPorts?: boolean;
  /** Certificates of RTMPS, of all nodes. */
  readonly tls?: TlsIdentity;
  /** Folder for the recordings of all origins; made when there is something to record. */
  readonly recordings?: string;
  /** Folder for the origins' segments, one below it for each; made when there is something to keep. */
  readonly segments?: string;
  readonly logger: Logger;
  /** Lines for who runs it: a port that moved, a node that came or went. */
  readonly note: (line: string) => void;
}

/** A node that runs. */
export interface RunningNode {
  readonly name: string;
  readonly role: Role;
  readonly ordinal: number;
  readonly ports: ListenerPorts;
  readonly media: MediaNode;
}

/** A cluster cannot start as planned; the message says the mend. */
export class LocalClusterError extends Error {
  override readonly name = 'LocalClusterError';
}

/**
 * The nodes of one plan in this process. They share the directory and what goes with it, nothing else: each has its own sockets, streams and
 * metrics, and frames go from one to the other by TCP as between pods.
 */
export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #directory = new MemoryDirectoryBackend();
  readonly #shared = new MemorySharedBackend();
  readonly #relayKey = randomBytes(32);
  /** Of the admin ports, this run's. */
  readonly adminToken = randomBytes(24).toString('base64url');
  readonly #spare = new SparePorts();
  readonly #nodes = new Map<string, RunningNode>();
  /** Changes run one after the other. */
  #queue: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** What the running origins were started with. */
  #records: boolean | undefined;
  #keepsSegments: boolean | undefined;

  constructor(options: LocalClusterOptions) {
    this.#options = options;
  }

  /** Origins first, each role by ordinal. */
  get nodes(): readonly RunningNode[] {
    const rank = ({ role, ordinal }: RunningNode) => (role === 'origin' ? 0 : 1_000) + ordinal;
    return [...this.#nodes.values()].sort((a, b) => rank(a) - rank(b));
  }

  /**
   * Makes the nodes as planned: starts those that are missing, gives the others their configuration, drains those that are
   * too many for at most `graceMs`. Rejects with LocalClusterError when a node can't start; what runs goes on.
   */
  apply(plan: Plan, graceMs = 5_000): Promise<void> {
    const change = this.#queue.then(() => this.#apply(plan, graceMs));
    this.#queue = change.catch(() => undefined);
    return change;
  }

  /** Drains every node for at most `graceMs`, then ends them; idempotent. */
  async close(reason: string, graceMs: number): Promise<void> {
    this.#isClosed = true;
    const nodes = [...this.#nodes.values()];
    this.#nodes.clear();
    await Promise.all(nodes.map((node) => stop(node, reason, graceMs)));
  }

  async #apply(plan: Plan, graceMs: number): Promise<void> {
    const wanted = new Set(plan.nodes.map(({ name }) => name));
    const surplus = this.nodes.filter(({ name }) => !wanted.has(name));
    for (const node of surplus) this.#nodes.delete(node.name);
    if (this.nodes.some(({ ports }) => (ports.rtmps !== undefined) !== plan.rtmps)) {
      this.#options.note('note: protocols.rtmps changed; nodes that run take it up at the next start of make run');
    }
    if (plan.records !== (this.#records ??= plan.records)) {
      this.#options.note('note: origin.storage.dvr changed; origins take it up at the next start of make run');
    }
    if (plan.keepsSegments !== (this.#keepsSegments ??= plan.keepsSegments)) {
      this.#options.note('note: origin.storage.hls changed; origins take it up at the next start of make run');
    }
    for (const planned of plan.nodes) {
      if (this.#isClosed) break;
      const running = this.#nodes.get(planned.name);
      if (running === undefined) await this.#start(plan, planned);
      else push(running, planned.config);
    }
    await Promise.all(
      surplus.map(async (node) => {
        await stop(node, 'the file asks for fewer nodes', graceMs);
        this.#options.note(`${node.name} is gone`);
      }),
    );
  }

  async #start(plan: Plan, planned: PlannedNode): Promise<void> {
    const { firstOrigin, anyPorts = false } = this.#options;
    const isFirst = planned.role === 'origin' && planned.ordinal === 0;
    const any = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };
    const { rtmps, ...others } = anyPorts && !isFirst ? any : portsOf(planned.role, planned.ordinal, firstOrigin);
    let ports: ListenerPorts = plan.rtmps ? { ...others, rtmps } : others;
    for (;;) {
      const media = this.#create(plan, planned, ports);
      try {
        const opened = await media.start();
        // The cluster was closed while the node came up: nobody else would end it.
        if (this.#isClosed) await media.close('the cluster was closed');
        else this.#nodes.set(planned.name, { ...planned, ports: opened, media });
        return;
      } catch (error) {
        await media.close('it could not start');
        if (!(error instanceof NodeStartError) || error.code !== 'port-taken') throw error;
        ports = this.#moved(planned, ports, error, isFirst);
      }
    }
  }

  /** Other ports for a node whose own are taken; the first origin's are not moved behind its user's back. */
  #moved(planned: PlannedNode, ports: ListenerPorts, error: NodeStartError, isFirst: boolean): ListenerPorts {
    const { listener, port } = error;
    if (isFirst) {
      const variable = PORT_VARIABLES[listener];
      throw new LocalClusterError(
        `Port ${port} is taken by another program (${listener.toUpperCase()} of ${planned.name}). Stop that program, ` +
          `or choose another port: make run ${variable}=${port === 65_535 ? 2_000 : port + 1}`,
      );
    }
    const spare = this.#spare.take();
    this.#options.note(
      `${planned.name}: port ${port} (${listener.toUpperCase()}) is taken by another program, ${spare} is used`,
    );
    return { ...ports, [listener]: spare };
  }

  #create(plan: Plan, planned: PlannedNode, ports: ListenerPorts): MediaNode {
    const { host, logger, tls, recordings, segments } = this.#options;
    // The nodes share the folder, so what is there half-written when the first one starts is a former process's.
    const recovers = this.#nodes.size === 0;
    const keepsSegments = this.#keepsSegments === true && planned.role === 'origin' && segments !== undefined;
    const doesRecord = plan.records && planned.role === 'origin' && recordings !== undefined;
    return createNode({
      identity: {
        role: planned.role,
        namespace: plan.namespace,
        cluster: plan.cluster,
        podName: `${plan.cluster}-${planned.name}`,
        podUid: randomUUID(),
        host,
        ordinal: planned.ordinal,
      },
      ports,
      listenHost: host,
      config: planned.config,
      ...(tls !== undefined && { tls }),
      ...(doesRecord && { recording: { folder: recordings, recovers } }),
      ...(keepsSegments && { hlsFolder: join(segments, planned.name) }),
      adminToken: () => this.adminToken,
      relayKey: this.#relayKey,
      directory: (options) => createMemoryDirectory(this.#directory, options),
      shared: (options) => new SharedState(new MemorySharedStore(this.#shared), options),
      logger: logger.child({ node: planned.name }),
      processMetrics: false,
    });
  }
}

function push({ media }: RunningNode, config: NodeConfig): void {
  media.config.swap(config);
}

async function stop({ media }: RunningNode, reason: string, graceMs: number): Promise<void> {
  if (graceMs > 0) await media.drain(graceMs);
  await media.close(reason);
}
