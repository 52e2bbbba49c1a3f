import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { SourceTap } from './source-tap.ts';

/** Wire protocols of sessions, as metrics label them and SRS's API names them; `ts`, `aac` and `mp3` over HTTP. */
export const PROTOCOLS = ['rtmp', 'flv', 'ts', 'aac', 'mp3', 'hls', 'dash'] as const;
/** By what a session came. */
export type Protocol = (typeof PROTOCOLS)[number];

/** A count for each protocol, from 0. */
export function perProtocol(): Record<Protocol, number> {
  return { rtmp: 0, flv: 0, ts: 0, aac: 0, mp3: 0, hls: 0, dash: 0 };
}

/** The sum of such counts. */
export function allProtocols(counts: Readonly<Record<Protocol, number>>): number {
  return PROTOCOLS.reduce((sum, protocol) => sum + counts[protocol], 0);
}

/** `encoder`: published here, by a client or handed over by an edge. `relay`: fed by another node that has the stream. */
export type PublisherKind = 'encoder' | 'relay';

/** The one source of a stream, as the hub and the API see it. */
export interface Publisher {
  readonly id: string;
  readonly kind: PublisherKind;
  readonly protocol: Protocol;
  readonly ip: string;
  /** URL without the stream, as SRS's API shows it; empty for a relay. */
  readonly tcUrl: string;
  /** Bytes read from its socket since it began. */
  readonly bytesIn: number;
  /**
   * Names the clock of its frames' times, where another node said which it is: a publisher that brings the clock of the one
   * before it goes on where that one was, and what comes a second time is dropped. See Stream.clock.
   */
  readonly clock?: string | undefined;
  /** Missing: its bytes cannot wait, they are taken as they come. */
  readonly tap?: SourceTap | undefined;
  /** Ends the session behind it; idempotent. The hub calls it when another publisher takes the place. */
  close(reason: string): void;
}

/**
 * A publisher's way into its stream, from `Stream.attach`. After it has been replaced or detached every call is
 * ignored, so that a session which is closing needs no checks.
 */
export interface Ingest {
  /** Declares or replaces the track of the track's kind and index; before the first frame that refers to it. */
  track(track: Track): void;
  /** Replaces the stream's metadata. */
  metadata(metadata: Metadata): void;
  /** Hands in a data message beside the media (AMF0, name first) for who plays now; read before it returns. */
  data(amf0: Buffer): void;
  /** Hands in one frame, in decoding order of its track. Synchronous; its bytes are read-only from here on. */
  frame(frame: Frame): void;
  /** Gives the place up; idempotent. Viewers stay and wait for the next publisher. */
  detach(): void;
}
