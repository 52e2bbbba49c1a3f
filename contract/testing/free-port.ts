import { createServer } from 'node:net';

/** Below the range (32768) from which systems give out ports by themselves, and apart from those that `make run` takes. */
const FIRST = 22_000;
const LAST = 32_000;
const MOST_TRIES = 100;

/**
 * A free port for a program that takes no port 0, and for one that has to come back on the same port: no other socket gets it
 * by chance meanwhile. Rejects when a hundred in a row are taken.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (await isFree(host, port)) return port;
  }
  throw new Error(`no free port of ${host} was found between ${FIRST} and ${LAST}`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
