import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOperatorEnv } from './operator-env.ts';

const defaults = { hostname: 'host', adminPort: 8081 };

test('what the chart sets is read', () => {
  const env = {
    OPERATOR_IMAGE: 'a/livecluster:1',
    REDIS_IMAGE: 'redis:8',
    WATCH_NAMESPACES: 'tv, radio,tv',
    POD_NAME: 'operator-1',
    POD_NAMESPACE: 'system',
    LOG_LEVEL: 'debug',
  };
  assert.deepEqual(parseOperatorEnv(env, defaults), {
    image: 'a/livecluster:1',
    redisImage: 'redis:8',
    watchNamespaces: ['tv', 'radio'],
    podName: 'operator-1',
    podNamespace: 'system',
    isInCluster: true,
    logLevel: 'debug',
    adminPort: 8081,
  });
});

test('all but the image has a default, and an empty variable is one that is not set', () => {
  const env = { OPERATOR_IMAGE: 'a', REDIS_IMAGE: '', WATCH_NAMESPACES: '', LOG_LEVEL: '' };
  assert.deepEqual(parseOperatorEnv(env, defaults), {
    image: 'a',
    redisImage: 'docker.io/library/redis:7.2',
    watchNamespaces: [],
    podName: 'host',
    podNamespace: 'default',
    isInCluster: false,
    logLevel: 'info',
    adminPort: 8081,
  });
});

test('every wrong variable is named', () => {
  const env = { WATCH_NAMESPACES: 'Tv', LOG_LEVEL: 'loud', ADMIN_PORT: '70000' };
  assert.throws(
    () => parseOperatorEnv(env, defaults),
    (error: Error) =>
      ['OPERATOR_IMAGE is not set', 'WATCH_NAMESPACES: must be names', 'LOG_LEVEL: ', 'ADMIN_PORT: '].every((part) =>
        error.message.includes(part),
      ),
  );
});
