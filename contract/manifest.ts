import { LineCounter, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { LiveClusterSpec } from './crd/live-cluster.ts';
import { NAME_RULE } from './crd/to-crd.ts';
import { VhostSpec } from './crd/vhost.ts';
import { GROUP_VERSION } from './names.ts';

/*
 * Reads manifests outside a cluster as kubectl and the API server would together: YAML 1.1, unknown fields refused,
 * defaults filled in.
 */

const Metadata = z.looseObject({
  name: z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, { error: 'must be a DNS name: a-z, 0-9, - and .' })
    .refine(NAME_RULE.check, { error: NAME_RULE.message }),
  namespace: z.string().min(1).max(63).default('default'),
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

/** Reads the manifests in one YAML text; never throws. Documents with a fault are left out and told in `errors`. */
export function readManifests(text: string): Manifests {
  const result = { liveClusters: [] as LiveClusterManifest[], vhosts: [] as VhostManifest[], errors: [] as string[] };
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { version: '1.1', merge: true, lineCounter, uniqueKeys: true });
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
    readManifest(value, `document at line ${line}`, result);
  }
  return result;
}

/** Judges one manifest that is already an object; adds it, or its faults, to `into`. */
export function readManifest(value: unknown, where: string, into: Manifests): void {
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
    const parsed = LiveClusterManifest.safeParse(value);
    if (parsed.success) into.liveClusters.push(parsed.data);
    else into.errors.push(...faults(parsed.error, `${where}: ${kind}`));
  } else {
    const parsed = VhostManifest.safeParse(value);
    if (parsed.success) into.vhosts.push(parsed.data);
    else into.errors.push(...faults(parsed.error, `${where}: ${kind}`));
  }
}

function faults(error: z.ZodError, where: string): string[] {
  return error.issues.map((issue) => `${where}: ${issue.path.join('.') || '.'}: ${issue.message}`);
}
