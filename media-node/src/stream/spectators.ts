import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { Protocol } from './publisher.ts';
import { perProtocol } from './publisher.ts';
import type { Attendance, StreamObserver } from './stream-observer.ts';

/** Observers bear so much, unless they say otherwise. */
const MOST_DELAY_MS = 100;

/** Who follows one stream without being its player: observers of its frames, and viewers without a lasting connection. */
export class Spectators {
  /** How much later than they came all observers bear to get frames, in milliseconds; Infinity without any. */
  mostDelayMs = Infinity;
  /** Bytes that attending viewers were sent since the stream was made. */
  bytesOut = 0;
  readonly #observers: StreamObserver[] = [];
  readonly #attending = perProtocol();
  #attendances = 0;
  #isSeam = false;

  get isEmpty(): boolean {
    return this.#observers.length === 0 && this.#attendances === 0;
  }

  /** Those attending now, by protocol; a new object. */
  viewers(): Record<Protocol, number> {
    return { ...this.#attending };
  }

  attend(protocol: Protocol, onLeave: () => void): Attendance {
    this.#attending[protocol]++;
    this.#attendances++;
    let isHere = true;
    return {
      sent: (bytes) => {
        this.bytesOut += bytes;
      },
      leave: () => {
        if (!isHere) return;
        isHere = false;
        this.#attending[protocol]--;
        this.#attendances--;
        onLeave();
      },
    };
  }

  observe(observer: StreamObserver, onLeave: () => void): () => void {
    this.#observers.push(observer);
    this.#updateDelay();
    return () => {
      const index = this.#observers.indexOf(observer);
      if (index < 0) return;
      this.#observers.splice(index, 1);
      this.#updateDelay();
      onLeave();
    };
  }

  /** The next frame comes after a seam. */
  seam(): void {
    this.#isSeam = true;
  }

  tracks(tracks: readonly Track[]): void {
    for (const observer of this.#observers) observer.onTracks(tracks);
  }

  metadata(metadata: Metadata): void {
    for (const observer of this.#observers) observer.onMetadata(metadata);
  }

  /** `timeMs`: its decoding time on the timeline, which `frame` does not tell where players get the publisher's own. */
  frame(frame: Frame, timeMs: number): void {
    const isSeam = this.#isSeam;
    this.#isSeam = false;
    if (this.#observers.length === 0) return;
    const timed =
      timeMs === frame.dtsMs
        ? frame
        : {
            track: frame.track,
            dtsMs: timeMs,
            ptsMs: frame.ptsMs - frame.dtsMs + timeMs,
            isKey: frame.isKey,
            data: frame.data,
          };
    for (const observer of this.#observers) {
      if (isSeam) observer.onSeam();
      observer.onFrame(timed);
    }
  }

  /** Forgets everybody; idempotent. */
  close(): void {
    this.#observers.length = 0;
    this.#updateDelay();
  }

  #updateDelay(): void {
    this.mostDelayMs = Math.min(...this.#observers.map(({ mostDelayMs }) => mostDelayMs ?? MOST_DELAY_MS));
  }
}
