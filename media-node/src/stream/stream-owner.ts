import type { SendToAll } from '../lib/send-to-all.ts';
import type { DrawClock } from './draw-clock.ts';
import type { FlushPolicy } from './flush-policy.ts';
import type { StreamRules } from './stream-rules.ts';
import type { Stream } from './stream.ts';

/** What a stream needs of its registry. */
export interface StreamOwner {
  readonly flushPolicy: FlushPolicy;
  /** Undefined where each player is written to by itself. */
  readonly sendToAll: SendToAll | undefined;
  /** The process's clock for sources that wait. */
  readonly drawClock: DrawClock;
  /** The rules of a Vhost now. */
  rules(vhost: string): StreamRules;
  /** The window of `mwLatency: auto` now, in milliseconds. */
  autoWindowMs(): number;
  /** Milliseconds since 1970. */
  now(): number;
  /** The stream became idle, or is in use again: see Stream.isIdle. */
  onIdle(stream: Stream): void;
  onUsed(stream: Stream): void;
  onWanted(stream: Stream): void;
  onUnwanted(stream: Stream): void;
  /** See SourceListener. */
  onSource(stream: Stream): void;
  onSourceGone(stream: Stream): void;
}
