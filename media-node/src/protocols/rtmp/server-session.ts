import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { AmfValue } from '../../formats/amf0.ts';
import { RTMP_OUT_CHUNK_SIZE } from '../../formats/rtmp-chunk-writer.ts';
import type { IgnoredCounts } from '../../formats/flv-tag-body.ts';
import type { RtmpCommand } from '../../formats/rtmp-command.ts';
import { decodeCommand, encodeCommand } from '../../formats/rtmp-command.ts';
import {
  encodeSetPeerBandwidth,
  encodeU32Payload,
  PEER_BANDWIDTH_DYNAMIC,
  USER_STREAM_BEGIN,
} from '../../formats/rtmp-control.ts';
import { ServerHandshake } from '../../formats/rtmp-handshake.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import {
  RTMP_COMMAND,
  RTMP_COMMAND_AMF3,
  RTMP_SET_PEER_BANDWIDTH,
  RTMP_WINDOW_ACK_SIZE,
} from '../../formats/rtmp-message.ts';
import { StreamError } from '../../stream/errors.ts';
import type { Gate, SessionInfo } from '../../stream/gate.ts';
import { GateError } from '../../stream/gate.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import type { ClientCapabilities } from './capabilities.ts';
import { NO_CAPABILITIES, readCapabilities, serverCapabilities } from './capabilities.ts';
import { MEDIA_BOUNDS, PLAY_BOUNDS, SETUP_BOUNDS } from './connection-bounds.ts';
import { RtmpConnection } from './connection.ts';
import type { RelayGrant, RelayVerifier } from './relay-credential.ts';
import { clockOf, RELAY_CLOCK, RELAY_PROPERTY } from './relay-credential.ts';
import { MEDIA_STREAM_ID } from './rtmp-player.ts';
import type { SessionEnd } from './session-end.ts';
import { SessionPublishing } from './session-publishing.ts';
import { SessionReplies, status } from './session-replies.ts';
import { SessionViewing } from './session-viewing.ts';
import { SilenceTimer } from './silence-timer.ts';
import { connectHost, parseStreamAddress } from './stream-address.ts';

/** As SRS announces it. */
const WINDOW_ACK_BYTES = 2_500_000;
/** Sessions that have no stream to be judged by. */
export interface SessionTimeouts {
  /** From the connection to the connect command, TLS and the handshake included. */
  readonly setupMs: number;
  /** From there to publish or play, and from their end to the next. */
  readonly idleMs: number;
}
export const SESSION_TIMEOUTS: SessionTimeouts = { setupMs: 10_000, idleMs: 30_000 };

export interface ServerSessionOptions {
  readonly gate: Gate;
  readonly log: Logger;
  /** Missing: no relay is accepted. */
  readonly relayVerifier?: RelayVerifier | undefined;
  /** Set when the session is one too many: its connect is refused. */
  readonly isOverLimit: boolean;
  /** Counts what encoders send and is not carried on; default: nobody counts. */
  readonly ignored?: IgnoredCounts;
  readonly timeouts: SessionTimeouts;
  onEnd(session: ServerSession, end: SessionEnd): void;
}

/** Ends that are no news: what the session did has a line of its own. */
const ORDINARY_ENDS: ReadonlySet<SessionEnd['code']> = new Set(['peer', 'reset', 'closed']);

/** What a client connected to. */
interface Connected {
  readonly app: string;
  readonly tcUrl: string;
  readonly pageUrl: string;
  /** Flash Media Live Encoder, or a client that wants to be treated as it: ffmpeg, OBS. */
  readonly isFmle: boolean;
}

/** One client of the RTMP server: an encoder, a viewer or another node, from handshake to close. */
export class ServerSession {
  readonly id = randomBytes(6).toString('hex');
  readonly ip: string;
  readonly #options: ServerSessionOptions;
  readonly #connection: RtmpConnection;
  readonly #log: Logger;
  readonly #silence: SilenceTimer;
  readonly #replies: SessionReplies;
  readonly #viewing: SessionViewing;
  readonly #publishing: SessionPublishing;
  #connected: Connected | undefined;
  #relay: RelayGrant | undefined;
  /** What a node that publishes here said of its frames' times. */
  #relayClock: string | undefined;
  #capabilities: ClientCapabilities = NO_CAPABILITIES;

  constructor(socket: Socket, options: ServerSessionOptions) {
    this.#options = options;
    this.ip = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    this.#log = options.log.child({ session: this.id, ip: this.ip });
    this.#silence = new SilenceTimer(options.timeouts.setupMs, () => this.#onSilence());
    const listener = {
      onReady: () => undefined,
      onMessage: (message: RtmpMessage) => this.#onMessage(message),
      onClosing: (end: SessionEnd) => this.#onClosing(end),
      onEnd: (end: SessionEnd) => this.#onEnd(end),
    };
    this.#connection = new RtmpConnection(socket, new ServerHandshake(), listener, this.#log);
    this.#connection.setBounds(SETUP_BOUNDS);
    this.#replies = new SessionReplies(this.#connection);
    const own = { connection: this.#connection, log: this.#log, close: (reason: string) => this.close(reason) };
    this.#viewing = new SessionViewing({ ...own, id: this.id, ip: this.ip, replies: this.#replies });
    this.#publishing = new SessionPublishing({ ...own, silence: this.#silence, ignored: options.ignored });
  }

  /**
   * Asks the client to connect anew, if it said that it can (E-RTMP v2, "Reconnect Request"): to the same address, where
   * another node answers by then. It goes on here until it has. Nodes have their own ways.
   */
  requestReconnect(): void {
    if (!this.#capabilities.canReconnect || this.#relay !== undefined) return;
    this.#capabilities = { ...this.#capabilities, canReconnect: false };
    const request = status('status', 'NetConnection.Connect.ReconnectRequest', 'This node is about to stop.');
    this.#replies.call('onStatus', request, 0);
  }

  /** Ends the session; an encoder is told why. Idempotent. */
  close(reason: string): void {
    this.#fail('closed', reason);
  }

  #onMessage(message: RtmpMessage): void {
    if (message.type === RTMP_COMMAND || message.type === RTMP_COMMAND_AMF3) {
      this.#onCommand(decodeCommand(message), message.streamId);
      return;
    }
    this.#publishing.push(message);
  }

  #onCommand(command: RtmpCommand, streamId: number): void {
    const { name, transactionId } = command;
    const replies = this.#replies;
    if (this.#connected === undefined) {
      if (name === 'connect') this.#connect(command);
      else this.#fail('protocol', `the client sent ${quote(name)} before connect`);
      return;
    }
    switch (name) {
      case 'createStream':
        replies.result(transactionId, null, MEDIA_STREAM_ID);
        return;
      case 'publish':
        if (command.args[0] === false) this.#stop('the client sent publish false');
        else this.#begin(this.#publish(command), 'NetStream.Publish.Denied');
        return;
      case 'play':
        // Flash's way to stop, as with publish.
        if (command.args[0] === false) this.#stop('the client sent play false');
        else this.#begin(this.#play(command), 'NetStream.Play.Failed');
        return;
      case 'pause':
        this.#viewing.pause(command.args[0] === true);
        return;
      case 'seek':
        this.#viewing.seek();
        return;
      case 'receiveAudio':
        this.#viewing.receive({ audio: command.args[0] !== false });
        return;
      case 'receiveVideo':
        this.#viewing.receive({ video: command.args[0] !== false });
        return;
      case 'FCPublish':
        replies.result(transactionId, null, null);
        // Of those who call themselves FMLE alone: see onBWDone.
        if (this.#connected.isFmle) {
          replies.call('onFCPublish', status('status', 'NetStream.Publish.Start', 'Started publishing stream.'));
        }
        return;
      case 'FCUnpublish':
        this.#stop('the encoder unpublished');
        replies.result(transactionId, null, null);
        replies.call('onFCUnpublish', status('status', 'NetStream.Unpublish.Success', 'Stopped publishing stream.'));
        return;
      case 'deleteStream':
      case 'closeStream':
        this.#stop(`the client sent ${name}`);
        return;
      case 'getStreamLength':
        replies.result(transactionId, null, 0);
        return;
      case 'releaseStream':
      case '_checkbw':
      case 'FCSubscribe':
        replies.result(transactionId, null, null);
        return;
      case 'connect':
        this.#fail('protocol', 'the client sent connect twice');
        return;
      default:
        // Answers to our own calls have names of their own; what wants an answer gets one.
        if (transactionId === 0 || name.startsWith('_') || name.startsWith('on')) return;
        replies.error(transactionId, status('error', 'NetConnection.Call.Failed', 'unknown command'), streamId);
    }
  }

  #connect(command: RtmpCommand): void {
    const object = command.object ?? {};
    const connected = {
      app: text(object['app']),
      tcUrl: text(object['tcUrl']),
      pageUrl: text(object['pageUrl']),
      isFmle: text(object['flashVer']).startsWith('FMLE'),
    };
    const refuse = (description: string, message: string): void => {
      this.#replies.error(command.transactionId, status('error', 'NetConnection.Connect.Rejected', description));
      this.#fail('refused', message);
    };
    if (this.#options.isOverLimit) {
      refuse('this node has all the connections it may have', 'the node has all the connections it may have');
      return;
    }
    const credential = object[RELAY_PROPERTY];
    if (credential !== undefined) {
      const grant = this.#options.relayVerifier?.verify(credential) ?? 'wrong-key';
      if (typeof grant === 'string') {
        refuse('the relay credential is not valid', `the relay credential is not valid: ${grant}`);
        return;
      }
      this.#relay = grant;
      this.#relayClock = clockOf(object[RELAY_CLOCK]);
    } else if (this.#options.gate.vhost(connectHost(connected.tcUrl, connected.app)) === undefined) {
      refuse('there is no such vhost', 'no vhost answers to the host that the client named');
      return;
    }
    this.#connected = connected;
    this.#silence.heard();
    this.#silence.setLimit(this.#options.timeouts.idleMs);
    this.#connection.control(RTMP_WINDOW_ACK_SIZE, encodeU32Payload(WINDOW_ACK_BYTES));
    this.#connection.control(RTMP_SET_PEER_BANDWIDTH, encodeSetPeerBandwidth(WINDOW_ACK_BYTES, PEER_BANDWIDTH_DYNAMIC));
    this.#connection.setOutChunkSize(RTMP_OUT_CHUNK_SIZE);
    const objectEncoding = object['objectEncoding'] === 3 ? 3 : 0;
    this.#capabilities = readCapabilities(object, command.args);
    const enhanced = this.#capabilities.isEnhanced ? serverCapabilities() : {};
    this.#replies.result(
      command.transactionId,
      { fmsVer: 'FMS/3,5,3,888', capabilities: 127, mode: 1, ...enhanced },
      { ...status('status', 'NetConnection.Connect.Success', 'Connection succeeded.'), objectEncoding },
    );
    // As SRS and Flash's own servers do; Flash in a page has a function of that name. Other clients (gortmplib, PRISM) take
    // whatever comes for the answer to their next command, and leave.
    if (connected.pageUrl !== '') this.#connection.command(0, encodeCommand('onBWDone', 0, null));
  }

  /** Waits for an asynchronous answer with the input held; what goes wrong is told to the client and ends it. */
  #begin(work: Promise<void>, failureCode: string): void {
    this.#connection.hold();
    work
      .catch((error: unknown) => {
        const code = error instanceof GateError || error instanceof StreamError ? error.code : undefined;
        if (code === undefined) this.#log.error({ err: error }, 'RTMP session failed by a fault of this program');
        const message = code === undefined ? 'internal error' : (error as Error).message;
        const isBusy = code === 'busy' && failureCode === 'NetStream.Publish.Denied';
        const answer = status('error', isBusy ? 'NetStream.Publish.BadName' : failureCode, message);
        // A node that relays needs to know more than the two words of RTMP.
        this.#replies.status(this.#relay === undefined ? answer : { ...answer, reason: code ?? 'unavailable' });
        this.#fail(code === undefined ? 'internal' : 'refused', message);
      })
      .finally(() => this.#connection.release());
  }

  async #publish(command: RtmpCommand): Promise<void> {
    const { key, info } = this.#ask(command, 'publish');
    // Already now: an encoder that does not wait for its answer may be in the midst of a large key frame.
    this.#connection.setBounds(MEDIA_BOUNDS);
    const publication = await this.#options.gate.publish(key, info, (reason) => this.close(reason));
    if (!this.#connection.isOpen) {
      publication.close('the client went away');
      return;
    }
    this.#publishing.begin(publication, info, this.#relayClock);
    this.#log.info({ ...key, relay: this.#relay?.path }, 'publish began');
    this.#replies.userControl(USER_STREAM_BEGIN);
    this.#replies.status(status('status', 'NetStream.Publish.Start', 'Started publishing stream.'));
  }

  async #play(command: RtmpCommand): Promise<void> {
    const { key, info } = this.#ask(command, 'play');
    const viewing = await this.#options.gate.play(key, info);
    if (!this.#connection.isOpen) {
      viewing.close?.();
      return;
    }
    if (this.#relay !== undefined && viewing.stream.publisher === undefined && !viewing.stream.isHeld) {
      viewing.close?.();
      throw new GateError('not-here', 'the stream ended while it was asked for');
    }
    this.#silence.stop();
    this.#connection.setBounds(PLAY_BOUNDS);
    const { isMultitrack } = this.#capabilities;
    this.#viewing.begin(viewing, { isRelay: this.#relay !== undefined, isMultitrack });
    this.#log.info({ ...key, relay: this.#relay?.path }, 'play began');
  }

  /** Who asks for which stream. Throws GateError. */
  #ask(command: RtmpCommand, action: RelayGrant['action']): { key: StreamKey; info: SessionInfo } {
    const { app, tcUrl, pageUrl } = this.#connected ?? { app: '', tcUrl: '', pageUrl: '' };
    // Who plays and asks to play changes the channel; all streams have one message stream, so there is no second one.
    if (action === 'play' && this.#viewing.isOpen) this.#stop('the client asked for another stream');
    if (this.#publishing.isOpen || this.#viewing.isOpen) {
      throw new GateError('denied', 'one connection publishes or plays one stream at a time');
    }
    const about = { id: this.id, protocol: 'rtmp', ip: this.ip, tcUrl, pageUrl } as const;
    const relay = this.#relay;
    if (relay !== undefined) {
      if (relay.action !== action) throw new GateError('denied', 'the relay credential is for the other direction');
      return { key: relay.key, info: { ...about, param: '', relay: { path: relay.path } } };
    }
    const address = parseStreamAddress(tcUrl, app, text(command.args[0]));
    if (address === undefined)
      throw new GateError('denied', 'the stream has no usable name: addresses are rtmp://<host>/<app>/<stream>');
    const vhost = this.#options.gate.vhost(address.host);
    if (vhost === undefined) throw new GateError('no-vhost', 'no vhost answers to the host that the client named');
    const key = { vhost: vhost.name, app: address.app, stream: address.stream };
    return { key, info: { ...about, param: address.param } };
  }

  /** Ends publish or play, the connection stays; idempotent. */
  #stop(reason: string): void {
    const wasOpen = this.#publishing.isOpen || this.#viewing.isOpen;
    this.#viewing.end(reason);
    this.#publishing.end(reason);
    if (!wasOpen || !this.#connection.isOpen) return;
    this.#connection.setBounds(SETUP_BOUNDS);
    this.#silence.heard();
    this.#silence.setLimit(this.#options.timeouts.idleMs);
  }

  #onSilence(): void {
    const what = this.#publishing.isOpen
      ? 'the encoder sent no media in time'
      : this.#connected !== undefined
        ? 'the client asked for no stream in time'
        : 'the client did not finish its handshake and connect in time';
    this.#fail('timeout', what);
  }

  /** Tells an encoder why; ffmpeg shows it. Players end as if the stream had ended, and other nodes see the end as it is. */
  #onClosing({ message }: SessionEnd): void {
    if (!this.#publishing.isOpen || this.#relay !== undefined) return;
    this.#replies.status(status('error', 'NetConnection.Connect.Closed', message));
  }

  #onEnd(end: SessionEnd): void {
    this.#silence.stop();
    this.#stop(end.message);
    const level = ORDINARY_ENDS.has(end.code) ? 'debug' : 'info';
    this.#log[level](end, 'RTMP connection ended');
    this.#options.onEnd(this, end);
  }

  #fail(code: SessionEnd['code'], message: string): void {
    this.#connection.close({ code, message });
  }
}

function text(value: AmfValue): string {
  return typeof value === 'string' ? value : '';
}

/** A name from outside, for the log. */
function quote(name: string): string {
  return JSON.stringify(name.slice(0, 40));
}
