import type { Logger } from 'pino';
import type { AmfObject } from '../../formats/amf0.ts';
import { RTMP_OUT_CHUNK_SIZE } from '../../formats/rtmp-chunk-writer.ts';
import { decodeCommand, encodeCommand } from '../../formats/rtmp-command.ts';
import {
  encodeU32Payload,
  encodeUserControl,
  USER_PING_REQUEST,
  USER_SET_BUFFER_LENGTH,
} from '../../formats/rtmp-control.ts';
import { ClientHandshake } from '../../formats/rtmp-handshake.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import {
  RTMP_COMMAND,
  RTMP_COMMAND_AMF3,
  RTMP_USER_CONTROL,
  RTMP_WINDOW_ACK_SIZE,
} from '../../formats/rtmp-message.ts';
import { RtmpConnection } from './connection.ts';
import type { SessionEnd } from './session-end.ts';
import { SharedReadSocket } from './shared-read-socket.ts';
import { SilenceTimer } from './silence-timer.ts';

const WINDOW_ACK_BYTES = 2_500_000;
/** From connecting to Play.Start or Publish.Start. */
const SETUP_MS = 5_000;
const BUFFER_MS = 1_000;

/** A server, a stream on it, and what to do with that. */
export interface ClientTarget {
  readonly host: string;
  readonly port: number;
  /** As the connect command carries it. */
  readonly app: string;
  readonly tcUrl: string;
  /** May have a query. */
  readonly streamName: string;
  readonly action: 'play' | 'publish';
  /** Further properties of the connect object. */
  readonly connectExtra?: AmfObject;
}

/** What a server answered instead of Play.Start or Publish.Start. */
export interface ClientRefusal {
  /** Such as `NetStream.Publish.BadName`. */
  readonly code: string;
  /** What a node of ours adds for nodes: a GateCode; empty from others. */
  readonly reason: string;
  readonly description: string;
}

/** What a client tells of its one stream. */
export interface ClientListener {
  /**
   * The server has accepted; media follows, or may be sent, on this message stream. `info` is what it said with that:
   * the information object of its status.
   */
  onStart(messageStreamId: number, info: Readonly<Record<string, unknown>>): void;
  /** A message that is neither command nor control. May throw FormatError, which ends the client. */
  onMessage(message: RtmpMessage): void;
  /** Exactly once, never from within the constructor; `refusal` is set where the server said no. */
  onEnd(end: SessionEnd, refusal: ClientRefusal | undefined): void;
}

/** One connection to an RTMP server, which plays or publishes one stream. */
export class RtmpClient {
  readonly connection: RtmpConnection;
  readonly #target: ClientTarget;
  readonly #listener: ClientListener;
  readonly #setup: SilenceTimer;
  #transaction = 0;
  /** Transactions that wait for an answer. */
  #connectId = 0;
  #createId = 0;
  #messageStreamId = 0;
  #isConnected = false;
  #isStarted = false;
  #refusal: ClientRefusal | undefined;

  constructor(target: ClientTarget, listener: ClientListener, log: Logger) {
    this.#target = target;
    this.#listener = listener;
    const socket = SharedReadSocket.connectTo(target.host, target.port);
    const handshake = new ClientHandshake();
    socket.once('connect', () => {
      this.#isConnected = true;
      this.connection.write(handshake.start());
    });
    this.#setup = new SilenceTimer(SETUP_MS, () => {
      this.#end({ code: this.#isConnected ? 'timeout' : 'unreachable', message: 'the server did not answer in time' });
    });
    this.connection = new RtmpConnection(
      socket,
      handshake,
      {
        onReady: () => this.#connect(),
        onMessage: (message) => this.#onMessage(message),
        onEnd: (end) => {
          this.#setup.stop();
          const isUnreachable = (end.code === 'socket' || end.code === 'reset') && !this.#isConnected;
          listener.onEnd(isUnreachable ? { ...end, code: 'unreachable' } : end, this.#refusal);
        },
      },
      log,
    );
  }

  /** Asks the server for a sign of life; nothing before it has accepted. */
  ping(): void {
    if (!this.#isStarted) return;
    this.connection.control(RTMP_USER_CONTROL, encodeUserControl(USER_PING_REQUEST, Date.now() >>> 0));
  }

  /** Ends it; idempotent. */
  close(reason: string): void {
    if (this.#isStarted && this.#target.action === 'publish' && this.connection.isOpen) {
      this.#call('FCUnpublish', null, this.#target.streamName);
      this.#call('deleteStream', null, this.#messageStreamId);
    }
    this.#end({ code: 'closed', message: reason });
  }

  #end(end: SessionEnd): void {
    this.connection.close(end);
    // A socket that never connected would linger.
    if (!this.#isConnected) this.connection.socket.destroy();
  }

  #connect(): void {
    const { app, tcUrl, connectExtra } = this.#target;
    this.connection.setOutChunkSize(RTMP_OUT_CHUNK_SIZE);
    this.connection.control(RTMP_WINDOW_ACK_SIZE, encodeU32Payload(WINDOW_ACK_BYTES));
    const isPublish = this.#target.action === 'publish';
    this.#connectId = this.#call('connect', {
      app,
      ...(isPublish ? { type: 'nonprivate' } : { fpad: false, capabilities: 239, audioCodecs: 4071, videoCodecs: 252 }),
      flashVer: 'FMLE/3.0 (compatible; livecluster)',
      tcUrl,
      objectEncoding: 0,
      ...connectExtra,
    });
  }

  #onMessage(message: RtmpMessage): void {
    if (message.type !== RTMP_COMMAND && message.type !== RTMP_COMMAND_AMF3) {
      this.#listener.onMessage(message);
      return;
    }
    const { name, transactionId, object, args } = decodeCommand(message);
    if (name === '_error' && (transactionId === this.#connectId || transactionId === this.#createId)) {
      this.#refuse(args[0]);
    } else if (name === '_result' && transactionId === this.#connectId) {
      this.#createStream();
    } else if (name === '_result' && transactionId === this.#createId) {
      this.#messageStreamId = typeof args[0] === 'number' ? args[0] : 1;
      this.#begin();
    } else if (name === 'onStatus') {
      this.#onStatus(args[0] ?? object);
    } else if (name === 'close') {
      this.#end({ code: 'peer', message: 'the server asked to close' });
    }
  }

  #createStream(): void {
    const { action, streamName } = this.#target;
    if (action === 'publish') {
      this.#call('releaseStream', null, streamName);
      this.#call('FCPublish', null, streamName);
    }
    this.#createId = this.#call('createStream', null);
  }

  #begin(): void {
    const { action, streamName } = this.#target;
    const id = this.#messageStreamId;
    const transaction = ++this.#transaction;
    if (action === 'publish') {
      this.connection.command(id, encodeCommand('publish', transaction, null, streamName, 'live'));
      return;
    }
    this.connection.command(id, encodeCommand('play', transaction, null, streamName, -2000));
    this.connection.control(RTMP_USER_CONTROL, encodeUserControl(USER_SET_BUFFER_LENGTH, id, BUFFER_MS));
  }

  #onStatus(info: unknown): void {
    const { level, code } = (info ?? {}) as { level?: unknown; code?: unknown };
    if (level === 'error') {
      this.#refuse(info);
    } else if (!this.#isStarted && (code === 'NetStream.Play.Start' || code === 'NetStream.Publish.Start')) {
      this.#isStarted = true;
      this.#setup.stop();
      this.#listener.onStart(this.#messageStreamId, info as Record<string, unknown>);
    } else if (code === 'NetStream.Play.UnpublishNotify' || code === 'NetStream.Play.Stop') {
      this.#end({ code: 'peer', message: 'the stream ended' });
    }
  }

  #refuse(info: unknown): void {
    const { code, reason, description } = (info ?? {}) as Record<string, unknown>;
    const text = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 200) : '');
    this.#refusal = { code: text(code), reason: text(reason), description: text(description) };
    const message = `the server refused: ${this.#refusal.code} ${this.#refusal.description}`.trimEnd();
    this.#end({ code: 'refused', message });
  }

  #call(name: string, object: AmfObject | null, ...args: readonly unknown[]): number {
    const transaction = ++this.#transaction;
    this.connection.command(0, encodeCommand(name, transaction, object, ...args));
    return transaction;
  }
}
