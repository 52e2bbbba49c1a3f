import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign } from './load-balancer.ts';
import type { BalancedService } from './load-balancer.ts';

const PREFIX = '10.99.1.';

function service(name: string, spec: BalancedService['spec'], ip?: string): BalancedService {
  const metadata = { name, namespace: 'default' };
  return ip === undefined ? { metadata, spec } : { metadata, spec, status: { loadBalancer: { ingress: [{ ip }] } } };
}

const balanced = { type: 'LoadBalancer' };

test('each waiting Service gets the first address that no other has', () => {
  const services = [service('a', balanced), service('b', balanced, '10.99.1.1'), service('c', balanced)];
  assert.deepEqual(assign(services, PREFIX), [
    { namespace: 'default', name: 'a', address: '10.99.1.2' },
    { namespace: 'default', name: 'c', address: '10.99.1.3' },
  ]);
});

test('an address is free again when its Service is gone or is no LoadBalancer any more', () => {
  assert.deepEqual(assign([service('b', balanced)], PREFIX), [
    { namespace: 'default', name: 'b', address: '10.99.1.1' },
  ]);
  const services = [service('a', { type: 'ClusterIP' }, '10.99.1.1'), service('b', balanced)];
  assert.deepEqual(assign(services, PREFIX), [
    { namespace: 'default', name: 'a', address: undefined },
    { namespace: 'default', name: 'b', address: '10.99.1.1' },
  ]);
});

test('the address that a Service asks for is given when it is of the range and free', () => {
  const wanting = service('a', { type: 'LoadBalancer', loadBalancerIP: '10.99.1.7' });
  assert.equal(assign([wanting], PREFIX)[0]?.address, '10.99.1.7');
  assert.equal(assign([wanting, service('b', balanced, '10.99.1.7')], PREFIX)[0]?.address, '10.99.1.1');
  const foreign = service('a', { type: 'LoadBalancer', loadBalancerIP: '192.0.2.1' });
  assert.equal(assign([foreign], PREFIX)[0]?.address, '10.99.1.1');
});

test('a Service of another load balancer class, or of another type, is left alone', () => {
  const services = [service('a', { type: 'LoadBalancer', loadBalancerClass: 'example.com/other' }), service('b', {})];
  assert.deepEqual(assign(services, PREFIX), []);
});

test('with the range used up a Service stays pending', () => {
  const taken = Array.from({ length: 254 }, (_, index) => service(`s${index}`, balanced, `${PREFIX}${index + 1}`));
  assert.deepEqual(assign([...taken, service('late', balanced)], PREFIX), []);
});
