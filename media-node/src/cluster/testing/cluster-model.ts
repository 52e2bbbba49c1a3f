import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { until } from '#contract/testing/until.ts';
import { GateError } from '../../stream/gate.ts';
import type { Publication } from '../../stream/gate.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { StreamRegistry } from '../../stream/stream-registry.ts';
import type { NodeInfo, OwnerRecord } from '../directory.ts';
import type { LeasedDirectory } from '../leased-directory.ts';
import type { LeasedDirectoryOptions } from '../lease-options.ts';
import { OriginGate } from '../origin-gate.ts';
import type { ProbeAnswer } from '../ports.ts';
import { nodeInfo } from './directory.conformance.ts';
import { session, testConfig } from './fakes.ts';

/*
 * Some origins with real gates and directories, a store and a network that can fail, and encoders that publish. What must
 * hold is checked at each grant and after each healing.
 */

/** The store and each node's link to it. */
export interface ModelStore {
  create(options: LeasedDirectoryOptions): Promise<LeasedDirectory>;
  /** Cuts or mends one node's link. */
  setLink(nodeId: string, isUp: boolean): void;
  /** Stops the store for all. */
  stop(): Promise<void>;
  /** Starts it again. */
  restart(options: { readonly empty: boolean }): Promise<void>;
  reset(): Promise<void>;
}

export type ModelTimes = Pick<LeasedDirectoryOptions, 'renewMs' | 'leaseMs' | 'settleMs' | 'sweepMs' | 'staleMs'>;

interface Member {
  readonly node: NodeInfo;
  readonly directory: LeasedDirectory;
  readonly gate: OriginGate;
  readonly registry: StreamRegistry;
  /** Stream id → what its encoder holds. */
  readonly live: Map<string, Publication>;
  /** Reaches neither the store nor its peers, like a process that is stopped or a node without network. */
  isCutOff: boolean;
}

const ORIGINS = 3;
const STREAMS = ['one', 'two'];
const keyOf = (stream: string): StreamKey => ({ vhost: 'v', app: 'live', stream });

/** What fast-check knows: enough to choose commands that make sense. */
interface Model {
  isStoreUp: boolean;
  cutOff: Set<number>;
}

class ModelCluster {
  readonly #store: ModelStore;
  readonly #times: ModelTimes;
  readonly members: Member[] = [];
  isStoreUp = true;
  /** Streams that several had at once: which one keeps it is open until all have ended. */
  readonly #disputed = new Set<string>();
  readonly figures = { granted: 0, refused: 0, away: 0, fenced: 0, settleMs: 0 };

  constructor(store: ModelStore, times: ModelTimes) {
    this.#store = store;
    this.#times = times;
  }

  async open(): Promise<void> {
    for (let index = 0; index < ORIGINS; index += 1) this.members.push(await this.#join(index));
  }

  async #join(ordinal: number): Promise<Member> {
    const node = nodeInfo({ ordinal });
    const logger = pino({ level: 'silent' });
    const directory = await this.#store.create({ node, logger, ...this.#times });
    const registry = new StreamRegistry();
    const member = (): Member => joined;
    const gate = new OriginGate({
      node,
      config: testConfig(),
      registry,
      directory,
      probe: {
        ask: (owner, key) => this.#ask(member(), owner, (peer) => peer.gate.peerPublisher(key).published),
        yield: (owner, key) =>
          this.#ask(member(), owner, (peer) => peer.gate.peerYield(key, owner.epoch, node.nodeId).published),
      },
      finder: {
        find: async (key) => {
          await delay(1);
          const replies = this.reachable(member()).map((peer) => peer.gate.peerPublisher(key));
          await delay(2);
          const owner = replies.find(({ published, epoch }) => published && epoch !== null);
          return {
            owner: owner && { ...owner, epoch: owner.epoch ?? 1 },
            isClaiming: replies.some(({ published, epoch }) => published && epoch === null),
            reachable: [],
          };
        },
      },
      logger,
      silenceMs: 60,
    });
    const joined: Member = { node, directory, gate, registry, live: new Map(), isCutOff: false };
    directory.onFenced(() => (this.figures.fenced += 1));
    void directory.start();
    return joined;
  }

  /** The other members that a member reaches. */
  reachable(from: Member): Member[] {
    return from.isCutOff ? [] : this.members.filter((peer) => peer !== from && !peer.isCutOff);
  }

  async #ask(from: Member, owner: OwnerRecord, ask: (peer: Member) => boolean): Promise<ProbeAnswer> {
    await delay(1);
    const peer = this.members.find(({ node }) => node.nodeId === owner.nodeId);
    // A crashed process refuses connections at once; who asks from behind a cut hears nothing at all.
    if (peer === undefined && !from.isCutOff) return { kind: 'no' };
    if (peer === undefined || !this.reachable(from).includes(peer)) return { kind: 'silent' };
    const has = ask(peer);
    await delay(1);
    return has ? { kind: 'yes', owner } : { kind: 'no' };
  }

  /** The one origin that has a stream, if it is the only one and was so from the beginning: then it must keep it. */
  #soleHolder(stream: string): Member | undefined {
    const holders = this.members.filter(({ live }) => live.has(stream));
    if (holders.length === 0) this.#disputed.delete(stream);
    if (holders.length > 1) this.#disputed.add(stream);
    return this.#disputed.has(stream) ? undefined : holders[0];
  }

  /** An encoder tries to publish; a live stream in reach is never taken from its only holder. */
  async publish(index: number, stream: string): Promise<boolean> {
    const member = this.member(index);
    const holder = this.#soleHolder(stream);
    const isKept = holder !== undefined && holder !== member && this.reachable(member).includes(holder);
    const granted = await this.#publish(member, stream);
    this.#soleHolder(stream);
    assert.ok(!(granted && isKept), `${stream} was taken from its holder, which was in reach`);
    return granted;
  }

  async #publish(member: Member, stream: string): Promise<boolean> {
    let publication: Publication | undefined;
    let isRevoked = false;
    try {
      publication = await member.gate.publish(keyOf(stream), session(), () => {
        isRevoked = true;
        if (publication !== undefined && member.live.get(stream) === publication) member.live.delete(stream);
        publication?.close('revoked');
      });
    } catch (error) {
      assert.ok(error instanceof GateError, String(error));
      this.figures.refused += 1;
      return false;
    }
    if (isRevoked || !this.members.includes(member)) {
      publication.close('too late');
      return false;
    }
    member.live.set(stream, publication);
    this.figures.granted += 1;
    if (member.directory.state === 'down') this.figures.away += 1;
    const others = this.reachable(member).filter((peer) => peer.live.has(stream));
    // One that was taken for dead while it was cut off hears of its loss as soon as the store reaches it.
    if (others.length > 0) await this.settled(`the others lose ${stream}`);
    return true;
  }

  unpublish(index: number, stream: string): void {
    const member = this.member(index);
    member.live.get(stream)?.close('the encoder left');
    member.live.delete(stream);
  }

  /** A killed process; its pod is another node when it is back. */
  async crash(index: number): Promise<void> {
    const member = this.member(index);
    const [dead] = this.members.splice(index, 1, await this.#join(index));
    assert.equal(dead, member);
    member.directory.abandon();
    member.live.clear();
    member.gate.close('crashed');
    member.registry.close('crashed');
  }

  cut(index: number, isCutOff: boolean): void {
    const member = this.member(index);
    member.isCutOff = isCutOff;
    this.#store.setLink(member.node.nodeId, !isCutOff);
  }

  async stop(): Promise<void> {
    this.isStoreUp = false;
    await this.#store.stop();
  }

  async restart(empty: boolean): Promise<void> {
    await this.#store.restart({ empty });
    this.isStoreUp = true;
  }

  member(index: number): Member {
    const member = this.members[index];
    assert.ok(member);
    return member;
  }

  owners(stream: string): Member[] {
    return this.members.filter(({ live, isCutOff }) => live.has(stream) && !isCutOff);
  }

  /** With the store up: of the nodes that reach it, soon at most one has each stream, and the directory says so. */
  async settled(what: string): Promise<void> {
    if (!this.isStoreUp) return;
    const startMs = performance.now();
    await until(`${what}: each stream has at most one origin, which the directory knows`, async () => {
      for (const stream of STREAMS) {
        const owners = this.owners(stream);
        if (owners.length > 1) return false;
        const [owner] = owners;
        if (owner === undefined) continue;
        const found = await owner.directory.lookup(keyOf(stream)).catch(() => undefined);
        if (found?.owner.nodeId !== owner.node.nodeId) return false;
      }
      return true;
    });
    this.figures.settleMs = Math.max(this.figures.settleMs, performance.now() - startMs);
  }

  /** Everything mended: all is settled, and a stream that nobody has can be published. */
  async finish(): Promise<void> {
    for (const [index, { isCutOff }] of this.members.entries()) if (isCutOff) this.cut(index, false);
    if (!this.isStoreUp) await this.restart(false);
    await until('every node is up', () => this.members.every(({ directory }) => directory.state === 'up'));
    await this.settled('at the end');
    for (const [index, stream] of STREAMS.entries()) {
      const [owner] = this.owners(stream);
      if (owner !== undefined) {
        assert.equal(
          await this.publish((this.members.indexOf(owner) + 1) % ORIGINS, stream),
          false,
          'a live one stays',
        );
      } else {
        await until(`${stream} can be published again`, () => this.publish(index, stream));
      }
    }
    await this.settled('after new claims');
    for (const { live, node } of this.members) {
      assert.equal(live.size <= STREAMS.length, true, node.nodeId);
    }
  }

  async close(): Promise<void> {
    for (const { gate, registry, directory } of this.members) {
      gate.close('test over');
      registry.close('test over');
      await directory.close('test over');
    }
    await this.#store.reset();
  }
}

type Command = fc.AsyncCommand<Model, ModelCluster>;

function command(
  name: string,
  check: (model: Readonly<Model>) => boolean,
  run: (model: Model, cluster: ModelCluster) => Promise<void>,
): Command {
  return { check, run, toString: () => name };
}

const indexes = fc.nat(ORIGINS - 1);
const streams = fc.constantFrom(...STREAMS);

const commands: fc.Arbitrary<Command>[] = [
  fc.tuple(indexes, streams).map(([index, stream]) =>
    command(
      `publish(${index}, ${stream})`,
      () => true,
      async (_, cluster) => {
        await cluster.publish(index, stream);
        await cluster.settled('after a publish');
      },
    ),
  ),
  streams.map((stream) =>
    command(
      `publishEverywhere(${stream})`,
      () => true,
      async (_, cluster) => {
        const connected = cluster.members.filter(({ isCutOff }) => !isCutOff);
        const hadIt = connected.some(({ live }) => live.has(stream));
        const granted = await Promise.all(
          cluster.members.map(
            async (member, index) => (await cluster.publish(index, stream)) && connected.includes(member),
          ),
        );
        if (!cluster.isStoreUp) {
          assert.ok(granted.filter(Boolean).length <= (hadIt ? 0 : 1), 'granted to several that reach each other');
        }
        await cluster.settled('after many publishes');
      },
    ),
  ),
  fc.tuple(indexes, streams).map(([index, stream]) =>
    command(
      `unpublish(${index}, ${stream})`,
      () => true,
      async (_, cluster) => cluster.unpublish(index, stream),
    ),
  ),
  indexes.map((index) =>
    command(
      `crash(${index})`,
      (model) => !model.cutOff.has(index),
      async (_, cluster) => cluster.crash(index),
    ),
  ),
  indexes.map((index) =>
    command(
      `cut(${index})`,
      (model) => !model.cutOff.has(index),
      async (model, cluster) => {
        model.cutOff.add(index);
        cluster.cut(index, true);
      },
    ),
  ),
  indexes.map((index) =>
    command(
      `mend(${index})`,
      (model) => model.cutOff.has(index),
      async (model, cluster) => {
        model.cutOff.delete(index);
        cluster.cut(index, false);
        await cluster.settled('after a cut was mended');
      },
    ),
  ),
  fc.constant(
    command(
      'stopStore',
      (model) => model.isStoreUp,
      async (model, cluster) => {
        model.isStoreUp = false;
        await cluster.stop();
      },
    ),
  ),
  fc.boolean().map((empty) =>
    command(
      `restartStore(${empty ? 'empty' : 'with data'})`,
      (model) => !model.isStoreUp,
      async (model, cluster) => {
        model.isStoreUp = true;
        await cluster.restart(empty);
        await cluster.settled('after the store came back');
      },
    ),
  ),
  fc.nat(400).map((ms) =>
    command(
      `wait(${ms})`,
      () => true,
      async () => {
        await delay(ms);
      },
    ),
  ),
];

/** Runs random histories, none begun after `limitMs`; returns what happened in them, summed up, and the longest time to settle. */
export async function runClusterModel(
  store: ModelStore,
  times: ModelTimes,
  options: { readonly runs: number; readonly maxCommands: number; readonly limitMs: number },
): Promise<ModelCluster['figures']> {
  const sum = { granted: 0, refused: 0, away: 0, fenced: 0, settleMs: 0 };
  const endMs = performance.now() + options.limitMs;
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: options.maxCommands, size: 'max' }), async (history) => {
      if (performance.now() > endMs) return;
      const cluster = new ModelCluster(store, times);
      await cluster.open();
      try {
        await fc.asyncModelRun(
          () => ({ model: { isStoreUp: true, cutOff: new Set<number>() }, real: cluster }),
          history,
        );
        await cluster.finish();
      } finally {
        const { settleMs, ...counts } = cluster.figures;
        sum.settleMs = Math.max(sum.settleMs, Math.round(settleMs));
        for (const name of Object.keys(counts) as (keyof typeof counts)[]) sum[name] += counts[name];
        await cluster.close();
      }
    }),
    // A history takes seconds: the first one that fails is shown as it is.
    { numRuns: options.runs, endOnFailure: true },
  );
  return sum;
}
