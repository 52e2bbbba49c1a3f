import type { Call, HttpCaller } from './http-caller.ts';
import { LineSplitter } from './json-lines.ts';
import { errorOfAnswer, isRecord, KubeError } from './kube-error.ts';
import type { KubeObject, WatchEvent } from './object.ts';

// etcd holds objects of at most 1.5 MiB; JSON can be some times its protobuf.
const LONGEST_LINE_BYTES = 16 * 1024 * 1024;

const EVENT_TYPES: readonly unknown[] = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'] satisfies WatchEvent['type'][];

/**
 * Reads a watch (Kubernetes API concepts, "Efficient detection of changes"): a JSON document a line. Ends with the
 * stream; an ERROR event becomes the KubeError of its Status. A line cut off by the stream's end is dropped: the
 * next watch brings it again.
 */
export async function* readWatch<T extends KubeObject>(
  http: HttpCaller,
  call: Omit<Call, 'method' | 'body'>,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const answer = await http.open({ method: 'GET', ...call });
  const splitter = new LineSplitter(LONGEST_LINE_BYTES);
  try {
    for await (const bytes of answer.body as AsyncIterable<Buffer>) {
      for (const line of split(splitter, bytes, answer.where)) yield parseEvent<T>(line, answer.where);
    }
  } catch (cause) {
    throw answer.errorOf(cause);
  } finally {
    answer.release();
  }
}

function split(splitter: LineSplitter, bytes: Buffer, where: string): string[] {
  try {
    return splitter.push(bytes);
  } catch (cause) {
    throw new KubeError('bad-response', `The watch ${where} sent too long a line`, { cause });
  }
}

function parseEvent<T extends KubeObject>(line: string, where: string): WatchEvent<T> {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch (cause) {
    throw new KubeError('bad-response', `The watch ${where} sent a line that is not JSON`, { cause });
  }
  const { type, object } = isRecord(event) ? event : {};
  if (type === 'ERROR') {
    const status = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 500;
    throw errorOfAnswer(`The watch ${where}`, status, object);
  }
  const metadata = isRecord(object) ? object['metadata'] : undefined;
  const isWhole =
    isRecord(metadata) &&
    typeof metadata['resourceVersion'] === 'string' &&
    (type === 'BOOKMARK' || (typeof metadata['name'] === 'string' && typeof metadata['uid'] === 'string'));
  if (!EVENT_TYPES.includes(type) || !isWhole) {
    throw new KubeError('bad-response', `The watch ${where} sent a line that is no watch event`);
  }
  return event as WatchEvent<T>;
}
