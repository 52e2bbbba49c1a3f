import { LineCounter, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { LiveClusterSpec } from './crd/live-cluster.ts';
import { LabelValue } from './crd/schema.ts';
import { NAME_RULE, toStructural } from './crd/to-crd.ts';
import { VhostSpec } from './crd/vhost.ts';
import { GROUP_VERSION } from './names.ts';

/*
 * Reads manifests outside a cluster as kubectl and the API server would together: YAML 1.1, unknown fields refused,
 * defaults filled in.
 */

const QUALIFIED_NAME = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const metadataMap = <V extends z.ZodType>(value: V) =>
  z
    .record(z.string(), value)
    .refine((map) => Object.keys(map).every((key) => QUALIFIED_NAME.test(key)), {
      error: 'has a key that is no label or annotation name, such as app or example.com/app',
    })
    .optional();

/** What of Kubernetes' ObjectMeta a manifest may hold; the fields that the API server writes are let through. */
const Metadata = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, { error: 'must be a DNS name: a-z, 0-9, - and .' })
    .refine(NAME_RULE.check, { error: NAME_RULE.message }),
  namespace: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, { error: 'must be a namespace: a-z, 0-9 and -' })
    .default('default'),
  labels: metadataMap(LabelValue),
  annotations: metadataMap(z.string()),
  finalizers: z.array(z.string()).optional(),
  generateName: z.unknown().optional(),
  uid: z.unknown().optional(),
  resourceVersion: z.unknown().optional(),
  generation: z.unknown().optional(),
  creationTimestamp: z.unknown().optional(),
  deletionTimestamp: z.unknown().optional(),
  deletionGracePeriodSeconds: z.unknown().optional(),
  selfLink: z.unknown().optional(),
  ownerReferences: z.unknown().optional(),
  managedFields: z.unknown().optional(),
});

const LiveClusterManifest = z.strictObject({
  apiVersion: z.literal(GROUP_VERSION),
  kind: z.literal('LiveCluster'),
  metadata: Metadata,
  spec: LiveClusterSpec,
  status: z.unknown().optional(),
});
export type LiveClusterManifest = z.infer<typeof LiveClusterManifest>;

const VhostManifest = z.strictObject({
  apiVersion: z.literal(GROUP_VERSION),
  kind: z.literal('Vhost'),
  metadata: Metadata,
  spec: VhostSpec,
  status: z.unknown().optional(),
});
export type VhostManifest = z.infer<typeof VhostManifest>;

export interface Manifests {
  readonly liveClusters: LiveClusterManifest[];
  readonly vhosts: VhostManifest[];
  /** One line a fault: where (document, line, field path), what, and how to mend. Empty when all is right. */
  readonly errors: string[];
}

/** Most values of one document, every alias counted as what it stands for; etcd takes 1.5 MiB of JSON anyway. */
const MOST_VALUES = 100_000;

/** Reads the manifests in one YAML text; never throws. Documents with a fault are left out and told in `errors`. */
export function readManifests(text: string): Manifests {
  const result = { liveClusters: [] as LiveClusterManifest[], vhosts: [] as VhostManifest[], errors: [] as string[] };
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: '1.1',
    merge: true,
    lineCounter,
    uniqueKeys: true,
    // kubectl's reader leaves 2026-01-31 and 12:30 the strings they look like.
    customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || !isTimeTag(tag)),
  });
  if (!Array.isArray(documents)) return result;
  for (const document of documents) {
    const line = lineCounter.linePos(document.range?.[0] ?? 0).line;
    const faults = [...document.errors, ...document.warnings];
    if (faults.length > 0) {
      for (const fault of faults)
        result.errors.push(`line ${fault.linePos?.[0].line ?? line}: ${fault.message.split('\n')[0]}`);
      continue;
    }
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      result.errors.push(`line ${line}: ${(error as Error).message}`);
      continue;
    }
    if (value === null || value === undefined) continue;
    if (isLargerThan(value, MOST_VALUES)) {
      result.errors.push(`line ${line}: has more than ${MOST_VALUES} values, aliases counted out: write less`);
      continue;
    }
    readManifest(value, `document at line ${line}`, result);
  }
  return result;
}

/** Judges one manifest that is already an object; adds it, or its faults, to `into`. */
function readManifest(value: unknown, where: string, into: Manifests): void {
  const head = z.looseObject({ apiVersion: z.string(), kind: z.string() }).safeParse(value);
  if (!head.success) {
    into.errors.push(`${where}: needs apiVersion and kind; for this project apiVersion: ${GROUP_VERSION}`);
    return;
  }
  const { apiVersion, kind } = head.data;
  if (apiVersion !== GROUP_VERSION || (kind !== 'LiveCluster' && kind !== 'Vhost')) {
    into.errors.push(`${where}: ${apiVersion} ${kind} is unknown here; write ${GROUP_VERSION} LiveCluster or Vhost`);
    return;
  }
  if (kind === 'LiveCluster') {
    const parsed = LiveClusterManifest.safeParse(withoutNulls(value, { spec: toStructural(LiveClusterSpec) }));
    if (parsed.success) into.liveClusters.push(parsed.data);
    else into.errors.push(...faults(parsed.error, `${where}: ${kind}`));
  } else {
    const parsed = VhostManifest.safeParse(withoutNulls(value, { spec: toStructural(VhostSpec) }));
    if (parsed.success) into.vhosts.push(parsed.data);
    else into.errors.push(...faults(parsed.error, `${where}: ${kind}`));
  }
}

function faults(error: z.ZodError, where: string): string[] {
  return error.issues.map((issue) => `${where}: ${issue.path.join('.') || '.'}: ${issue.message}`);
}

/** Whether a tree has more values than `most`; stops there, so a few aliases can't make it long. */
function isLargerThan(tree: unknown, most: number): boolean {
  const waiting = [tree];
  for (let seen = 0; waiting.length > 0; seen++) {
    if (seen + waiting.length > most) return true;
    const value = waiting.pop();
    if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) waiting.push(child);
  }
  return false;
}

const isTimeTag = (tag: { tag: string; format?: string }) =>
  tag.tag === 'tag:yaml.org,2002:timestamp' || tag.format === 'TIME';

type Schema = { [word: string]: unknown } | undefined;
const isMap = (value: unknown): value is { [key: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A field that is null counts as left out, as the API server has it: `edge:` with nothing after it is the default. */
function withoutNulls(manifest: unknown, fields: { spec: Schema }): unknown {
  return prune(manifest, {
    properties: { ...fields, metadata: { properties: { labels: {}, annotations: {}, namespace: {} } }, status: {} },
  });
}

function prune(value: unknown, schema: Schema): unknown {
  if (Array.isArray(value)) return value.map((item) => prune(item, schema?.items as Schema));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, child]) => [key, child, schemaOf(key, schema)] as const)
      .filter(([, child, childSchema]) => child !== null || childSchema === undefined)
      .map(([key, child, childSchema]) => [key, prune(child, childSchema)]),
  );
}

function schemaOf(key: string, schema: Schema): Schema {
  const properties = schema?.properties;
  if (isMap(properties) && Object.hasOwn(properties, key)) return properties[key] as Schema;
  return isMap(schema?.additionalProperties) ? schema.additionalProperties : undefined;
}
