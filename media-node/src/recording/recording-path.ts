import { createHash } from 'node:crypto';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { PathTemplate } from '../lib/path-template.ts';
import type { StreamKey } from '../stream/stream-key.ts';

/** What a file is, by the end of its path; `mp4` is fragmented. */
export type RecordingFormat = 'flv' | 'mp4';

/** File systems take names of 255 bytes; a number and what hides an open file are added to these. */
const MAX_NAME_BYTES = 200;

/** What a file is, by the end of its path. */
export function formatOf(path: string): RecordingFormat {
  return path.endsWith('.mp4') ? 'mp4' : 'flv';
}

/**
 * Path of a recording below the folder or bucket: the Vhost's `dvr.path` with the stream's names and the time of its
 * beginning. Never leads out of it, whatever a client calls its stream; a name that no disk takes is cut, with a hash.
 */
export function recordingPath(template: string, key: StreamKey, startedAtMs: number): string {
  const vhost = key.vhost === DEFAULT_VHOST ? undefined : key.vhost;
  const values = { seq: 0, durationMs: 0, track: 'video', timestampMs: startedAtMs } as const;
  const path = new PathTemplate(template, vhost).render(key, 'dangerous', values);
  return path.split('/').map(shortened).join('/');
}

function shortened(name: string): string {
  const bytes = Buffer.from(name);
  if (bytes.length <= MAX_NAME_BYTES) return name;
  const ending = /\.(flv|mp4)$/.exec(name)?.[0] ?? '';
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
  // A character cut in half would become another one, of three bytes.
  const head = bytes
    .subarray(0, MAX_NAME_BYTES - 32)
    .toString('utf8')
    .replace(/\uFFFD+$/u, '');
  return `${head}~${hash}${ending}`;
}

/** The path with a number before its end: `live/a.flv` → `live/a-2.flv`. */
export function numbered(path: string, number: number): string {
  return number === 1 ? path : path.replace(/(\.[a-z0-9]+)$/, `-${number}$1`);
}
