import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/*
 * A reporter of node:test that tells failures alone, each in a few lines: scripts/test.ts repeats them just before its summary,
 * where they are seen by who sees only the end of a run.
 */

const MOST_LINES = 15;
const MOST_COLUMNS = 300;

/** One failure: `name (file:line)`, and below it the beginning of what was said. */
export function shortFailure(name: string, said: string): string {
  const lines = said
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => `  ${line.length > MOST_COLUMNS ? `${line.slice(0, MOST_COLUMNS)}…` : line}`);
  const rest = lines.length - MOST_LINES;
  return [name, ...lines.slice(0, MOST_LINES), ...(rest > 0 ? [`  … and ${rest} lines more`] : [])].join('\n') + '\n';
}

/** What an error says, and what its cause does: node:test wraps what a test threw. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : JSON.stringify(error);
  const isWrapper = 'failureType' in error;
  if (isWrapper && error.cause !== undefined) return textOf(error.cause);
  return error.cause instanceof Error ? `${error.message}\ncaused by: ${textOf(error.cause)}` : error.message;
}

/** Failures that another one tells of. */
const FOLLOWING: ReadonlySet<unknown> = new Set(['subtestsFailed', 'cancelledByParent']);

/** Failures of tests, and of files and hooks. */
export default async function* failures(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:fail') continue;
    const { name, file, line, details, todo } = event.data;
    const { error } = details;
    if (('failureType' in error && FOLLOWING.has(error.failureType)) || todo !== undefined) continue;
    const at = file === undefined ? '' : ` (${relative(process.cwd(), file)}:${line ?? 1})`;
    yield shortFailure(`${name}${at}`, textOf(error));
  }
}
