import type { Socket } from 'node:net';
import type { SendToAll } from '../lib/send-to-all.ts';
import type { SocketHandle } from '../lib/socket-handle.ts';
import { descriptorOf, handleOf } from '../lib/socket-handle.ts';
import type { PlayerQueue } from './player-queue.ts';

const FIRST_ROOM = 16;

/**
 * The players of one group that have all got the same up to now, and whose sockets take bytes past Node's streams: what is new
 * for them goes out in one call. To look at each player would cost more than a tenth of that call, for its objects are
 * all over the memory; what is needed of them is side by side here.
 */
export class StepList {
  /** What each has got since the list was made. */
  bytesEach = 0;
  readonly #sendToAll: SendToAll;
  readonly #queues: PlayerQueue[] = [];
  readonly #sockets: Socket[] = [];
  readonly #handles: (SocketHandle | null | undefined)[] = [];
  #descriptors = new Int32Array(FIRST_ROOM);
  #sent = new Int32Array(FIRST_ROOM);

  constructor(sendToAll: SendToAll) {
    this.#sendToAll = sendToAll;
  }

  get size(): number {
    return this.#queues.length;
  }

  /** Takes a player in, and gives it its index here; false where it has to be written to by itself. */
  add(queue: PlayerQueue): boolean {
    const { socket } = queue.player;
    if (socket === undefined || !isFree(socket)) return false;
    const handle = handleOf(socket);
    const descriptor = descriptorOf(handle);
    if (descriptor < 0) return false;
    const index = this.#queues.length;
    if (index === this.#descriptors.length) this.#grow();
    this.#set(index, queue, socket, handle, descriptor);
    return true;
  }

  /** Takes the one with this index out; another gets its index. */
  remove(index: number): void {
    const last = this.#queues.length - 1;
    if (index < last) {
      this.#set(index, this.#queues[last]!, this.#sockets[last]!, this.#handles[last], this.#descriptors[last]!);
    }
    this.#queues.pop();
    this.#sockets.pop();
    this.#handles.pop();
  }

  /**
   * Takes out, and gives to `onOut`, those who can't be written to here any more: closed or closing, or something waits in the
   * socket. To be called right before `write`.
   */
  takeOutUnfit(onOut: (queue: PlayerQueue) => void): void {
    for (let index = this.#queues.length - 1; index >= 0; index--) {
      const socket = this.#sockets[index]!;
      if (handleOf(socket) !== this.#handles[index] || !isFree(socket)) this.#takeOut(index, onOut);
    }
  }

  /** Takes out, and gives to `onOut`, those that are not in step any more. */
  takeOutLeavers(onOut: (queue: PlayerQueue) => void): void {
    for (let index = this.#queues.length - 1; index >= 0; index--) {
      if (!this.#queues[index]!.isInStep) this.#takeOut(index, onOut);
    }
  }

  /** Writes to everybody. What a socket does not take goes its player's own way, and so do its errors. */
  write(bytes: Buffer): void {
    const { length } = this.#queues;
    if (length === 0) return;
    this.bytesEach += bytes.length;
    let unfinished = this.#sendToAll(this.#descriptors, length, bytes, this.#sent);
    for (let index = 0; unfinished > 0; index++) {
      const sent = this.#sent[index]!;
      if (sent === bytes.length) continue;
      unfinished--;
      this.#queues[index]!.player.write(sent > 0 ? bytes.subarray(sent) : bytes);
    }
  }

  #takeOut(index: number, onOut: (queue: PlayerQueue) => void): void {
    const queue = this.#queues[index]!;
    this.remove(index);
    onOut(queue);
  }

  #set(
    index: number,
    queue: PlayerQueue,
    socket: Socket,
    handle: SocketHandle | null | undefined,
    descriptor: number,
  ): void {
    queue.index = index;
    this.#queues[index] = queue;
    this.#sockets[index] = socket;
    this.#handles[index] = handle;
    this.#descriptors[index] = descriptor;
  }

  #grow(): void {
    const descriptors = new Int32Array(this.#descriptors.length * 2);
    descriptors.set(this.#descriptors);
    this.#descriptors = descriptors;
    this.#sent = new Int32Array(descriptors.length);
  }
}

/** Nothing waits in it, and it has not been ended. */
function isFree(socket: Socket): boolean {
  return socket.writableLength === 0 && !socket.writableEnded;
}
