import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectHost, parseStreamAddress } from './stream-address.ts';

const at = (host: string, app: string, stream: string, param = ''): object => ({ host, app, stream, param });

test('what clients say becomes vhost, app and stream as SRS reads it', () => {
  const table: [tcUrl: string, app: string, stream: string, expected: object][] = [
    ['rtmp://a.example/live', 'live', 's', at('a.example', 'live', 's')],
    ['rtmp://a.example:1936/live', 'live', 's?token=x', at('a.example', 'live', 's', '?token=x')],
    ['rtmps://user:pass@a.example/live', 'live', 's', at('a.example', 'live', 's')],
    ['rtmp://[2001:db8::1]:1935/live', 'live', 's', at('2001:db8::1', 'live', 's')],
    [
      'rtmp://10.0.0.1/live?vhost=b.example',
      'live?vhost=b.example',
      's',
      at('b.example', 'live', 's', '?vhost=b.example'),
    ],
    ['rtmp://10.0.0.1/live?domain=b.example', 'live', 's', at('b.example', 'live', 's', '?domain=b.example')],
    ['rtmp://a.example/live?token=x', 'live?token=x', 's', at('a.example', 'live', 's', '?token=x')],
    ['rtmp://a.example/live?token=x', 'live', 's?token=y', at('a.example', 'live', 's', '?token=y')],
    ['rtmp://10.0.0.1/live', 'live', 's?a=1&vhost=c.example', at('c.example', 'live', 's', '?a=1&vhost=c.example')],
    [
      'rtmp://10.0.0.1/live...vhost...d.example',
      'live...vhost...d.example',
      's',
      at('d.example', 'live', 's', '?vhost=d.example'),
    ],
    ['rtmp://a.example/live/_definst_', 'live/_definst_', 's', at('a.example', 'live', 's')],
    ['rtmp://a.example', '', 's', at('a.example', '__defaultApp__', 's')],
    ['rtmp://a.example/live/eu', 'live/eu', 's', at('a.example', 'live/eu', 's')],
    ['rtmp://a.example/live', 'live', 'eu/s', at('a.example', 'live/eu', 's')],
    ['rtmp://a.example/live/s', 'live/s', '', at('a.example', 'live', 's')],
    ['rtmp://a.example/live', '', '/s', at('a.example', 'live', 's')],
    ['', 'live', 's', at('', 'live', 's')],
    ['nonsense', 'live', 's', at('', 'live', 's')],
  ];
  for (const [tcUrl, app, stream, expected] of table) {
    assert.deepEqual(parseStreamAddress(tcUrl, app, stream), expected, `${tcUrl} ${app} ${stream}`);
  }
});

test('names that cannot be used are refused', () => {
  for (const [app, stream] of [
    ['live', ''],
    ['', ''],
    ['live', '..'],
    ['../live', 's'],
    ['live', 'a\u0000b'],
    ['live', 'x'.repeat(513)],
    ['x'.repeat(513), 's'],
  ] as const) {
    assert.equal(parseStreamAddress('rtmp://a.example/', app, stream), undefined, `${app} ${stream}`.slice(0, 40));
  }
});

test('the host is known at connect, before a stream is named', () => {
  assert.equal(connectHost('rtmp://a.example/live', 'live'), 'a.example');
  assert.equal(connectHost('rtmp://10.0.0.1/live?vhost=b.example', 'live'), 'b.example');
  assert.equal(connectHost('', ''), '');
});
