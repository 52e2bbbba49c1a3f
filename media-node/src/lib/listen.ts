import type { AddressInfo, Server } from 'node:net';

/** Where to listen; port 0 is any free one, no host every address. */
export interface ListenAddress {
  readonly host?: string | undefined;
  readonly port: number;
  /** Connections that the kernel keeps until they are accepted; default Node's 511. */
  readonly backlog?: number;
}

/** A `backlog` for viewers, who all come at once when another node is gone. */
export const BURST_BACKLOG = 4_096;

/** Begins to listen; resolves with the port, which tells what 0 became. Rejects with the system's error (EADDRINUSE, EACCES). */
export async function listen(server: Server, address: ListenAddress): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(address, resolve);
  await promise;
  server.off('error', reject);
  return (server.address() as AddressInfo).port;
}
