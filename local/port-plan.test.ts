import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_NODES } from './plan.ts';
import { firstOriginPorts, portsOf, SparePorts } from './port-plan.ts';

test('the first origin has the standard ports, unless the environment moves them', () => {
  assert.deepEqual(firstOriginPorts({}), { rtmp: 1935, rtmps: 1936, http: 8080, api: 1985, admin: 8090 });
  assert.deepEqual(firstOriginPorts({ RTMP_PORT: '2935', HTTP_PORT: '0', API_PORT: '' }), {
    rtmp: 2935,
    rtmps: 1936,
    http: 0,
    api: 1985,
    admin: 8090,
  });
  for (const text of ['x', '-1', '1.5', '65536', '0x10']) {
    assert.throws(() => firstOriginPorts({ RTMP_PORT: text }), {
      name: 'RangeError',
      message: new RegExp(`RTMP_PORT=${text} `),
    });
  }
});

test('no two nodes have a port in common, nor one below which systems take ports for outgoing connections', () => {
  const seen = new Set<number>();
  const first = firstOriginPorts({});
  for (const role of ['origin', 'edge'] as const) {
    for (let ordinal = 0; ordinal < MOST_NODES; ordinal += 1) {
      for (const port of Object.values(portsOf(role, ordinal, first))) {
        assert.ok(!seen.has(port), `${port} twice`);
        assert.ok(port > 1_024 && port < 32_768);
        seen.add(port);
      }
    }
  }
  const spare = new SparePorts();
  for (let count = 0; count < 900; count += 1) assert.ok(!seen.has(spare.take()));
  assert.throws(() => spare.take(), RangeError);
});
