import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/*
 * The corpus: right and wrong manifests in corpus/{valid,invalid}/*.yaml, one document each. zod (`make run`) and the API
 * server must give each the same verdict: corpus.test.ts asks the one, e2e/manifests.test.ts the other.
 *
 *   # expect: …    a part of the line that readManifests tells (invalid only; at least one)
 *   # server: …    a part of the API server's message, where ours is to reach the user there too
 */

/** One manifest of the corpus. */
export interface CorpusManifest {
  /** File name without `.yaml`. */
  readonly name: string;
  readonly valid: boolean;
  /** The YAML as it stands, comments included. */
  readonly text: string;
  readonly expect: readonly string[];
  readonly server: readonly string[];
}

/** Reads the corpus; the same order at every call. Throws on a wrong manifest that doesn't say what to expect. */
export function corpus(): CorpusManifest[] {
  return ['valid', 'invalid'].flatMap((folder) =>
    globSync(join(import.meta.dirname, 'corpus', folder, '*.yaml'))
      .sort()
      .map((path) => {
        const text = readFileSync(path, 'utf8');
        const remarks = (word: string) =>
          [...text.matchAll(new RegExp(`^# ${word}: (.*)$`, 'gm'))].map(([, remark = '']) => remark);
        const manifest = {
          name: basename(path, '.yaml'),
          valid: folder === 'valid',
          text,
          expect: remarks('expect'),
          server: remarks('server'),
        };
        if (manifest.valid !== (manifest.expect.length === 0)) {
          throw new Error(`${path}: a wrong manifest needs an "# expect:" line, a right one has none`);
        }
        return manifest;
      }),
  );
}
