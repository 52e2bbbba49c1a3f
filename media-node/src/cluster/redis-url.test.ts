import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRedisUrl } from './redis-url.ts';

const plain = { host: 'h', port: 6379, username: undefined, password: undefined, db: 0, tls: false, cluster: false };

test('reads every form of address', () => {
  const cases: [string, Partial<ReturnType<typeof parseRedisUrl>>][] = [
    ['redis://h', {}],
    [' redis://h/\n', {}],
    ['redis://h:7000/3', { port: 7000, db: 3 }],
    ['redis://:p%40ss%2F@h', { password: 'p@ss/' }],
    ['redis://u:p@h', { username: 'u', password: 'p' }],
    ['rediss://h', { tls: true }],
    ['redis://h?cluster=true', { cluster: true }],
    ['redis://h?cluster=false', {}],
    ['redis+cluster://h', { cluster: true }],
    ['rediss+cluster://[fd00::1]:1', { tls: true, cluster: true, host: 'fd00::1', port: 1 }],
  ];
  for (const [url, over] of cases) assert.deepEqual(parseRedisUrl(url), { ...plain, ...over }, url);
});

test('refuses every other with what is wrong and how to mend it, and without the password', () => {
  const cases: [string, RegExp][] = [
    ['', /is no URL/],
    ['s3cret', /is no URL/],
    ['redis://:s3cret@', /is no URL|no host/],
    ['http://:s3cret@h', /unknown scheme/],
    ['redis:///3', /no host/],
    ['redis://:s3cret@h/three', /no database number/],
    ['redis://:s3cret%zz@h', /percent-encoding/],
    ['redis://:s3cret@h?cluster=yes', /cluster parameter/],
    ['redis+cluster://:s3cret@h/1', /database other than 0/],
  ];
  for (const [url, message] of cases) {
    assert.throws(
      () => parseRedisUrl(url),
      (error: Error) => {
        assert.match(error.message, message, url);
        assert.match(error.message, /Write redis:/);
        assert.ok(!error.message.includes('s3cret'));
        return true;
      },
    );
  }
});
