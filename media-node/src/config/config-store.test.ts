import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeConfigHash, VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { ConfigError } from './config-error.ts';
import { ConfigStore, parseNodeConfig } from './config-store.ts';

const config: NodeConfig = structuredClone({
  version: 1,
  logLevel: 'info',
  maxConnections: 100,
  pullHoldMs: 1_000,
  drainMs: 1_000,
  vhosts: [{ ...VHOST_DEFAULTS, name: '__defaultVhost__', hosts: ['__defaultVhost__'] }],
}) as unknown as NodeConfig;

const vhost = (name: string, hosts: string[], enabled = true) => ({ ...config.vhosts[0]!, name, hosts, enabled });

test('a store holds the configuration, its hash and its vhosts', () => {
  const store = new ConfigStore(config);
  assert.deepEqual(store.config, config);
  assert.equal(store.hash, nodeConfigHash(config));
  assert.equal(store.vhosts.find('anything')?.name, '__defaultVhost__');
  assert.equal(store.rejected, undefined);
});

test('a swap puts the new configuration in force before listeners hear of it', () => {
  const store = new ConfigStore(config);
  const heard: [number, number, number][] = [];
  const stop = store.subscribe((next, previous) => {
    heard.push([next.maxConnections, previous.maxConnections, store.config.maxConnections]);
  });
  assert.equal(store.swap({ ...config, maxConnections: 7 }), true);
  assert.deepEqual(heard, [[7, 100, 7]]);
  assert.equal(store.hash, nodeConfigHash({ ...config, maxConnections: 7 }));
  assert.equal(store.swapText(JSON.stringify({ ...config, maxConnections: 7 })), false, 'the same one again');
  stop();
  stop();
  store.swap({ ...config, maxConnections: 8 });
  assert.equal(heard.length, 1);
});

test('a wrong configuration is refused with the field named, and the old one stays in force', () => {
  const bad: [string, unknown, RegExp][] = [
    ['a wrong type', { ...config, maxConnections: 'many' }, /^maxConnections: /],
    ['an unknown field', { ...config, colour: 'red' }, /colour/],
    [
      'a fault deep inside',
      { ...config, vhosts: [{ ...vhost('a', ['a']), publish: {} }] },
      /vhosts\[0\]\.publish\.takeover/,
    ],
    ['no object', 12, /^configuration: /],
    ['many faults', {}, /; and \d+ more$/],
    ['a newer version', { ...config, version: 2 }, /^version: /],
    [
      'one host twice',
      { ...config, vhosts: [vhost('a', ['x.y']), vhost('b', ['X.y'])] },
      /host X\.y is claimed by the vhosts a and b/,
    ],
    ['one name twice', { ...config, vhosts: [vhost('a', ['x']), vhost('a', ['y'])] }, /two vhosts are named a/],
  ];
  for (const [what, json, message] of bad) {
    const store = new ConfigStore(config, () => 1_234);
    store.subscribe(() => assert.fail('no listener may hear of a refused configuration'));
    assert.throws(
      () => store.swap(json),
      (error) => error instanceof ConfigError && message.test(error.message),
      what,
    );
    assert.equal(store.hash, nodeConfigHash(config), what);
    assert.equal(store.rejected?.atMs, 1_234, what);
    assert.equal(store.rejections, 1, what);
    assert.match(store.rejected.reason, message, what);
  }
});

test('text that is no JSON is refused without being quoted', () => {
  const store = new ConfigStore(config);
  assert.throws(() => store.swapText('{"secret": hunter2'), { code: 'not-json' });
  assert.equal(store.rejected?.reason, 'the document is not valid JSON');
  assert.throws(() => parseNodeConfig(' '), { message: 'the document is empty' });
});

test('an accepted configuration clears the rejection before it', () => {
  const store = new ConfigStore(config);
  assert.throws(() => store.swap({}));
  store.swap(config);
  assert.equal(store.rejected, undefined);
});

test('a node never starts on a wrong configuration', () => {
  assert.throws(() => new ConfigStore({ ...config, vhosts: [] }), { code: 'invalid' });
});

test('a host belongs to the vhost with its exact name, else to the default one, and to none when that is disabled', () => {
  const store = new ConfigStore({
    ...config,
    vhosts: [...config.vhosts, vhost('shop', ['Live.Shop.example', 'b.example']), vhost('off', ['off.example'], false)],
  });
  assert.equal(store.vhosts.find('live.shop.EXAMPLE')?.name, 'shop');
  assert.equal(store.vhosts.find('b.example')?.name, 'shop');
  assert.equal(store.vhosts.find('127.0.0.1')?.name, '__defaultVhost__');
  assert.equal(store.vhosts.find('off.example'), undefined);
  assert.equal(store.vhosts.named('shop')?.name, 'shop');
  assert.equal(store.vhosts.named('off'), undefined);
  assert.equal(store.vhosts.named('live.shop.example'), undefined);
  store.swap({ ...config, vhosts: [vhost('only', ['only.example'])] });
  assert.equal(store.vhosts.find('other.example'), undefined);
});

test('a file that still holds what a push has replaced is stale, until the time has passed in which files lag', () => {
  let nowMs = 0;
  const store = new ConfigStore(config, () => nowMs);
  const text = (maxConnections: number) => JSON.stringify({ ...config, maxConnections });
  store.push(text(2));
  store.push(text(3));
  assert.equal(store.offerFile(text(2)), 'stale');
  assert.equal(store.offerFile(text(100)), 'stale');
  assert.equal(store.offerFile(text(3)), 'same');
  assert.equal(store.config.maxConnections, 3);
  assert.equal(store.offerFile(text(4)), 'changed', 'one that was never in force is new');
  store.push(text(2));
  assert.equal(store.offerFile(text(2)), 'same', 'pushed again, it is the one in force');
  nowMs += 200_000;
  assert.equal(store.offerFile(text(3)), 'changed');
  assert.throws(() => store.offerFile('{}'), { code: 'invalid' });
  assert.equal(store.config.maxConnections, 3);
});
