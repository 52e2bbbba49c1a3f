import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Sends all of `bytes` to each of the first `count` sockets, one send(2) each, without waiting for any of them.
 *
 * `sent[i]` becomes how many bytes the kernel took for `descriptors[i]`, or the negated errno: -EAGAIN where it takes none now,
 * -EBADF where there is no such descriptor. Answers for how many of them that is not `bytes.length`.
 *
 * It goes past Node's queue: only for plain sockets that Node has nothing to write for (`writableLength` 0), by descriptors that
 * were taken from them in the same turn. That of a closed socket may be another's by now.
 *
 * @throws TypeError, RangeError before anything is sent, where an argument has another type, `count` is more than one of the
 *   arrays holds, or `bytes` is longer than 2^31 - 1
 */
export type SendToAll = (descriptors: Int32Array, count: number, bytes: Uint8Array, sent: Int32Array) => number;

/** Where native/build.ts puts the module for this platform. */
export const sendToAllPath = join(
  import.meta.dirname,
  `../../native/build/send-to-all-${process.platform}-${process.arch}.node`,
);

/**
 * Loads the module, or tells why there is none: what needs it goes on without, by Node's own sockets.
 *
 * @param onMissing called once, with the reason, where the answer is undefined
 * @param path for tests
 */
export function loadSendToAll(onMissing: (reason: string) => void, path = sendToAllPath): SendToAll | undefined {
  let reason = `${path} is not built: install a C compiler and run "make deps"`;
  if (existsSync(path)) {
    try {
      const { sendToAll } = createRequire(import.meta.url)(path) as { sendToAll?: unknown };
      if (typeof sendToAll === 'function') return sendToAll as SendToAll;
      reason = `${path} has no sendToAll: remove it and run "make deps"`;
    } catch (error) {
      reason = `${path} does not load: ${(error as Error).message}`;
    }
  }
  onMissing(reason);
  return undefined;
}
