import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { ChunkReader } from '../../formats/rtmp-chunk-reader.ts';
import { encodeRtmpMessage, RTMP_DEFAULT_CHUNK_SIZE } from '../../formats/rtmp-chunk-writer.ts';
import {
  decodeU32Payload,
  decodeUserControl,
  encodeU32Payload,
  encodeUserControl,
  USER_PING_REQUEST,
  USER_PING_RESPONSE,
} from '../../formats/rtmp-control.ts';
import type { HandshakeStep } from '../../formats/rtmp-handshake.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import {
  CSID_COMMAND,
  CSID_CONTROL,
  RTMP_ACKNOWLEDGEMENT,
  RTMP_COMMAND,
  RTMP_SET_CHUNK_SIZE,
  RTMP_USER_CONTROL,
  RTMP_WINDOW_ACK_SIZE,
} from '../../formats/rtmp-message.ts';
import { FormatError } from '../../lib/format-error.ts';
import type { SourceTap } from '../../stream/source-tap.ts';
import { tlsFailure } from '../../lib/tls-identity.ts';
import type { ConnectionBounds } from './connection-bounds.ts';
import { MAX_HELD_MESSAGES, MEDIA_BOUNDS } from './connection-bounds.ts';
import type { SessionEnd } from './session-end.ts';
import { SharedReadSocket } from './shared-read-socket.ts';

/** How long a connection that we end may take to read our last words. */
const LINGER_MS = 2_000;
/** TCP keep-alive finds players whose network vanished: they send nothing by themselves. */
const KEEP_ALIVE_MS = 30_000;

/** Either side's handshake. */
export interface Handshake {
  push(input: Buffer): HandshakeStep;
}

/** What a connection tells its session. */
export interface ConnectionListener {
  /** The handshake is over. */
  onReady(): void;
  /** A message that the connection does not deal with itself. May throw FormatError, which ends the connection. */
  onMessage(message: RtmpMessage): void;
  /** This side is about to end the connection: the moment for last words. */
  onClosing?(end: SessionEnd): void;
  /** Exactly once, when nothing more will come. */
  onEnd(end: SessionEnd): void;
}

/**
 * One RTMP connection of either side: handshake, chunks, acknowledgements, ping. Whatever the peer sends or the network
 * does ends this connection at most, with a code and one message.
 */
export class RtmpConnection {
  readonly socket: Socket;
  /** What comes can wait in the socket, but with TLS. */
  readonly tap: SourceTap | undefined;
  readonly #log: Logger;
  readonly #listener: ConnectionListener;
  readonly #reader: ChunkReader;
  #handshake: Handshake | undefined;
  #outChunkSize = RTMP_DEFAULT_CHUNK_SIZE;
  #ackWindow = 0;
  #ackedBytes = 0;
  /** Messages that came while the session waits for something; undefined while it does not. */
  #held: RtmpMessage[] | undefined;
  #end: SessionEnd | undefined;
  #linger: NodeJS.Timeout | undefined;
  #maxUnsentBytes = MEDIA_BOUNDS.maxUnsentBytes;
  #isShut = false;

  constructor(socket: Socket, handshake: Handshake, listener: ConnectionListener, log: Logger) {
    this.socket = socket;
    this.#handshake = handshake;
    this.#listener = listener;
    this.#log = log;
    this.#reader = new ChunkReader((message) => this.#onMessage(message));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    if (socket instanceof SharedReadSocket) {
      socket.onBytes = (bytes) => this.#onData(bytes);
      this.tap = {
        open: () => this.#setShut(false),
        shut: () => this.#setShut(true),
        draw: () => (this.#isShut && this.#held === undefined && this.isOpen ? socket.draw() : 0),
      };
    } else {
      socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const failure = tlsFailure(error.code);
      // An answer to someone who has just left: ffmpeg does not wait for the one to its FCUnpublish.
      if (error.code === 'EPIPE') this.#finish({ code: 'peer', message: 'the other side closed the connection' });
      else if (error.code === 'ECONNRESET')
        this.#finish({ code: 'reset', message: 'the other side reset the connection' });
      else if (failure !== undefined) this.#finish({ code: 'tls', message: failure });
      else this.#finish({ code: 'socket', message: `the socket broke: ${error.code ?? error.message}` });
    });
    socket.on('end', () => this.#finish({ code: 'peer', message: 'the other side closed the connection' }));
    socket.on('close', () => {
      clearTimeout(this.#linger);
      this.#finish({ code: 'peer', message: 'the other side closed the connection' });
    });
  }

  get isOpen(): boolean {
    return this.#end === undefined;
  }

  get bytesRead(): number {
    return this.socket instanceof SharedReadSocket ? this.socket.bytesReceived : this.socket.bytesRead;
  }

  get writableLength(): number {
    return this.socket.writableLength;
  }

  /** Puts other bounds in force. */
  setBounds(bounds: ConnectionBounds): void {
    this.#reader.setLimits(bounds.input);
    this.#maxUnsentBytes = bounds.maxUnsentBytes;
  }

  /** Media will come: from now on messages share memory, which costs less and holds more. */
  expectMedia(): void {
    this.#reader.shareMemory();
  }

  /** Queues encoded messages; ignored after the end. */
  write(bytes: Buffer): void {
    if (this.#end !== undefined) return;
    if (this.socket.writableLength > this.#maxUnsentBytes) {
      this.#finish({ code: 'slow', message: 'the other side does not read what it is sent' });
      this.socket.destroy();
      return;
    }
    this.socket.write(bytes);
  }

  /** Sends a command's payload on a message stream. */
  command(streamId: number, payload: Buffer): void {
    this.write(encodeRtmpMessage(this.#outChunkSize, CSID_COMMAND, RTMP_COMMAND, streamId, 0, payload));
  }

  /** Sends a protocol control message. */
  control(type: number, payload: Buffer): void {
    this.write(encodeRtmpMessage(this.#outChunkSize, CSID_CONTROL, type, 0, 0, payload));
  }

  /** Sends a message of any type on a message stream and chunk stream. */
  message(type: number, chunkStreamId: number, streamId: number, payload: Buffer): void {
    this.write(encodeRtmpMessage(this.#outChunkSize, chunkStreamId, type, streamId, 0, payload));
  }

  /** Announces and uses a chunk size for all that follows. */
  setOutChunkSize(size: number): void {
    this.control(RTMP_SET_CHUNK_SIZE, encodeU32Payload(size));
    this.#outChunkSize = size;
  }

  /** Reads nothing more, and delivers nothing, until `release`: the session waits for an answer. */
  hold(): void {
    this.#held ??= [];
    this.socket.pause();
  }

  /** Delivers what came meanwhile and reads on. */
  release(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#guard(() => {
      for (const message of held) this.#onMessage(message);
    });
    if (this.#held === undefined && !this.#isShut) this.socket.resume();
  }

  #setShut(isShut: boolean): void {
    if (isShut === this.#isShut) return;
    this.#isShut = isShut;
    if (!this.isOpen) return;
    if (isShut) this.socket.pause();
    else if (this.#held === undefined) this.socket.resume();
  }

  /** Ends the connection after what is queued; idempotent. */
  close(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    this.#listener.onClosing?.(end);
    // Input is read and thrown away until the peer has gone: unread bytes would make the kernel send a reset, and our
    // last words (BadName, …) would be lost.
    this.socket.resume();
    this.socket.end();
    this.#linger = setTimeout(() => this.socket.destroy(), LINGER_MS);
    this.#finish(end);
  }

  #finish(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#held = undefined;
    this.#reader.stop();
    if (end.code === 'peer' || end.code === 'reset' || end.code === 'socket') this.socket.destroySoon();
    this.#listener.onEnd(end);
  }

  #onData(bytes: Buffer): void {
    if (this.#end !== undefined) return;
    this.#guard(() => {
      let input = bytes;
      if (this.#handshake !== undefined) {
        const step = this.#handshake.push(bytes);
        if (step.output.length > 0) this.write(step.output);
        if (!step.done) return;
        this.#handshake = undefined;
        this.#listener.onReady();
        input = step.rest;
      }
      if (input.length > 0) this.#reader.push(input);
      this.#acknowledge();
    });
  }

  #onMessage(message: RtmpMessage): void {
    if (this.#end !== undefined) return;
    if (this.#held !== undefined) {
      if (this.#held.length >= MAX_HELD_MESSAGES) {
        throw new FormatError('chunk', `RTMP peer sends over ${MAX_HELD_MESSAGES} messages without an answer`);
      }
      this.#held.push(message);
      return;
    }
    switch (message.type) {
      case RTMP_WINDOW_ACK_SIZE:
        this.#ackWindow = decodeU32Payload(message.payload, 'Window Acknowledgement Size');
        return;
      case RTMP_USER_CONTROL: {
        const { event, value } = decodeUserControl(message.payload);
        if (event === USER_PING_REQUEST) this.control(RTMP_USER_CONTROL, encodeUserControl(USER_PING_RESPONSE, value));
        return;
      }
      default:
        this.#listener.onMessage(message);
    }
  }

  /** Once half a window has come: peers that stop sending at a whole one never have to. */
  #acknowledge(): void {
    if (this.#ackWindow === 0 || this.#end !== undefined) return;
    const received = this.#reader.bytesReceived;
    if (received - this.#ackedBytes < this.#ackWindow / 2) return;
    this.#ackedBytes = received;
    this.control(RTMP_ACKNOWLEDGEMENT, encodeU32Payload(received >>> 0));
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof FormatError) {
        this.close({ code: error.code, message: error.message });
        return;
      }
      this.#log.error({ err: error }, 'RTMP session failed by a fault of this program');
      this.close({ code: 'internal', message: 'a fault of this program, see the log' });
    }
  }
}
