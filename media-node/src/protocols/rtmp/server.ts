import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { ConnectionLimit } from '../../lib/connection-limit.ts';
import { BURST_BACKLOG, listen } from '../../lib/listen.ts';
import type { TlsIdentity } from '../../lib/tls-identity.ts';
import type { IgnoredCounts } from '../../formats/flv-tag-body.ts';
import { noIgnored } from '../../formats/flv-tag-body.ts';
import type { Gate } from '../../stream/gate.ts';
import type { RelayVerifier } from './relay-credential.ts';
import { ServerSession, SESSION_TIMEOUTS } from './server-session.ts';
import type { SessionTimeouts } from './server-session.ts';
import type { SessionEndCode } from './session-end.ts';
import { SharedReadSocket } from './shared-read-socket.ts';

/** Connections over the limit that are told so; more are dropped at once. */
const MAX_REFUSALS = 100;

export interface RtmpServerOptions {
  readonly gate: Gate;
  readonly limit: ConnectionLimit;
  readonly log: Logger;
  /** Missing: connections of other nodes are refused. */
  readonly relayVerifier?: RelayVerifier;
  /** Given: listens for RTMPS, RTMP inside TLS, with the certificates that are there when a client comes. */
  readonly tls?: TlsIdentity;
  /** Default SESSION_TIMEOUTS. */
  readonly timeouts?: SessionTimeouts;
}

/** Listens for RTMP, or for RTMPS; owns its sessions. */
export class RtmpServer {
  readonly #options: RtmpServerOptions;
  readonly #server: Server;
  readonly #sessions = new Set<ServerSession>();
  readonly #ends = new Map<SessionEndCode, number>();
  readonly #ignored = noIgnored();
  #accepted = 0;
  #refusals = 0;
  #isClosed = false;

  constructor(options: RtmpServerOptions) {
    this.#options = options;
    // TLS reads by itself; it must not find its socket paused.
    this.#server = createServer({ pauseOnConnect: options.tls === undefined }, (socket) => this.#onSocket(socket));
  }

  /** Begins to listen; resolves with the port, which tells what 0 became. */
  async listen(port: number, host?: string): Promise<number> {
    const opened = await listen(this.#server, { port, host, backlog: BURST_BACKLOG });
    // Accepting can fail for want of file descriptors; the sockets that are there go on.
    this.#server.on('error', (err) => this.#options.log.error({ err }, 'accepting an RTMP connection failed'));
    return opened;
  }

  /** Sessions now. */
  get sessions(): ReadonlySet<ServerSession> {
    return this.#sessions;
  }

  /** Connections so far, how those that are over ended, and what encoders sent that was not carried on. */
  stats(): {
    readonly accepted: number;
    readonly ends: ReadonlyMap<SessionEndCode, number>;
    readonly ignored: Readonly<IgnoredCounts>;
  } {
    return { accepted: this.#accepted, ends: this.#ends, ignored: this.#ignored };
  }

  /** Asks the clients that can to connect anew, as the node will not be here for long. Each is asked once. */
  requestReconnect(): void {
    for (const session of this.#sessions) session.requestReconnect();
  }

  /** Takes no new connections; those that are there go on. Idempotent. */
  stopListening(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
  }

  /** Ends every session and listens no more; idempotent. */
  close(reason: string): void {
    this.stopListening();
    for (const session of this.#sessions) session.close(reason);
  }

  #onSocket(socket: Socket): void {
    const { tls, log } = this.#options;
    if (tls === undefined) {
      this.#accept(SharedReadSocket.takeOver(socket));
      return;
    }
    const { context } = tls;
    if (context !== undefined) {
      this.#accept(secured(socket, tls, context));
      return;
    }
    this.#count('tls');
    log.warn('RTMPS connection refused: the node has no certificate; see the condition CertificatesReady');
    socket.destroy();
  }

  #count(code: SessionEndCode): void {
    this.#ends.set(code, (this.#ends.get(code) ?? 0) + 1);
  }

  /** From here on it is one session, TLS's handshake included: one limit, one timeout, one line at its end. */
  #accept(socket: Socket): void {
    const hasPlace = this.#options.limit.enter();
    if (!hasPlace && this.#refusals >= MAX_REFUSALS) {
      socket.destroy();
      return;
    }
    if (!hasPlace) this.#refusals++;
    this.#accepted++;
    socket.once('close', () => {
      if (hasPlace) this.#options.limit.leave();
      else this.#refusals--;
    });
    const session = new ServerSession(socket, {
      gate: this.#options.gate,
      log: this.#options.log,
      relayVerifier: this.#options.relayVerifier,
      isOverLimit: !hasPlace,
      ignored: this.#ignored,
      timeouts: this.#options.timeouts ?? SESSION_TIMEOUTS,
      onEnd: (ended, { code }) => {
        this.#sessions.delete(ended);
        this.#count(code);
      },
    });
    this.#sessions.add(session);
  }
}

/** The server's side of TLS over a socket; handshakes when the client's first bytes come. */
function secured(socket: Socket, tls: TlsIdentity, secureContext: SecureContext): TLSSocket {
  return new TLSSocket(socket, {
    isServer: true,
    secureContext,
    SNICallback: (name, done) => done(null, tls.contextFor(name)),
  });
}
