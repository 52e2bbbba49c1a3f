import type { Stream } from './stream.ts';
import type { StreamDemand } from './stream-demand.ts';
import type { StreamKey } from './stream-key.ts';

export interface StreamRegistryOptions {
  /** Streams at most, those that wait for a publisher included. Default 10,000. */
  readonly maxStreams?: number;
  /** A stream without publisher, player and hold is dropped after this time. Default 10 s. */
  readonly idleMs?: number;
  /** Milliseconds; default Date.now. */
  readonly now?: () => number;
}

/** This process's streams. */
export declare class StreamRegistry {
  constructor(options?: StreamRegistryOptions);
  /** The stream of a key, made when missing. Throws StreamError `too-many`. */
  open(key: StreamKey): Stream;
  /** The stream of a key, if there is one. */
  get(key: StreamKey): Stream | undefined;
  streams(): Iterable<Stream>;
  /** Who hears of demand; one listener. Streams that are wanted already are told at once. */
  setDemand(demand: StreamDemand | undefined): void;
  /** Closes every publisher and player and drops every stream; idempotent. */
  close(reason: string): void;
}
