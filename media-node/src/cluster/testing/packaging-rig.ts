import { pino } from 'pino';
import type { Role } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import { AdminServer } from '../../admin/admin-server.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { ClusterPackagings } from '../cluster-packagings.ts';
import type { LeasedDirectory } from '../leased-directory.ts';
import type { LeasedDirectoryOptions } from '../lease-options.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from '../memory-directory.ts';
import { PackagingClient } from '../packaging-client.ts';
import { RemotePackagings } from '../remote-packagings.ts';
import type { RemotePackagingsOptions } from '../remote-packagings.ts';
import { nodeInfo, QUICK } from './directory.conformance.ts';
import { FakePackager } from './fake-packager.ts';
import type { FakePackaged, FakeState } from './fake-packager.ts';
import { FakeFinder, testConfig } from './fakes.ts';

export const TOKEN = 'a-token-of-the-cluster';
const logger = pino({ level: 'silent' });

export type RigOptions = Partial<Omit<RemotePackagingsOptions, 'nodeId' | 'directory' | 'peer'>>;

/** A node with a real admin port, a real relay and a made-up packager. */
export interface RigNode {
  readonly nodeId: string;
  readonly adminPort: number;
  readonly directory: LeasedDirectory;
  readonly packager: FakePackager;
  readonly remote: RemotePackagings;
  readonly packagings: ClusterPackagings;
  readonly finder: FakeFinder;
  /** An encoder comes here: claims the stream, from whom it was if need be. */
  publish(key: StreamKey, state?: FakeState): Promise<FakePackaged>;
  /** As a process that dies: sockets break, nothing is released. */
  crash(): Promise<void>;
}

/** Nodes of one cluster on a directory of their own, or on one that `create` makes. */
export class PackagingRig {
  readonly backend = new MemoryDirectoryBackend();
  readonly #nodes: RigNode[] = [];
  readonly #closers: (() => Promise<void>)[] = [];
  readonly #living = new Set<RigNode>();
  readonly #create: (options: LeasedDirectoryOptions) => LeasedDirectory;

  constructor(create?: (options: LeasedDirectoryOptions) => LeasedDirectory) {
    this.#create = create ?? ((options) => createMemoryDirectory(this.backend, options));
  }

  async node(role: Role, options: RigOptions = {}): Promise<RigNode> {
    const packager = new FakePackager(nodeInfo().nodeId);
    const { nodeId } = packager;
    let remote: RemotePackagings | undefined;
    const config = options.config ?? testConfig({ pullHoldMs: 60_000 });
    const admin = new AdminServer({
      node: { status: () => ({}) as never, notReady: () => [], drain: () => undefined, close: () => undefined },
      config: testConfig(),
      peers: { settle: () => Promise.resolve(), peerPublisher: () => ({}) as never, peerYield: () => ({}) as never },
      packaging: {
        own: packager,
        fetched: (key, file) => remote?.inMemory(key, file),
        told: (key) => remote?.told(key),
      },
      metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
      token: () => TOKEN,
      logger,
    });
    const adminPort = await admin.listen({ host: '127.0.0.1', port: 0 });
    this.#closers.push(() => admin.close());
    const info = nodeInfo({ nodeId, role, host: '127.0.0.1', adminPort, ordinal: this.#nodes.length });
    const directory = this.#create({ node: info, logger, ...QUICK });
    await directory.start();
    const finder = new FakeFinder();
    const peer = new PackagingClient({ token: () => TOKEN });
    remote = new RemotePackagings({
      finder,
      logger,
      waitMs: 500,
      endMs: 100,
      ...options,
      config,
      nodeId,
      directory,
      peer,
    });
    const own = remote;
    const end = async (): Promise<void> => {
      own.close('test over');
      peer.close();
      await admin.close();
    };
    const node: RigNode = {
      nodeId,
      adminPort,
      directory,
      packager,
      remote,
      packagings: new ClusterPackagings(packager, remote),
      finder,
      publish: async (key, state) => {
        const former = await directory.lookup(key);
        const expected = former && { nodeId: former.owner.nodeId, epoch: former.owner.epoch };
        const claim = await directory.claim(key, { askedOrigins: true, ...(expected && { expected }) });
        if (claim.kind !== 'ok') throw new Error(`the claim ended with ${claim.kind}`);
        return packager.begin(key, state);
      },
      crash: async () => {
        this.#living.delete(node);
        await end();
        directory.abandon();
      },
    };
    this.#nodes.push(node);
    this.#living.add(node);
    return node;
  }

  /** Waits until each living node knows of all. */
  async settled(): Promise<void> {
    await until('every node knows the others', () =>
      [...this.#living].every(({ directory }) => {
        const known = [...directory.knownNodes('origin'), ...directory.knownNodes('edge')];
        const ids = new Set(known.map(({ nodeId }) => nodeId));
        return [...this.#living].every(({ nodeId }) => ids.has(nodeId));
      }),
    );
  }

  async close(): Promise<void> {
    for (const node of this.#nodes.splice(0)) {
      await node.crash();
      await node.directory.close('test over');
    }
    // Also of a node that was not made whole.
    for (const close of this.#closers.splice(0)) await close();
  }
}
