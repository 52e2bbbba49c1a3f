import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { readManifests } from '#contract/manifest.ts';
import { NodeConfig, nodeConfigHash, VHOST_DEFAULTS } from '#contract/node-config.ts';
import { judgeVhosts, MOST_VHOSTS, renderNodeConfig } from './node-config.ts';
import type { VhostView } from './node-config.ts';
import { liveCluster, vhost } from './testing/manifests.ts';

test('six lines give both roles the built-in catch-all and the default settings', () => {
  const cluster = liveCluster('{edge: {replicas: 2}}');
  for (const [role, drainMs] of [
    ['origin', 3_600_000],
    ['edge', 1_800_000],
  ] as const) {
    assert.deepEqual(renderNodeConfig(cluster, role, []), {
      version: 1,
      logLevel: 'info',
      maxConnections: 1000,
      pullHoldMs: 30_000,
      drainMs,
      vhosts: [{ ...VHOST_DEFAULTS, name: '__defaultVhost__', hosts: ['__defaultVhost__'] }],
    });
  }
});

test("each role gets its own settings and a Vhost's durations become milliseconds", () => {
  const cluster = liveCluster(
    '{origin: {logLevel: debug, maxConnections: 7}, edge: {pull: {hold: 1m30s}}, drain: {edge: 5s}}',
  );
  const tv = vhost(
    'tv',
    '{hosts: [tv.example], publish: {takeover: Replace, idleTimeout: 250ms, grace: 1m}, httpRemux: {enabled: false}}',
  );
  const origin = renderNodeConfig(cluster, 'origin', [tv]);
  assert.equal(origin.logLevel, 'debug');
  assert.equal(origin.maxConnections, 7);
  assert.deepEqual(
    origin.vhosts.map((each) => each.name),
    ['__defaultVhost__', 'tv'],
  );
  assert.deepEqual(origin.vhosts[1]?.publish, {
    takeover: 'Replace',
    firstPacketTimeoutMs: 20_000,
    idleTimeoutMs: 250,
    graceMs: 60_000,
  });
  assert.equal(origin.vhosts[1]?.httpRemux.enabled, false);
  const edge = renderNodeConfig(cluster, 'edge', [tv]);
  assert.equal(edge.logLevel, 'info');
  assert.equal(edge.pullHoldMs, 90_000);
  assert.equal(edge.drainMs, 5_000);
});

test('limits go to the nodes as they are, those left out stay out', () => {
  const limited = vhost('a', '{hosts: [a.example], limits: {maxViewers: 5, maxIngestKbps: 8000}}');
  const [, config] = renderNodeConfig(liveCluster('{}'), 'origin', [limited]).vhosts;
  assert.equal(JSON.stringify(config?.limits), '{"maxViewers":5,"maxIngestKbps":8000}');
});

test("the CRD's defaults of a Vhost are the node's", () => {
  const config = renderNodeConfig(liveCluster('{}'), 'edge', [vhost('a', '{hosts: [a.example]}')]);
  const { name: _name, hosts: _hosts, ...settings } = config.vhosts[1]!;
  assert.deepEqual(settings, VHOST_DEFAULTS);
});

test('a Vhost that claims __defaultVhost__ takes the place and the name of the built-in one: running streams stay found', () => {
  const config = renderNodeConfig(liveCluster('{}'), 'edge', [
    vhost('all', '{hosts: [__defaultVhost__, b.example], play: {gopCache: false}}'),
  ]);
  assert.deepEqual(
    config.vhosts.map((each) => [each.name, each.hosts, each.play.gopCache]),
    [['__defaultVhost__', ['__defaultVhost__', 'b.example'], false]],
  );
});

test('a host belongs to the oldest Vhost, then to the first name; the loser is left out whole and told why', () => {
  const cases: { what: string; vhosts: VhostView[]; accepted: string[]; refused: [string, RegExp][] }[] = [
    {
      what: 'the older wins, whatever the case of the host and the order of the list',
      vhosts: [
        vhost('a', '{hosts: [X.example, y.example]}', '2026-01-02T00:00:00Z'),
        vhost('b', '{hosts: [x.example]}', '2026-01-01T00:00:00Z'),
      ],
      accepted: ['b'],
      refused: [['a', /host X\.example belongs to the older Vhost b: remove it/]],
    },
    {
      what: 'of the same age the first name wins',
      vhosts: [
        vhost('b', '{hosts: [x.example]}', '2026-01-01T00:00:00Z'),
        vhost('a', '{hosts: [x.example]}', '2026-01-01T00:00:00Z'),
      ],
      accepted: ['a'],
      refused: [['b', /older Vhost a/]],
    },
    {
      what: 'a refused Vhost holds no host against a later one',
      vhosts: [
        vhost('a', '{hosts: [x.example]}', '2026-01-01T00:00:00Z'),
        vhost('b', '{hosts: [x.example, y.example]}', '2026-01-02T00:00:00Z'),
        vhost('c', '{hosts: [y.example]}', '2026-01-03T00:00:00Z'),
      ],
      accepted: ['a', 'c'],
      refused: [['b', /host x\.example/]],
    },
    {
      what: 'one without a timestamp, from a file, counts as the newest',
      vhosts: [vhost('a', '{hosts: [x.example]}'), vhost('b', '{hosts: [x.example]}', '2026-01-01T00:00:00Z')],
      accepted: ['b'],
      refused: [['a', /older Vhost b/]],
    },
  ];
  for (const { what, vhosts, accepted, refused } of cases) {
    const verdicts = judgeVhosts(liveCluster('{}'), vhosts);
    assert.deepEqual(
      verdicts.accepted.map((each) => each.metadata.name),
      accepted,
      what,
    );
    assert.equal(verdicts.refused.length, refused.length, what);
    for (const [index, [name, message]] of refused.entries()) {
      assert.equal(verdicts.refused[index]?.vhost.metadata.name, name, what);
      assert.equal(verdicts.refused[index]?.reason, 'HostConflict', what);
      assert.match(verdicts.refused[index]?.message ?? '', message, what);
    }
  }
});

test('Vhosts of another cluster or namespace are passed over', () => {
  const [elsewhere] = readManifests(
    '{apiVersion: livecluster.io/v1alpha1, kind: Vhost, metadata: {name: a, namespace: other}, spec: {clusterRef: {name: live}, hosts: [a.example]}}',
  ).vhosts;
  const another = vhost('b', '{clusterRef: {name: other}, hosts: [b.example]}');
  assert.ok(elsewhere);
  assert.deepEqual(judgeVhosts(liveCluster('{}'), [elsewhere, another]), { accepted: [], refused: [] });
});

test('a cluster has a bound of Vhosts and the newest ones past it are refused', () => {
  const template = vhost('a', '{hosts: [a.example]}');
  const many = Array.from({ length: MOST_VHOSTS + 1 }, (_, index) => {
    const name = `v${String(index).padStart(4, '0')}`;
    const metadata = { ...template.metadata, name, creationTimestamp: '2026-01-01T00:00:00Z' };
    return { ...template, metadata, spec: { ...template.spec, hosts: [`${name}.example`] } };
  });
  const verdicts = judgeVhosts(liveCluster('{}'), many);
  assert.deepEqual(
    verdicts.refused.map(({ vhost: each, reason }) => [each.metadata.name, reason]),
    [[`v0${MOST_VHOSTS}`, 'TooManyVhosts']],
  );
  NodeConfig.parse(renderNodeConfig(liveCluster('{}'), 'edge', many));
});

test('every set of Vhosts, in any order, gives one configuration that nodes take', () => {
  const cluster = liveCluster('{}');
  const template = vhost('a', '{hosts: [a.example]}');
  const hosts = fc.uniqueArray(fc.constantFrom('a.example', 'B.example', 'b.example', 'c', '__defaultVhost__'), {
    minLength: 1,
    selector: (host) => host.toLowerCase(),
  });
  const vhosts = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), day: fc.integer({ min: 1, max: 3 }), hosts }),
    { selector: (each) => each.name },
  );
  fc.assert(
    fc.property(vhosts, fc.func(fc.integer()), (some, order) => {
      const views = some.map(({ name, day, hosts: each }) => ({
        ...template,
        metadata: { ...template.metadata, name, creationTimestamp: `2026-01-0${day}T00:00:00Z` },
        spec: { ...template.spec, hosts: each },
      }));
      const config = NodeConfig.parse(renderNodeConfig(cluster, 'edge', views));
      const seen = config.vhosts.flatMap((each) => each.hosts.map((host) => host.toLowerCase()));
      assert.equal(new Set(seen).size, seen.length);
      assert.equal(seen.filter((host) => host === '__defaultvhost__').length, 1);
      const shuffled = [...views].sort((a, b) => order(a.metadata.name) - order(b.metadata.name));
      assert.equal(nodeConfigHash(renderNodeConfig(cluster, 'edge', shuffled)), nodeConfigHash(config));
    }),
  );
});
