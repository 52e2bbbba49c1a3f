import { Socket } from 'node:net';

/** What a read takes at most; as much as Node would allocate for one. */
const READ_BYTES = 64 * 1024;

/**
 * The memory that all plain connections of the process read into, one after the other: a read and all that is done with
 * its bytes are one synchronous piece of work. Without it Node allocates 64 KiB a read, and a publisher's garbage is
 * twice its bit rate.
 */
let readBuffer: Buffer | undefined;

/** Where net.Socket keeps its handle. Node documents neither the field nor the option that takes it. */
interface HandleOwner {
  _handle: unknown;
}

/** An accepted connection whose bytes come in memory shared by all: valid until `onBytes` returns. Not for TLS. */
export class SharedReadSocket extends Socket {
  /** Set by whoever reads. */
  onBytes: ((bytes: Buffer) => void) | undefined;

  private constructor(handle: unknown) {
    readBuffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
    const buffer = readBuffer;
    super({
      handle,
      onread: {
        buffer,
        callback: (length: number): boolean => {
          this.onBytes?.(buffer.subarray(0, length));
          return true;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
  }

  /** Takes the connection over from a socket that a server accepted with `pauseOnConnect`. */
  static takeOver(accepted: Socket): SharedReadSocket {
    const owner = accepted as unknown as HandleOwner;
    const handle = owner._handle;
    owner._handle = null;
    const socket = new SharedReadSocket(handle);
    // Without its handle this ends nothing but the server's count of it.
    accepted.destroy();
    return socket;
  }
}
