import { spawn } from 'node:child_process';
import { ensureTools } from '../cluster/tools.ts';

/** A Kubernetes object as the API server answers it; tests read what they need. */
export interface KubeObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly generation?: number;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly ownerReferences?: { readonly kind: string; readonly name: string }[];
    readonly deletionTimestamp?: string;
  };
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into any kind of object
  readonly spec: any;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly status: any;
  readonly data?: Record<string, string>;
  readonly automountServiceAccountToken?: boolean;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; never rejects for an exit code. Ends it after `timeoutMs`. */
export function command(
  file: string,
  args: readonly string[],
  { input = '', timeoutMs = 300_000 }: { input?: string; timeoutMs?: number } = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

const tools = await ensureTools();

/** kubectl with the kubeconfig of the environment; resolves with stdout, rejects with stderr. */
export async function kubectl(
  args: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const result = await command(tools.kubectl, args, options);
  if (result.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${result.stderr.trim() || `exit ${result.code}`}`);
  return result.stdout;
}

export async function helm(args: readonly string[], options: { timeoutMs?: number } = {}): Promise<string> {
  const result = await command(tools.helm, args, options);
  if (result.code !== 0) throw new Error(`helm ${args.join(' ')}: ${result.stderr.trim() || `exit ${result.code}`}`);
  return result.stdout;
}

/** One object; rejects when it is not there. */
export async function get(kind: string, name: string, namespace: string): Promise<KubeObject> {
  return JSON.parse(await kubectl(['get', kind, name, '-n', namespace, '-o', 'json'])) as KubeObject;
}

/** One object, or undefined when it is not there. */
export async function find(kind: string, name: string, namespace: string): Promise<KubeObject | undefined> {
  const text = await kubectl(['get', kind, name, '-n', namespace, '-o', 'json', '--ignore-not-found']);
  return text.trim() === '' ? undefined : (JSON.parse(text) as KubeObject);
}

/** Objects of a kind (or several, comma-separated), by label selector. */
export async function list(kinds: string, namespace: string, selector = ''): Promise<KubeObject[]> {
  const text = await kubectl(['get', kinds, '-n', namespace, ...(selector ? ['-l', selector] : []), '-o', 'json']);
  return (JSON.parse(text) as { items: KubeObject[] }).items;
}

/** Server-side apply with strict field validation, as `kubectl apply -f` by a user. */
export const apply = (manifest: string, namespace: string) =>
  kubectl(['apply', '-n', namespace, '-f', '-'], { input: manifest });

export const patch = (kind: string, name: string, namespace: string, merge: object) =>
  kubectl(['patch', kind, name, '-n', namespace, '--type', 'merge', '-p', JSON.stringify(merge)]);

/** Status of a condition, or undefined. */
export function condition(object: KubeObject, type: string): string | undefined {
  const conditions = (object.status?.conditions ?? []) as { type: string; status: string }[];
  return conditions.find((one) => one.type === type)?.status;
}
