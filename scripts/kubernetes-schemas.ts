import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { customResourceDefinitions } from '../contract/crd/to-crd.ts';

/*
 * JSON schemas for kubeconform, made here: from the OpenAPI documents that lie in the Kubernetes module, and from our own
 * definitions. Strict: an object with named fields takes no other. Nothing is fetched but the module, by Go.
 */

type Json = { [key: string]: unknown };

/** The groups of Kubernetes that the chart and the operator write objects of. */
const DOCUMENTS = [
  'api__v1',
  'apis__apiextensions.k8s.io__v1',
  'apis__apps__v1',
  'apis__networking.k8s.io__v1',
  'apis__policy__v1',
  'apis__rbac.authorization.k8s.io__v1',
];

/** What of a ServiceMonitor the chart writes; the whole definition is the Prometheus operator's. */
const SERVICE_MONITOR: Json = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['selector', 'endpoints'],
      properties: {
        selector: { type: 'object', properties: { matchLabels: { $ref: '#/definitions/strings' } } },
        endpoints: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              port: { type: 'string' },
              path: { type: 'string' },
              interval: { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' },
            },
          },
        },
      },
    },
  },
};

/** kubeconform's word for the group that has no name. */
const CORE = 'v1';

/** Where kubeconform finds a schema below the folder. */
export const SCHEMA_LOCATION = '{{.Group}}/{{.ResourceAPIVersion}}/{{.ResourceKind}}.json';

/**
 * Writes a schema for every kind into the folder.
 *
 * @param moduleFolder folder of the go.mod that names the Kubernetes module
 * @returns how many kinds there are
 */
export function writeKubernetesSchemas(folder: string, moduleFolder: string): number {
  let count = 0;
  const write = (group: string, version: string, kind: string, schema: Json) => {
    const place = join(folder, group || CORE, version);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `${kind.toLowerCase()}.json`), JSON.stringify(schema));
    count++;
  };

  const documents = openApiFolder(moduleFolder);
  for (const document of DOCUMENTS) {
    const { components } = JSON.parse(readFileSync(join(documents, `${document}_openapi.json`), 'utf8')) as {
      components: { schemas: Record<string, Json> };
    };
    const definitions = Object.fromEntries(
      Object.entries(components.schemas).map(([name, schema]) => [name, strict(schema) as Json]),
    );
    for (const [name, schema] of Object.entries(components.schemas)) {
      for (const { group, version, kind } of (schema['x-kubernetes-group-version-kind'] ?? []) as GroupVersionKind[]) {
        if (document !== (group === '' ? `api__${version}` : `apis__${group}__${version}`)) continue;
        write(group, version, kind, { ...definitions[name], definitions: reachable(name, definitions) });
      }
    }
  }

  const core = JSON.parse(readFileSync(join(folder, CORE, 'v1', 'configmap.json'), 'utf8')) as Json;
  const metadata = { $ref: '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' };
  const head = { apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata };
  const custom = (schema: Json): Json => ({
    ...(strict({ ...schema, properties: { ...(schema.properties as Json), ...head } }) as Json),
    definitions: {
      ...(core.definitions as Json),
      strings: { type: 'object', additionalProperties: { type: 'string' } },
    },
  });
  write('monitoring.coreos.com', 'v1', 'ServiceMonitor', custom(SERVICE_MONITOR));
  for (const { manifest } of customResourceDefinitions()) {
    const { group, names, versions } = manifest.spec as {
      group: string;
      names: { kind: string };
      versions: { name: string; schema: { openAPIV3Schema: Json } }[];
    };
    for (const version of versions) write(group, version.name, names.kind, custom(version.schema.openAPIV3Schema));
  }
  return count;
}

interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** The OpenAPI documents of the Kubernetes that the rig runs; Go fetches the module if it isn't in its cache. */
function openApiFolder(moduleFolder: string): string {
  const download = execFileSync('go', ['mod', 'download', '-json', 'k8s.io/kubernetes'], {
    cwd: moduleFolder,
    encoding: 'utf8',
  });
  return join((JSON.parse(download) as { Dir: string }).Dir, 'api', 'openapi-spec', 'v3');
}

/** A schema of OpenAPI or of a definition as a JSON schema that refuses what it doesn't name. */
function strict(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(strict);
  if (typeof node !== 'object' || node === null) return node;
  const result: Json = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === 'default' || key === 'description') continue;
    if (key === 'properties') {
      result[key] = Object.fromEntries(Object.entries(value as Json).map(([name, child]) => [name, strict(child)]));
    } else if (key === '$ref') result[key] = (value as string).replace('#/components/schemas/', '#/definitions/');
    else if (!key.startsWith('x-')) result[key] = strict(value);
  }
  const source = node as Json;
  if (source['x-kubernetes-int-or-string'] === true) result.type = ['integer', 'string'];
  if (isNamed(source) && source['x-kubernetes-preserve-unknown-fields'] !== true) result.additionalProperties = false;
  return result;
}

const isNamed = (node: Json) =>
  typeof node.properties === 'object' && !('additionalProperties' in node) && !('allOf' in node);

/** The definitions that one refers to, and those that they refer to. */
function reachable(name: string, definitions: Record<string, Json>): Record<string, Json> {
  const found: Record<string, Json> = {};
  const waiting = [name];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const definition = definitions[next];
    if (found[next] || !definition) continue;
    found[next] = definition;
    for (const [, reference = ''] of JSON.stringify(definition).matchAll(/"#\/definitions\/([^"]+)"/g)) {
      waiting.push(reference);
    }
  }
  return found;
}
