import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { durationMs } from './duration.ts';
import { LiveClusterSpec } from './crd/live-cluster.ts';
import { VhostSpec } from './crd/vhost.ts';
import { NodeConfig, VHOST_DEFAULTS, VhostConfig, nodeConfigHash } from './node-config.ts';

const config: NodeConfig = {
  version: 1,
  logLevel: 'info',
  maxConnections: 1_000,
  pullHoldMs: 30_000,
  drainMs: 3_600_000,
  vhosts: [
    {
      name: '__defaultVhost__',
      hosts: ['__defaultVhost__'],
      ...VHOST_DEFAULTS,
      security: { cors: { allowOrigins: ['*'] } },
    },
  ],
};

test('VHOST_DEFAULTS with a name and hosts is a configuration', () => {
  assert.deepEqual(VhostConfig.parse({ name: 'a', hosts: ['a'], ...VHOST_DEFAULTS }).publish, VHOST_DEFAULTS.publish);
});

test('the longest durations that the resources take, the configuration takes too', () => {
  const week = '168h';
  const { edge, drain } = LiveClusterSpec.parse({ edge: { pull: { hold: week } }, drain: { edge: week, max: week } });
  const { publish } = VhostSpec.parse({ clusterRef: { name: 'a' }, hosts: ['a'], publish: { idleTimeout: week } });
  const vhost = {
    ...config.vhosts[0]!,
    publish: { ...VHOST_DEFAULTS.publish, idleTimeoutMs: durationMs(publish.idleTimeout) },
  };
  NodeConfig.parse({
    ...config,
    pullHoldMs: durationMs(edge.pull.hold),
    drainMs: durationMs(drain.edge),
    vhosts: [vhost],
  });
});

test('an unknown key in a configuration is refused', () => {
  assert.equal(NodeConfig.safeParse({ ...config, gop: true }).success, false);
  assert.equal(NodeConfig.safeParse({ ...config, vhosts: [{ ...config.vhosts[0], hls: {} }] }).success, false);
});

test('the hash is the same in whatever order the keys came', () => {
  const shuffled = (value: unknown, seed: number): unknown => {
    if (Array.isArray(value)) return value.map((item) => shuffled(item, seed));
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value).map(([key, child]) => [key, shuffled(child, seed)] as const);
    const turn = seed % entries.length;
    return Object.fromEntries([...entries.slice(turn), ...entries.slice(0, turn)].toReversed());
  };
  fc.assert(
    fc.property(fc.nat(100), (seed) => {
      assert.equal(nodeConfigHash(shuffled(config, seed) as NodeConfig), nodeConfigHash(config));
    }),
  );
});

test('the hash changes with every value, and with the order of vhosts and hosts', () => {
  const vhost = config.vhosts[0]!;
  const other = { ...vhost, name: 'b', hosts: ['b', 'c'] };
  const variants: NodeConfig[] = [
    config,
    { ...config, logLevel: 'debug' },
    { ...config, maxConnections: 999 },
    { ...config, pullHoldMs: 1 },
    { ...config, drainMs: 1 },
    { ...config, vhosts: [vhost, other] },
    { ...config, vhosts: [other, vhost] },
    { ...config, vhosts: [vhost, { ...other, hosts: ['c', 'b'] }] },
    { ...config, vhosts: [{ ...vhost, play: { ...vhost.play, gopCache: false } }] },
  ];
  assert.equal(new Set(variants.map(nodeConfigHash)).size, variants.length);
  assert.match(nodeConfigHash(config), /^[0-9a-f]{64}$/);
});
