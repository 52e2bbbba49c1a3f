import type { MergeWindow } from './merge-window.ts';

/** What a Vhost's `play` says about its streams as a whole. */
export interface StreamRules {
  /** How long bytes are collected until they are written. Changes reach running streams. */
  readonly mwLatency: MergeWindow;
  /**
   * Players get the publisher's own decoding times, jumps and all, instead of times that always go on. In force from
   * the next publisher on.
   */
  readonly atc: boolean;
  /** Audio and video are put in the order of their decoding times. In force from the next publisher on. */
  readonly mixCorrect: boolean;
}

/** Every video frame at once, times that go on. */
export const REALTIME_RULES: StreamRules = { mwLatency: 'realtime', atc: false, mixCorrect: false };
