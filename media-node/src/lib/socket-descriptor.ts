import type { Socket } from 'node:net';

/** Where net.Socket keeps its handle: of TCP, of TLS over it, or of a pipe; null once it is closed. Node documents neither. */
interface HandleOwner {
  readonly _handle?: (object & { readonly fd?: number }) | null;
}

/** The descriptor of a TCP socket's connection, for writes around Node's streams. */
export class SocketDescriptor {
  readonly #owner: HandleOwner;
  #handle: object | null | undefined;
  #value = -1;

  constructor(socket: Socket) {
    this.#owner = socket as unknown as HandleOwner;
  }

  /**
   * -1 where there is none: before the connection and from the moment in which it is closed, for its number may be another
   * file's then; and where bytes do not go out as they are (TLS). To ask the handle costs a call into C++, so it is asked once.
   */
  get value(): number {
    const handle = this.#owner._handle;
    if (handle !== this.#handle) {
      this.#handle = handle;
      this.#value = handle?.constructor.name === 'TCP' ? (handle.fd ?? -1) : -1;
    }
    return this.#value;
  }
}
