import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { customResourceDefinitions, toStructural } from './to-crd.ts';

type Schema = { [word: string]: unknown };

/** Every node of a schema with the path of the field that it describes. */
function nodes(schema: Schema, path = ''): { path: string; node: Schema; isField: boolean }[] {
  const children = [
    ...Object.entries((schema.properties ?? {}) as Record<string, Schema>).map(([name, child]) => ({
      child,
      at: `${path}.${name}`,
      isField: true,
    })),
    ...(schema.items ? [{ child: schema.items as Schema, at: `${path}[]`, isField: false }] : []),
    ...(typeof schema.additionalProperties === 'object'
      ? [{ child: schema.additionalProperties as Schema, at: `${path}{}`, isField: false }]
      : []),
  ];
  return children.flatMap(({ child, at, isField }) => [{ path: at, node: child, isField }].concat(nodes(child, at)));
}

const definitions = customResourceDefinitions().map(({ manifest }) => {
  const { names, versions } = manifest.spec as {
    names: { kind: string };
    versions: {
      schema: { openAPIV3Schema: Schema };
      subresources: Schema;
      additionalPrinterColumns: { name: string }[];
    }[];
  };
  const [version] = versions;
  assert.ok(version);
  return { kind: names.kind, schema: version.schema.openAPIV3Schema, version };
});
const withoutHead = (schema: Schema) => nodes(schema).filter(({ path }) => /^\.(spec|status)/.test(path));
const isOpen = (node: Schema) => node['x-kubernetes-preserve-unknown-fields'] === true;

for (const { kind, schema, version } of definitions) {
  test(`${kind}: every field has a description that is a sentence`, () => {
    const lacking = withoutHead(schema)
      .filter(({ isField, node }) => isField && !/^[A-Z_*].*\.$/s.test((node.description as string | undefined) ?? ''))
      .map(({ path, node }) => `${path}: ${String(node.description)}`);
    assert.deepEqual(lacking, []);
  });

  test(`${kind}: the schema is structural`, () => {
    const forbidden = [
      '$ref',
      'anyOf',
      'oneOf',
      'allOf',
      'not',
      '$schema',
      'id',
      'propertyNames',
      'definitions',
      'const',
    ];
    for (const { path, node } of withoutHead(schema)) {
      for (const word of forbidden) assert.ok(!(word in node), `${path} has ${word}`);
      const isIntOrString = node['x-kubernetes-int-or-string'] === true;
      assert.equal('type' in node, !isIntOrString, `${path} has ${isIntOrString ? 'a' : 'no'} type`);
      assert.ok(
        !('properties' in node && 'additionalProperties' in node),
        `${path}: properties beside additionalProperties`,
      );
      assert.ok(node.additionalProperties !== false && node.additionalProperties !== true, path);
    }
  });

  test(`${kind}: every string, list and map has a bound, so that rules have a cost`, () => {
    const unbounded = withoutHead(schema)
      .filter(({ node }) => {
        if (node.type === 'string') return !('maxLength' in node || 'enum' in node || node.format === 'date-time');
        if (node.type === 'array') return !('maxItems' in node);
        return node.type === 'object' && 'additionalProperties' in node && !('maxProperties' in node);
      })
      .map(({ path }) => path);
    assert.deepEqual(unbounded, []);
  });

  test(`${kind}: every number has a least value`, () => {
    const unbounded = withoutHead(schema).filter(({ node }) => node.type === 'integer' && !('minimum' in node));
    assert.deepEqual(unbounded, []);
  });

  test(`${kind}: every pattern is a whole match and RE2 takes it`, () => {
    for (const { path, node } of withoutHead(schema)) {
      if (typeof node.pattern !== 'string') continue;
      assert.match(node.pattern, /^\^.*\$$/, path);
      assert.doesNotMatch(node.pattern, /\(\?[=!<]|\\[1-9]/, `${path}: RE2 has neither lookaround nor back references`);
    }
  });

  test(`${kind}: every list says how it is merged, or is one value`, () => {
    for (const { path, node } of withoutHead(schema)) {
      if (node['x-kubernetes-list-type'] !== 'map') continue;
      const item = node.items as Schema;
      for (const key of node['x-kubernetes-list-map-keys'] as string[]) {
        assert.ok((item.required as string[]).includes(key), `${path}: key ${key} is required`);
      }
    }
  });

  test(`${kind}: every rule says what is wrong and how to mend it`, () => {
    const rules = [{ path: '', node: schema }, ...nodes(schema)].flatMap(({ path, node }) =>
      ((node['x-kubernetes-validations'] ?? []) as { rule: string; message: string }[]).map(({ rule, message }) => ({
        path,
        rule,
        message,
      })),
    );
    assert.ok(rules.length > 0);
    const mends = /: (set|choose|raise|name|remove|delete|write|Services carry)|such as/;
    for (const { path, rule, message } of rules) assert.match(message, mends, `${path} ${rule}`);
  });

  test(`${kind}: what a rule on a default reads stands in that default`, () => {
    for (const { path, node } of withoutHead(schema)) {
      if (!('x-kubernetes-validations' in node) || typeof node.default !== 'object') continue;
      for (const { rule } of node['x-kubernetes-validations'] as { rule: string }[]) {
        for (const [, field = ''] of rule.matchAll(/self\.([a-zA-Z0-9]+)/g)) {
          const guarded = rule.includes(`has(self.${field})`);
          assert.ok(guarded || field in (node.default as object), `${path}: ${rule} reads ${field}`);
        }
      }
    }
  });

  test(`${kind}: what a condition column shows is a condition, and status is a subresource`, () => {
    assert.ok('status' in version.subresources);
    assert.equal(version.additionalPrinterColumns.at(-1)?.name, 'Age');
  });

  test(`${kind}: only names that the API server describes stand in metadata`, () => {
    assert.deepEqual((schema.properties as Record<string, Schema>).metadata, { type: 'object' });
  });
}

test('LiveCluster scales its edges', () => {
  const [liveCluster] = definitions;
  assert.deepEqual(liveCluster?.version.subresources.scale, {
    specReplicasPath: '.spec.edge.replicas',
    statusReplicasPath: '.status.edge.replicas',
    labelSelectorPath: '.status.edge.selector',
  });
});

test('crds/ and the chart hold what is generated', () => {
  const script = join(import.meta.dirname, '..', '..', 'scripts', 'gen.ts');
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});

test('a union has no structural form and the error names the field', () => {
  const schema = z.strictObject({ a: z.strictObject({ b: z.union([z.string(), z.strictObject({})]) }) });
  assert.throws(() => toStructural(schema), /^Error: \.a\.b: anyOf has no structural form; use flat optional fields/);
});

test('a default is written out where a rule reads it, and nowhere else', () => {
  const inner = z.strictObject({ port: z.int().min(1).default(1) }).prefault({});
  const plain = toStructural(z.strictObject({ a: inner }));
  assert.deepEqual((plain.properties as Record<string, Schema>).a?.default, {});
  const ruled = z.strictObject({ b: inner }).meta({ 'x-kubernetes-validations': [] }).prefault({});
  const field = toStructural(z.strictObject({ a: ruled })).properties as Record<string, Schema>;
  assert.deepEqual(field.a?.default, { b: { port: 1 } });
});

test('open objects stay open', () => {
  const open = definitions.flatMap(({ schema }) => withoutHead(schema)).filter(({ node }) => isOpen(node));
  assert.ok(open.some(({ path }) => path === '.spec.edge.affinity'));
  for (const { path, node } of open) assert.ok(!('additionalProperties' in node), path);
});
