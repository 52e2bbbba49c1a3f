import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  decodeStreamField,
  DirectoryChange,
  directoryKeys,
  encodeStreamField,
  newNodeId,
  NodeId,
  parseJson,
  StreamRecord,
} from './directory-keys.ts';

test('all keys of a cluster share one hash tag, and no other cluster’s', () => {
  const tagOf = (key: string) => /^\{([^}]*)\}:/.exec(key)?.[1];
  assert.deepEqual([...new Set(Object.values(directoryKeys('ns', 'demo')).map(tagOf))], ['ns/demo']);
  assert.notEqual(directoryKeys('a', 'b').streams, directoryKeys('a', 'b-c').streams);
});

test('a restarted pod is another node', () => {
  const uid = '0f8e7d6c-1111-2222-3333-444455556666';
  assert.notEqual(newNodeId(uid), newNodeId(uid));
  assert.ok(newNodeId(uid).startsWith(`${uid}.`));
  assert.throws(() => newNodeId('no uid'));
  assert.equal(NodeId.safeParse('a.b').success, false);
});

test('a stream’s field gives its three names back, whatever they hold', () => {
  const name = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(name, name, name, (vhost, app, stream) => {
      const field = encodeStreamField({ vhost, app, stream });
      fc.pre(field !== undefined);
      assert.deepEqual(decodeStreamField(field), { vhost, app, stream });
    }),
  );
});

test('names without UTF-8 or past the bound have no field, and fields that no name makes have no names', () => {
  assert.equal(encodeStreamField({ vhost: '\ud800', app: '', stream: '' }), undefined);
  assert.equal(encodeStreamField({ vhost: '', app: 'é'.repeat(1_000), stream: '' }), undefined);
  for (const field of ['', 'a', 'a/b', 'a/b/c/d', 'a/b/%', 'a/b/%zz', 'a/b/%C3', 'a/b/ ', 'a/b/%61']) {
    assert.equal(decodeStreamField(field), undefined, field);
  }
});

test('values that don’t fit are undefined, never an exception', () => {
  const record = { version: 1, nodeId: newNodeId('u'), host: 'h', rtmpPort: 1, adminPort: 2, epoch: 3 };
  assert.deepEqual(parseJson(StreamRecord, JSON.stringify({ ...record, later: true })), record);
  fc.assert(fc.property(fc.json(), (text) => assert.equal(parseJson(DirectoryChange, text), undefined)));
  fc.assert(fc.property(fc.string(), (text) => assert.equal(parseJson(StreamRecord, text), undefined)));
});
