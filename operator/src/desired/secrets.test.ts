import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderNodeConfig } from './node-config.ts';
import { embeddedRedisUrl, redisUrlFault } from './redis-url.ts';
import { authSecret, configSecret, keepOrMakeAuth, secretText } from './secrets.ts';
import type { AuthValues } from './secrets.ts';
import { bytesOf } from './quantity.ts';
import { cluster } from './testing/manifests.ts';

const live = cluster('{}');
const hex = (digit: string) => digit.repeat(64);
const old: AuthValues = { adminToken: hex('a'), relayKey: hex('b'), redisPassword: hex('c') };
const fresh = () => hex('f');
const config = configSecret(live, 'edge', renderNodeConfig(live, 'edge', []), old, embeddedRedisUrl(live, old));

test('random values are made once and kept, also through the loss of the Secret that holds them', () => {
  const auth = authSecret(live, old);
  const { [`relay-key`]: _lost, ...rest } = auth.data ?? {};
  const cases: [string, AuthValues, Parameters<typeof keepOrMakeAuth>[0], Parameters<typeof keepOrMakeAuth>[1]][] = [
    ['nothing there: made', { adminToken: hex('f'), relayKey: hex('f'), redisPassword: hex('f') }, undefined, []],
    ['the Secret is there', old, auth, []],
    ['it was deleted, a copy is there', old, undefined, [undefined, config]],
    ['a key of it was deleted', old, { ...auth, data: rest }, [config]],
    ['a value of it was spoilt', old, { ...auth, data: { ...auth.data, 'admin-token': 'eA==' } }, [config]],
    ['a key was deleted and there is no copy', { ...old, relayKey: hex('f') }, { ...auth, data: rest }, []],
  ];
  for (const [what, wanted, secret, copies] of cases) {
    assert.deepEqual(keepOrMakeAuth(secret, copies, fresh), wanted, what);
  }
});

test('values made are of 256 bits and differ', () => {
  const { adminToken, relayKey, redisPassword } = keepOrMakeAuth(undefined, []);
  for (const value of [adminToken, relayKey, redisPassword]) assert.match(value, /^[0-9a-f]{64}$/);
  assert.equal(new Set([adminToken, relayKey, redisPassword]).size, 3);
});

test('the config Secret holds every file of the configuration folder', () => {
  assert.deepEqual(Object.keys(config.data ?? {}), ['config.json', 'admin-token', 'relay-key', 'redis-url']);
  assert.deepEqual(JSON.parse(secretText(config, 'config.json') ?? ''), renderNodeConfig(live, 'edge', []));
  assert.equal(secretText(config, 'redis-url'), `redis://:${hex('c')}@live-redis.default.svc:6379/0`);
  assert.equal(secretText(config, 'toString'), undefined);
});

test('the URL of an external Redis is judged, and never quoted', () => {
  const cases: [string, RegExp | undefined][] = [
    ['redis://:hunter2@r.example:6379/0', undefined],
    ['rediss://user:hunter2@r.example?cluster=true\n', undefined],
    ['r.example:6379', /write redis:\/\/|is no URL/],
    ['hunter2', /it is no URL/],
    ['http://hunter2@r.example', /begins with http:.*write redis:/],
    ['redis://', /names no host/],
  ];
  for (const [url, fault] of cases) {
    const found = redisUrlFault(url);
    if (fault === undefined) assert.equal(found, undefined, url);
    else assert.match(found ?? '', fault, url);
    assert.doesNotMatch(found ?? '', /hunter2/);
  }
});

test('a memory quantity is read in every notation', () => {
  const cases: [number | string, number | undefined][] = [
    [1000, 1000],
    ['1Gi', 2 ** 30],
    ['1.5Mi', 1.5 * 2 ** 20],
    ['2G', 2e9],
    ['1500m', 1],
    ['lots', undefined],
    ['1Zi', undefined],
  ];
  for (const [quantity, bytes] of cases) assert.equal(bytesOf(quantity), bytes, String(quantity));
});
