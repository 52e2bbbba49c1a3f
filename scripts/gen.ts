import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { customResourceDefinitions } from '../contract/crd/to-crd.ts';

/*
 * `make gen`: writes crds/*.yaml and the chart's copies of them from the zod schemas. `--check` writes nothing and exits
 * 1 on a difference.
 */

const NOTE = 'Generated from contract/crd by `make gen`; do not edit.';
const root = join(import.meta.dirname, '..');
const folders = ['crds', 'charts/livecluster/templates/crds'];
const check = process.argv.includes('--check');

type Manifest = ReturnType<typeof customResourceDefinitions>[number]['manifest'];

// kubectl and Helm read YAML 1.1, where a bare off is false.
const yaml = (manifest: Manifest) =>
  stringify(manifest, { version: '1.1', lineWidth: 120, aliasDuplicateObjects: false });

/**
 * The CRD as a template: Helm never upgrades what lies in a chart's crds/ folder. Text that Helm would take for an action
 * is written as an action that prints it.
 */
function chartTemplate(manifest: Manifest): string {
  const text = yaml(manifest).replaceAll('{{', '{{ "{{" }}');
  const metadata = /^metadata:\n( {2}name: .*\n)/m;
  if (!metadata.test(text)) throw new Error('the CRD has no metadata.name where the chart adds labels');
  const withMetadata = text.replace(
    metadata,
    (_, name: string) => `metadata:
${name}  labels:
    {{- include "livecluster.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
`,
  );
  return `{{- /* ${NOTE} */ -}}\n{{- if .Values.crds.install -}}\n${withMetadata}{{- end }}\n`;
}

const wanted = new Map<string, string>();
for (const { file, manifest } of customResourceDefinitions()) {
  wanted.set(`crds/${file}`, `# ${NOTE}\n${yaml(manifest)}`);
  wanted.set(`charts/livecluster/templates/crds/${file}`, chartTemplate(manifest));
}

const present = folders.flatMap((folder) => {
  mkdirSync(join(root, folder), { recursive: true });
  return readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => `${folder}/${file}`);
});
const stale = [
  ...[...wanted].filter(([file, text]) => !present.includes(file) || readFileSync(join(root, file), 'utf8') !== text),
  ...present.filter((file) => !wanted.has(file)).map((file) => [file, undefined] as const),
];
if (check && stale.length > 0) {
  console.error(`differs from contract/crd: ${stale.map(([file]) => file).join(', ')}. Run make gen and commit.`);
  process.exit(1);
}
for (const [file, text] of stale) {
  const path = join(root, file);
  if (text === undefined) rmSync(path);
  else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}
