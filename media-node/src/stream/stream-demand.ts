import type { Stream } from './stream.ts';

/**
 * Told when a stream has players but no encoder here, and when that ends: the last player left, or an encoder came.
 * The cluster's relay listens: it fetches a wanted stream from its owner and attaches as a `relay` publisher. An encoder
 * that attaches closes the relay publisher first. Calls alternate for each stream, beginning with onWanted.
 */
export interface StreamDemand {
  onWanted(stream: Stream): void;
  onUnwanted(stream: Stream): void;
}
