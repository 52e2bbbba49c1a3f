import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import { ipOf } from '../../http/http-request.ts';
import type { ViewerSessions, Visitor } from '../../packaging/viewer-sessions.ts';
import type { Gate, SessionInfo, Viewing } from '../../stream/gate.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { streamKeyId } from '../../stream/stream-key.ts';
import type { Attendance } from '../../stream/stream-observer.ts';
import { httpRefusal } from '../http-refusal.ts';
import { CONTEXT_LIFE_MS } from './viewer-context.ts';

export interface ViewersOptions {
  readonly gate: Gate;
  readonly sessions: ViewerSessions;
  readonly log: Logger;
  /** Sessions on this node at most, counted here or elsewhere; default 100,000. */
  readonly maxVisits?: number;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** A viewer asks for a playlist or manifest. */
export interface VisitRequest {
  readonly id: string;
  /** The context that says so, for `idOf`; left out, it is read anew each time. */
  readonly token?: string | null;
  readonly protocol: 'hls' | 'dash';
  readonly key: StreamKey;
  readonly request: HttpRequest;
  /** Without another request the viewer has left after so long. */
  readonly keepMs: number;
}

/** How often it is looked who has left. */
const SWEEP_MS = 1_000;
/** A claim is asked for again when so much of it is over. */
const CLAIM_SHARE = 1 / 3;

/**
 * Viewers of segments on this node. One is there from its first request for a playlist until it has asked for none in
 * `keepMs`; it passes the gate and attends its stream as others play it. A session that another node counts is only known.
 *
 * Segments have addresses that all viewers share, so their bytes are put down to the viewer that asked for a playlist on the
 * same connection, else to the one of the same stream that came last from the same address. Behind a proxy these are not
 * always the right one's. Where there is none they are the stream's, by any viewer of it, or nobody's ({@link sentToNobody}).
 */
export class Viewers {
  /** Bytes of streams that no viewer here is known of. */
  sentToNobody = 0;
  readonly #options: ViewersOptions;
  readonly #now: () => number;
  readonly #visits = new Map<string, Visit>();
  readonly #byToken = new Map<string, Visit>();
  /** Those that are counted here, by stream. */
  readonly #byStream = new Map<string, Set<Visit>>();
  readonly #bySocket = new WeakMap<Socket, Visit>();
  /** By address and stream: the one that asked last. */
  readonly #byAddress = new Map<string, Visit>();
  readonly #stopListening: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ViewersOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#stopListening = options.sessions.onEnded((id) => this.#visits.get(id)?.leave('ended by the API'));
  }

  /** Viewers that are counted here. */
  *visitors(): Iterable<Visitor> {
    for (const visits of this.#byStream.values()) yield* visits;
  }

  /** Whose context this is, of those that are here: it was proved when they came. */
  idOf(token: string, key: StreamKey): string | undefined {
    const visit = this.#byToken.get(token);
    return visit?.isOf(key) === true ? visit.id : undefined;
  }

  /**
   * Counts a viewer that asks. Synchronous for one that is known. Throws and rejects with HttpError: 403 where the session was
   * ended, 503 at a limit, whatever the gate says.
   */
  enter({ id, token, protocol, key, request, keepMs }: VisitRequest): void | Promise<void> {
    if (this.#options.sessions.isEnded(id)) {
      throw new HttpError(403, 'this session was ended: ask for the playlist without hls_ctx to begin another one');
    }
    const known = this.#visits.get(id);
    if (known !== undefined) {
      this.#remember(known, request.raw.socket);
      return known.again(keepMs);
    }
    const { maxVisits = 100_000 } = this.#options;
    if (this.#visits.size >= maxVisits) {
      throw new HttpError(503, `this node follows ${maxVisits} viewers, as many as it may; try another or later`, {
        retryAfterS: 1,
      });
    }
    const session: SessionInfo = {
      id,
      protocol,
      ip: request.ip,
      tcUrl: `http://${request.raw.headers.host ?? request.host}/${key.app}`,
      pageUrl: request.raw.headers.referer ?? '',
      param: request.search,
    };
    const visit = new Visit(session, key, this.#owner, keepMs, token ?? undefined);
    this.#visits.set(id, visit);
    if (visit.token !== undefined) this.#byToken.set(visit.token, visit);
    this.#remember(visit, request.raw.socket);
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS).unref();
    return visit.begin();
  }

  /** Says that bytes of a stream were sent on a connection. */
  sent(socket: Socket, key: StreamKey, bytes: number): void {
    if (this.#bySocket.get(socket)?.sent(key, bytes) === true) return;
    if (this.#byStream.size === 0) {
      this.sentToNobody += bytes;
      return;
    }
    const stream = streamKeyId(key);
    const near = this.#byAddress.get(addressId(ipOf(socket), stream));
    if (near?.sent(key, bytes) === true) {
      this.#bySocket.set(socket, near);
      return;
    }
    const [any] = this.#byStream.get(stream) ?? [];
    if (any === undefined) this.sentToNobody += bytes;
    else any.sentToOthers(bytes);
  }

  #remember(visit: Visit, socket: Socket): void {
    this.#bySocket.set(socket, visit);
    this.#byAddress.set(visit.addressId, visit);
  }

  /** Lets those go that have not asked for their time. */
  sweep(): void {
    const nowMs = this.#now();
    for (const visit of this.#visits.values()) {
      if (nowMs - visit.lastMs > visit.keepMs) visit.leave('it asked for nothing any more');
    }
    if (this.#visits.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Every viewer leaves; idempotent. */
  close(reason: string): void {
    this.#stopListening();
    for (const visit of this.#visits.values()) visit.leave(reason);
    this.sweep();
  }

  readonly #owner: VisitOwner = {
    now: () => this.#now(),
    gate: () => this.#options.gate,
    sessions: () => this.#options.sessions,
    counted: (visit, isCounted) => {
      const id = streamKeyId(visit.key);
      const visits = this.#byStream.get(id) ?? new Set();
      if (isCounted) visits.add(visit);
      else visits.delete(visit);
      if (visits.size > 0) this.#byStream.set(id, visits);
      else this.#byStream.delete(id);
      const { id: session, ip } = visit.session;
      const about = { session, protocol: visit.session.protocol, ip, ...visit.key };
      if (isCounted) this.#options.log.info(about, 'play began');
      else this.#options.log.info({ ...about, reason: visit.endReason, bytesOut: visit.bytesOut }, 'play ended');
    },
    left: (visit) => {
      if (this.#visits.get(visit.id) === visit) this.#visits.delete(visit.id);
      if (visit.token !== undefined && this.#byToken.get(visit.token) === visit) this.#byToken.delete(visit.token);
      if (this.#byAddress.get(visit.addressId) === visit) this.#byAddress.delete(visit.addressId);
    },
  };
}

/** What a visit needs of the table it is in. */
interface VisitOwner {
  now(): number;
  gate(): Gate;
  sessions(): ViewerSessions;
  counted(visit: Visit, isCounted: boolean): void;
  left(visit: Visit): void;
}

/** One session on this node. */
class Visit implements Visitor {
  readonly session: SessionInfo;
  readonly key: StreamKey;
  readonly startedAtMs: number;
  readonly addressId: string;
  readonly token: string | undefined;
  readonly #owner: VisitOwner;
  bytesOut = 0;
  lastMs: number;
  keepMs: number;
  endReason: string | undefined;
  /** When the claim was asked for last. */
  #claimMs: number;
  /** While the first request, or a claim after it, is under way. */
  #pending: Promise<void> | undefined;
  #hasBegun = false;
  #isOver = false;
  #viewing: Viewing | undefined;
  #attendance: Attendance | undefined;

  constructor(session: SessionInfo, key: StreamKey, owner: VisitOwner, keepMs: number, token?: string) {
    this.session = session;
    this.key = key;
    this.addressId = addressId(session.ip, streamKeyId(key));
    this.token = token;
    this.#owner = owner;
    this.keepMs = keepMs;
    this.startedAtMs = owner.now();
    this.lastMs = this.startedAtMs;
    this.#claimMs = this.startedAtMs;
  }

  get id(): string {
    return this.session.id;
  }

  get stream(): Viewing['stream'] {
    if (this.#viewing === undefined) throw new Error('a viewer that is not counted here was listed');
    return this.#viewing.stream;
  }

  isOf({ stream, app, vhost }: StreamKey): boolean {
    return this.key.stream === stream && this.key.app === app && this.key.vhost === vhost;
  }

  /** The first request: resolves when the viewer may have its playlist. Rejects with HttpError. */
  begin(): Promise<void> {
    this.#pending = this.#begin().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  async #begin(): Promise<void> {
    try {
      await this.#claim();
      this.#hasBegun = true;
    } catch (error) {
      this.leave('refused');
      throw httpRefusal(error);
    }
  }

  /** A further request. */
  again(keepMs: number): void | Promise<void> {
    const nowMs = this.#owner.now();
    this.lastMs = nowMs;
    this.keepMs = keepMs;
    if (!this.#hasBegun) return this.#pending;
    if (nowMs - this.#claimMs < keepMs * CLAIM_SHARE || this.#pending !== undefined) return;
    this.#claimMs = nowMs;
    this.#pending = this.#claim()
      // The one that comes from another node and is refused here is not thrown out for it.
      .catch(() => undefined)
      .finally(() => (this.#pending = undefined));
  }

  /** False where the bytes are not of its stream, or it is not counted here. */
  sent(key: StreamKey, bytes: number): boolean {
    if (this.#attendance === undefined || !this.isOf(key)) return false;
    this.bytesOut += bytes;
    this.#attendance.sent(bytes);
    return true;
  }

  sentToOthers(bytes: number): void {
    this.#attendance?.sent(bytes);
  }

  /** Asks to be the node that counts it, and counts it or no longer. */
  async #claim(): Promise<void> {
    const isOurs = await this.#owner.sessions().claim(this.id, this.keepMs);
    if (this.#isOver) return this.#release();
    if (!isOurs) return this.#uncount();
    if (this.#viewing !== undefined) return;
    const viewing = await this.#owner.gate().play(this.key, this.session);
    if (this.#isOver) {
      viewing.close?.();
      return this.#release();
    }
    try {
      this.#attendance = viewing.stream.attend(this.session.protocol);
    } catch (error) {
      viewing.close?.();
      throw error;
    }
    this.#viewing = viewing;
    this.#owner.counted(this, true);
  }

  #uncount(): void {
    if (this.#viewing === undefined) return;
    this.endReason ??= 'another node has it';
    this.#owner.counted(this, false);
    this.endReason = undefined;
    this.#attendance?.leave();
    this.#attendance = undefined;
    this.#viewing.close?.();
    this.#viewing = undefined;
  }

  #release(): void {
    this.#owner.sessions().release(this.id);
  }

  /** Gives its place up on this node; idempotent. */
  leave(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.endReason = reason;
    this.#owner.left(this);
    this.#uncount();
    this.#release();
  }

  close(reason: string): void {
    this.#owner.sessions().end(this.id, CONTEXT_LIFE_MS);
    this.leave(reason);
  }
}

function addressId(ip: string, stream: string): string {
  return `${ip} ${stream}`;
}
