import { readSync } from 'node:fs';
import { Socket } from 'node:net';

/** What a read takes at most; as much as Node would allocate for one. */
const READ_BYTES = 64 * 1024;
/** What a draw takes at most, so that a source that never pauses does not hold the event loop. */
const DRAW_BYTES = 2 * 1024 * 1024;

/**
 * The memory that all plain connections of the process read into, one after the other: a read and all that is done with
 * its bytes are one synchronous piece of work. Without it Node allocates 64 KiB a read, and a publisher's garbage is
 * twice its bit rate.
 */
let readBuffer: Buffer | undefined;

/** Where net.Socket keeps its handle. Node documents neither the field nor the option that takes it. */
interface HandleOwner {
  _handle: { readonly fd?: number } | null;
}

/** A connection whose bytes come in memory shared by all: valid until `onBytes` returns. Not for TLS. */
export class SharedReadSocket extends Socket {
  /** Set by whoever reads. */
  onBytes: ((bytes: Buffer) => void) | undefined;
  #drawnBytes = 0;

  private constructor(handle?: unknown) {
    readBuffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
    const buffer = readBuffer;
    super({
      ...(handle !== undefined && { handle }),
      onread: {
        buffer,
        callback: (length: number): boolean => {
          this.onBytes?.(buffer.subarray(0, length));
          return true;
        },
      },
    } as object);
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

  /** Begins to connect to a server. */
  static connectTo(host: string, port: number): SharedReadSocket {
    const socket = new SharedReadSocket();
    socket.connect({ host, port });
    return socket;
  }

  /** Bytes received, in whichever way. */
  get bytesReceived(): number {
    return this.bytesRead + this.#drawnBytes;
  }

  /**
   * Reads what has come while the socket is paused, without the event loop, which would take up a watch and give it back for
   * each time. Answers how many bytes that were; the end, and what went wrong, are told by the socket's events.
   */
  draw(): number {
    const before = this.#drawnBytes;
    const buffer = readBuffer!;
    for (;;) {
      const fd = (this as unknown as HandleOwner)._handle?.fd ?? -1;
      if (fd < 0 || this.destroyed) break;
      let length: number;
      try {
        length = readSync(fd, buffer, 0, READ_BYTES, null);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') this.destroy(error as Error);
        break;
      }
      if (length === 0) {
        // The end: the event loop finds it too.
        this.resume();
        break;
      }
      this.#drawnBytes += length;
      this.onBytes?.(buffer.subarray(0, length));
      if (length < READ_BYTES || this.#drawnBytes - before >= DRAW_BYTES) break;
    }
    return this.#drawnBytes - before;
  }
}
