import type { StreamKey } from '../stream/stream-key.ts';

/** Whether a Vhost's `dvr.applyTo` names a stream: `app/stream`, where `*` stands for any characters. Empty: all streams. */
export function appliesTo(patterns: readonly string[], { app, stream }: Pick<StreamKey, 'app' | 'stream'>): boolean {
  const name = `${app}/${stream}`;
  return patterns.length === 0 || patterns.some((pattern) => matches(pattern, name));
}

/** In time linear in the name for each piece between two stars; a regular expression of `.*` would not be. */
function matches(pattern: string, name: string): boolean {
  const pieces = pattern.split('*');
  const first = pieces[0] ?? '';
  if (pieces.length === 1) return name === pattern;
  const last = pieces.at(-1) ?? '';
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = name.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= name.length - last.length;
}
