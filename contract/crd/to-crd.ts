import { z } from 'zod';
import { API_GROUP, API_VERSION } from '../names.ts';
import { LiveClusterStatus } from './live-cluster-status.ts';
import { LiveClusterSpec } from './live-cluster.ts';
import { VhostSpec, VhostStatus } from './vhost.ts';

/*
 * zod → CustomResourceDefinition. z.toJSONSchema for OpenAPI 3.0 comes close; toStructural does the rest of what
 * Kubernetes calls a structural schema.
 */

type JsonObject = { [key: string]: unknown };

const NAME_MAX = 40;
/** Rule on the whole object: pods and Services carry the name with a suffix in labels of at most 63 characters. */
export const NAME_RULE = {
  rule: `self.metadata.name.size() <= ${NAME_MAX} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')`,
  message: `metadata.name must be at most ${NAME_MAX} characters of a-z, 0-9 and -, beginning with a letter: Services carry it with a suffix`,
  check: (name: string) => name.length <= NAME_MAX && /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name),
};

/** The OpenAPI schema of a zod schema in the form that the API server takes. Throws on what has no structural form. */
export function toStructural(schema: z.ZodType): JsonObject {
  const json = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline', unrepresentable: 'any' });
  const { $schema: _, ...rest } = json as JsonObject;
  return structural(rest, '');
}

function structural(node: JsonObject, path: string): JsonObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === 'id') continue;
    // Pruning drops unknown fields; the API server's strict field validation names them, as a strictObject does.
    if (key === 'additionalProperties' && (value === false || (isObject(value) && Object.keys(value).length === 0)))
      continue;
    if (key === 'propertyNames') continue;
    if ((key === 'minimum' || key === 'maximum') && Math.abs(value as number) === Number.MAX_SAFE_INTEGER) continue;
    result[key] = value;
  }
  if (result['x-kubernetes-int-or-string'] === true) {
    delete result.anyOf;
    delete result.oneOf;
    delete result.type;
  }
  if (result['x-kubernetes-preserve-unknown-fields'] === true) delete result.additionalProperties;
  for (const word of ['$ref', 'anyOf', 'oneOf', 'allOf', 'not'] as const) {
    if (word in result)
      throw new Error(`${path || '.'}: ${word} has no structural form; use flat optional fields and a rule`);
  }
  if (isObject(result.properties)) {
    result.properties = Object.fromEntries(
      Object.entries(result.properties).map(([name, child]) => [
        name,
        structural(child as JsonObject, `${path}.${name}`),
      ]),
    );
  }
  if (isObject(result.items)) result.items = structural(result.items, `${path}[]`);
  if (isObject(result.additionalProperties)) {
    result.additionalProperties = structural(result.additionalProperties, `${path}{}`);
  }
  // The API server holds a default against the node's own rules before it fills in the defaults of its fields.
  if ('x-kubernetes-validations' in result && isObject(result.default)) {
    result.default = { ...fieldDefaults(result), ...result.default };
  }
  if (Array.isArray(result.required)) {
    // With io 'input' a field that has a default is not required; nothing else to mend.
    if (result.required.length === 0) delete result.required;
  }
  return result;
}

/** What an empty object becomes by the defaults of its fields. */
function fieldDefaults(node: JsonObject): JsonObject {
  const properties = Object.entries((node.properties ?? {}) as { [name: string]: JsonObject });
  return Object.fromEntries(
    properties
      .filter(([, field]) => 'default' in field)
      .map(([name, field]) => [
        name,
        isObject(field.default) ? { ...fieldDefaults(field), ...field.default } : field.default,
      ]),
  );
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Definition {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: string[];
  readonly description: string;
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  readonly columns: { name: string; type: string; jsonPath: string; description: string; priority?: number }[];
  readonly scale?: JsonObject;
}

const condition = (type: string) => `.status.conditions[?(@.type=='${type}')].status`;
const age = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since creation.' };

const DEFINITIONS: readonly Definition[] = [
  {
    kind: 'LiveCluster',
    plural: 'liveclusters',
    shortNames: ['lc'],
    description:
      'A live-streaming cluster: origins that take publishes, edges that serve viewers, and their directory.',
    spec: LiveClusterSpec,
    status: LiveClusterStatus,
    columns: [
      {
        name: 'Ready',
        type: 'string',
        jsonPath: condition('Ready'),
        description: 'Whether encoders and viewers are served.',
      },
      {
        name: 'Origins',
        type: 'integer',
        jsonPath: '.status.origin.ready',
        description: 'Origin pods that are ready.',
      },
      { name: 'Edges', type: 'integer', jsonPath: '.status.edge.ready', description: 'Edge pods that are ready.' },
      { name: 'Streams', type: 'integer', jsonPath: '.status.streams', description: 'Streams that have a publisher.' },
      { name: 'Viewers', type: 'integer', jsonPath: '.status.viewers', description: 'Viewers of all streams.' },
      { name: 'Address', type: 'string', jsonPath: '.status.address', description: 'Where encoders push to.' },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: ".status.conditions[?(@.type=='Ready')].message",
        description: 'Why it is or is not ready.',
        priority: 1,
      },
      age,
    ],
    scale: {
      specReplicasPath: '.spec.edge.replicas',
      statusReplicasPath: '.status.edge.replicas',
      labelSelectorPath: '.status.edge.selector',
    },
  },
  {
    kind: 'Vhost',
    plural: 'vhosts',
    shortNames: ['vh'],
    description: 'Rules for the streams under some host names of one LiveCluster. Every change reloads live.',
    spec: VhostSpec,
    status: VhostStatus,
    columns: [
      {
        name: 'Cluster',
        type: 'string',
        jsonPath: '.spec.clusterRef.name',
        description: 'The LiveCluster it belongs to.',
      },
      { name: 'Hosts', type: 'string', jsonPath: '.spec.hosts', description: 'Host names it answers to.' },
      {
        name: 'Accepted',
        type: 'string',
        jsonPath: condition('Accepted'),
        description: 'Whether its rules are taken.',
      },
      {
        name: 'Programmed',
        type: 'string',
        jsonPath: condition('Programmed'),
        description: 'Whether every pod runs it.',
      },
      { name: 'Pods', type: 'integer', jsonPath: '.status.podsProgrammed', description: 'Pods that run it.' },
      age,
    ],
  },
];

/** The CustomResourceDefinition manifests, as plain objects, in the order of crds/. */
export function customResourceDefinitions(): { file: string; manifest: JsonObject }[] {
  return DEFINITIONS.map((definition) => ({
    file: `${API_GROUP}_${definition.plural}.yaml`,
    manifest: {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${definition.plural}.${API_GROUP}` },
      spec: {
        group: API_GROUP,
        names: {
          kind: definition.kind,
          listKind: `${definition.kind}List`,
          plural: definition.plural,
          singular: definition.kind.toLowerCase(),
          shortNames: definition.shortNames,
          categories: ['live'],
        },
        scope: 'Namespaced',
        versions: [
          {
            name: API_VERSION,
            served: true,
            storage: true,
            additionalPrinterColumns: definition.columns,
            subresources: { status: {}, ...(definition.scale ? { scale: definition.scale } : {}) },
            schema: {
              openAPIV3Schema: {
                type: 'object',
                description: definition.description,
                required: ['spec'],
                properties: {
                  apiVersion: { type: 'string', description: 'Version of this representation.' },
                  kind: { type: 'string', description: 'Kind of the resource.' },
                  // The API server describes it; it takes no word more here.
                  metadata: { type: 'object' },
                  spec: { description: 'What is wanted.', ...toStructural(definition.spec) },
                  status: { description: 'What is, written by the operator.', ...toStructural(definition.status) },
                },
                'x-kubernetes-validations': [{ rule: NAME_RULE.rule, message: NAME_RULE.message }],
              },
            },
          },
        ],
      },
    },
  }));
}
