import { pino } from 'pino';
import { StreamRegistry } from '../../stream/stream-registry.ts';
import type { OwnerRecord } from '../directory.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from '../memory-directory.ts';
import { OriginGate } from '../origin-gate.ts';
import type { ProbeAnswer } from '../ports.ts';
import { nodeInfo, QUICK } from './directory.conformance.ts';
import { FakeFinder, testConfig } from './fakes.ts';

const logger = pino({ level: 'silent' });

/** Origins on one directory whose probes reach each other's gates, as over the admin ports. */
export async function testOrigins(count: number) {
  const backend = new MemoryDirectoryBackend();
  const gates = new Map<string, OriginGate>();
  const reach = { isSilent: false };
  const closers: (() => unknown)[] = [];
  const nodes = [];
  const answer = (owner: OwnerRecord, ask: (peer: OriginGate) => boolean): ProbeAnswer => {
    const peer = gates.get(owner.nodeId);
    if (peer === undefined) return { kind: 'no' };
    if (reach.isSilent) return { kind: 'silent' };
    return ask(peer) ? { kind: 'yes', owner } : { kind: 'no' };
  };
  for (let ordinal = 0; ordinal < count; ordinal += 1) {
    const node = nodeInfo({ ordinal });
    const directory = createMemoryDirectory(backend, { node, logger, ...QUICK });
    await directory.start();
    const [finder, registry, config] = [new FakeFinder(), new StreamRegistry(), testConfig()];
    const gate = new OriginGate({
      node,
      config,
      registry,
      directory,
      probe: {
        ask: async (owner, of) => answer(owner, (peer) => peer.peerPublisher(of).published),
        yield: async (owner, of) => answer(owner, (peer) => peer.peerYield(of, owner.epoch, node.nodeId).published),
      },
      finder: {
        find: async (of) => {
          finder.calls += 1;
          const others = [...gates].filter(([nodeId]) => nodeId !== node.nodeId);
          const found = others.map(([, peer]) => peer.peerPublisher(of)).filter(({ published }) => published);
          const live = found.find(({ epoch }) => epoch !== null);
          return {
            owner: live && { ...live, epoch: live.epoch ?? 1 },
            isClaiming: found.some(({ epoch }) => epoch === null),
            reachable: [],
          };
        },
      },
      logger,
      silenceMs: 50,
    });
    gates.set(node.nodeId, gate);
    closers.push(
      () => directory.close('test over'),
      () => registry.close('test over'),
      () => gate.close('test over'),
    );
    const crash = () => (gates.delete(node.nodeId), directory.abandon());
    nodes.push({ gate, directory, registry, config, finder, crash });
  }
  return {
    backend,
    nodes,
    reach,
    close: async () => {
      for (const close of closers.toReversed()) await close();
    },
  };
}
