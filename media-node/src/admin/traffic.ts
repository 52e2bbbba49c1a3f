import type { Visitor } from '../packaging/viewer-sessions.ts';
import type { Playback } from '../stream/player.ts';
import type { Publisher } from '../stream/publisher.ts';
import type { Stream } from '../stream/stream.ts';
import type { StreamStats } from '../stream/stream-stats.ts';
import type { Kbps } from './rate-window.ts';
import { RateWindow, SAMPLE_MS } from './rate-window.ts';

/** Bytes since the start and the rate over 30 s, in the API's words. */
export interface TrafficFigures {
  readonly recv_bytes: number;
  readonly send_bytes: number;
  readonly kbps: Kbps;
}

export interface TrafficOptions {
  readonly streams: () => Iterable<Stream>;
  /** Viewers without a connection; default none. */
  readonly visitors?: () => Iterable<Visitor>;
  /** Told the ids of the sessions there are, after each sample. */
  readonly onSessions?: (present: ReadonlySet<string>) => void;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** Sessions read in one turn of the event loop: some hundred microseconds. */
const SESSIONS_A_TURN = 250;

/** Sums over streams, those that are gone included. */
interface Total {
  recvBytes: number;
  sendBytes: number;
  readonly window: RateWindow;
}

/**
 * Rates of streams, sessions, vhosts and the node. Every few seconds the counts that the hub keeps anyway are read; frames
 * and flushes know nothing of it.
 */
export class Traffic {
  readonly #options: TrafficOptions;
  readonly #now: () => number;
  /** Of streams, playbacks and publishers. */
  readonly #windows = new WeakMap<object, RateWindow>();
  readonly #taken = new WeakMap<Stream, { recvBytes: number; sendBytes: number }>();
  /** By the Vhost's name, so there are no more than Vhosts have been. */
  readonly #vhosts = new Map<string, Total>();
  readonly #node: Total;
  readonly #timer: NodeJS.Timeout;
  #isSampling = false;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#node = { recvBytes: 0, sendBytes: 0, window: new RateWindow(this.#now()) };
    this.#timer = setInterval(() => this.#sampleInTurns(), SAMPLE_MS);
    this.#timer.unref();
  }

  /** Idempotent. */
  close(): void {
    clearInterval(this.#timer);
  }

  /** Sets a mark for everything. */
  sample(): void {
    const steps = this.#steps();
    while (steps.next().done !== true);
  }

  /** The same in small pieces, with the event loop's other work between them. */
  #sampleInTurns(): void {
    if (this.#isSampling) return;
    this.#isSampling = true;
    const steps = this.#steps();
    const step = (): void => {
      if (steps.next().done !== true) setImmediate(step);
      else this.#isSampling = false;
    };
    step();
  }

  *#steps(): Generator<void, void> {
    const nowMs = this.#now();
    const present = new Set<string>();
    let work = 0;
    for (const stream of this.#options.streams()) {
      const { bytesIn, bytesOut } = this.#take(stream);
      this.#window(stream, stream.publishedAtMs ?? nowMs).mark(nowMs, bytesIn, bytesOut);
      const { publisher } = stream;
      if (publisher !== undefined) {
        present.add(publisher.id);
        this.#window(publisher, stream.publishedAtMs ?? nowMs).mark(nowMs, publisher.bytesIn, 0);
      }
      for (const playback of stream.playbacks()) {
        present.add(playback.player.id);
        this.#window(playback, playback.startedAtMs).mark(this.#now(), 0, playback.stats().bytesOut);
        if (++work % SESSIONS_A_TURN === 0) yield;
      }
      if (++work % SESSIONS_A_TURN === 0) yield;
    }
    for (const visitor of this.#options.visitors?.() ?? []) {
      present.add(visitor.id);
      this.#window(visitor, visitor.startedAtMs).mark(this.#now(), 0, visitor.bytesOut);
      if (++work % SESSIONS_A_TURN === 0) yield;
    }
    for (const total of [this.#node, ...this.#vhosts.values()]) {
      total.window.mark(this.#now(), total.recvBytes, total.sendBytes);
    }
    this.#options.onSessions?.(present);
  }

  stream(stream: Stream, stats: StreamStats = stream.stats()): TrafficFigures {
    return this.#figures(stream, stream.publishedAtMs ?? this.#now(), stats.bytesIn, stats.bytesOut);
  }

  publisher(publisher: Publisher, sinceMs: number): TrafficFigures {
    return this.#figures(publisher, sinceMs, publisher.bytesIn, 0);
  }

  playback(playback: Playback): TrafficFigures {
    return this.#figures(playback, playback.startedAtMs, 0, playback.stats().bytesOut);
  }

  visitor(visitor: Visitor): TrafficFigures {
    return this.#figures(visitor, visitor.startedAtMs, 0, visitor.bytesOut);
  }

  /** Of all streams that the Vhost has had. */
  vhost(name: string): TrafficFigures {
    for (const stream of this.#options.streams()) if (stream.key.vhost === name) this.#take(stream);
    const total = this.#vhosts.get(name);
    return total === undefined ? NOTHING : this.#total(total);
  }

  /** Of all streams that the node has had. */
  node(): TrafficFigures {
    for (const stream of this.#options.streams()) this.#take(stream);
    return this.#total(this.#node);
  }

  /** Adds what a stream has counted since it was last read to the sums. */
  #take(stream: Stream): StreamStats {
    const stats = stream.stats();
    const taken = this.#taken.get(stream) ?? { recvBytes: 0, sendBytes: 0 };
    let vhost = this.#vhosts.get(stream.key.vhost);
    if (vhost === undefined) {
      vhost = { recvBytes: 0, sendBytes: 0, window: new RateWindow(stream.publishedAtMs ?? this.#now()) };
      this.#vhosts.set(stream.key.vhost, vhost);
    }
    for (const total of [vhost, this.#node]) {
      total.recvBytes += stats.bytesIn - taken.recvBytes;
      total.sendBytes += stats.bytesOut - taken.sendBytes;
    }
    this.#taken.set(stream, { recvBytes: stats.bytesIn, sendBytes: stats.bytesOut });
    return stats;
  }

  #total({ recvBytes, sendBytes, window }: Total): TrafficFigures {
    return { recv_bytes: recvBytes, send_bytes: sendBytes, kbps: window.kbps(this.#now(), recvBytes, sendBytes) };
  }

  #figures(of: object, sinceMs: number, recvBytes: number, sendBytes: number): TrafficFigures {
    const kbps = this.#window(of, sinceMs).kbps(this.#now(), recvBytes, sendBytes);
    return { recv_bytes: recvBytes, send_bytes: sendBytes, kbps };
  }

  #window(of: object, sinceMs: number): RateWindow {
    let window = this.#windows.get(of);
    if (window === undefined) {
      window = new RateWindow(sinceMs);
      this.#windows.set(of, window);
    }
    return window;
  }
}

const NOTHING: TrafficFigures = { recv_bytes: 0, send_bytes: 0, kbps: { recv_30s: 0, send_30s: 0 } };
