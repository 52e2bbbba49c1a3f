import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { customResourceDefinitions } from '../contract/crd/to-crd.ts';

/*
 * `make gen`: writes crds/*.yaml from the zod schemas. `--check` writes nothing and exits 1 on a difference.
 */

const directory = join(import.meta.dirname, '..', 'crds');
const check = process.argv.includes('--check');
const wanted = new Map(
  customResourceDefinitions().map(({ file, manifest }) => [
    file,
    `# Generated from contract/crd by \`make gen\`; do not edit.\n${stringify(manifest, { lineWidth: 120, aliasDuplicateObjects: false })}`,
  ]),
);
const present = readdirSync(directory).filter((file) => file.endsWith('.yaml'));

const stale = [
  ...[...wanted].filter(
    ([file, text]) => !present.includes(file) || readFileSync(join(directory, file), 'utf8') !== text,
  ),
  ...present.filter((file) => !wanted.has(file)).map((file) => [file, undefined] as const),
];
if (check && stale.length > 0) {
  console.error(`crds/ differs from contract/crd: ${stale.map(([file]) => file).join(', ')}. Run make gen and commit.`);
  process.exit(1);
}
for (const [file, text] of stale) {
  if (text === undefined) rmSync(join(directory, file));
  else writeFileSync(join(directory, file), text);
}
