import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';

/** As much of a net.Socket as an RtmpConnection uses, without a network: the test gives bytes in and keeps what comes out. */
export class FakeSocket extends EventEmitter {
  readonly remoteAddress = '192.0.2.1';
  readonly written: Buffer[] = [];
  bytesRead = 0;
  writableLength = 0;
  isPaused = false;
  #isDestroyed = false;

  /** It, where a net.Socket is asked for. */
  get socket(): Socket {
    return this as unknown as Socket;
  }

  /** Bytes from the peer. */
  receive(bytes: Buffer): void {
    this.bytesRead += bytes.length;
    this.emit('data', bytes);
  }

  write(bytes: Buffer): boolean {
    this.written.push(bytes);
    return true;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.destroy();
  }

  destroySoon(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    queueMicrotask(() => this.emit('close'));
  }

  setNoDelay(): void {}
  setKeepAlive(): void {}
}
