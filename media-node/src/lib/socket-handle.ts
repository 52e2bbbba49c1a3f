import type { Socket } from 'node:net';

/** The connection behind a socket: of TCP, of TLS over it, or of a pipe. Node documents neither it nor where sockets keep it. */
export type SocketHandle = object & { readonly fd?: number };

/** The handle now; null or undefined before the connection, and from the very moment in which it is closed. */
export function handleOf(socket: Socket): SocketHandle | null | undefined {
  return (socket as unknown as { readonly _handle?: SocketHandle | null })._handle;
}

/**
 * The descriptor of a TCP connection, -1 of any other, whose bytes do not go out as they are. It is the connection's as long as
 * the socket has this handle; then its number may be another file's. Asks C++: not for each write.
 */
export function descriptorOf(handle: SocketHandle | null | undefined): number {
  return handle?.constructor.name === 'TCP' ? (handle.fd ?? -1) : -1;
}
