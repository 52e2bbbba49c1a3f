import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { LABELS, OPERATOR_ADMIN_PORT, PORTS } from '../contract/names.ts';
import { LEASE_RULES, RBAC_RULES } from '../operator/src/kube-rbac.ts';

/*
 * What the chart repeats of the code, held together without Helm. What Helm renders is judged by scripts/check-manifests.ts.
 */

const chart = join(import.meta.dirname, 'livecluster');
const read = (path: string) => readFileSync(join(chart, path), 'utf8');

test("the chart's rules in a served namespace are the operator's, verb for verb", () => {
  const [, rules = ''] = /define "livecluster\.rules" -}}\n(.*){{- end -}}/s.exec(read('templates/_rules.tpl')) ?? [];
  assert.deepEqual(parse(rules), RBAC_RULES);
});

test("the chart's rules for the lease are the operator's, verb for verb", () => {
  const [, rules = ''] = /\nrules:\n( {2}# RBAC cannot.*?)---/s.exec(read('templates/rbac.yaml')) ?? [];
  assert.deepEqual(parse(rules), LEASE_RULES);
});

test('every value has its place in the schema, and the schema knows no other', () => {
  const values = parse(read('values.yaml')) as Record<string, unknown>;
  const schema = JSON.parse(read('values.schema.json')) as Schema;
  const walk = (value: unknown, node: Schema | undefined, path: string): string[] => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
    if (!node?.properties) return Object.keys(value).length === 0 ? [] : [`${path} has no properties in the schema`];
    const known = Object.keys(node.properties).filter((name) => !(path === '' && name === 'global'));
    return [
      ...(node.additionalProperties === false ? [] : [`${path || '.'} lets unknown values in`]),
      ...Object.keys(value)
        .filter((name) => !known.includes(name))
        .map((name) => `${path}.${name} is not in the schema`),
      ...known.filter((name) => !(name in value)).map((name) => `${path}.${name} is not in values.yaml`),
      ...Object.entries(value).flatMap(([name, child]) =>
        ['requests', 'limits'].includes(name) ? [] : walk(child, node.properties?.[name], `${path}.${name}`),
      ),
    ];
  };
  assert.deepEqual(walk(values, schema, ''), []);
});

interface Schema {
  readonly properties?: Record<string, Schema>;
  readonly additionalProperties?: unknown;
}

test("the chart and its image carry the product's version", () => {
  const { version } = JSON.parse(readFileSync(join(chart, '../../package.json'), 'utf8')) as { version: string };
  const { version: chartVersion, appVersion } = parse(read('Chart.yaml')) as Record<string, string>;
  assert.deepEqual([chartVersion, appVersion], [version, version]);
});

test("ports and labels in the templates are the contract's", () => {
  assert.ok(read('templates/deployment.yaml').includes(`containerPort: ${OPERATOR_ADMIN_PORT}\n`));
  assert.ok(read('templates/service.yaml').includes(`port: ${OPERATOR_ADMIN_PORT}\n`));
  const policy = read('templates/networkpolicy.yaml');
  assert.ok(policy.includes(`port: ${PORTS.admin}\n`), 'the operator reaches the admin port of media nodes');
  assert.ok(policy.includes(`${LABELS.partOf}: livecluster\n`), 'which it finds by their label');
});

test('the six lines of NOTES.txt are those of the example', () => {
  const [, lines = ''] = /<<EOM\n(.*?) {2}EOM\n/s.exec(read('templates/NOTES.txt')) ?? [];
  assert.equal(lines.replaceAll(/^ {2}/gm, ''), readFileSync(join(chart, '../../examples/livecluster.yaml'), 'utf8'));
});
