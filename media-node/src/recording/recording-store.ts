import type { Patch } from './container.ts';

/** A file that has ended well. */
export interface FinishedFile {
  /** Below the folder or bucket. */
  readonly path: string;
  readonly bytes: number;
}

/** A file that is whole, but perhaps not yet where it is to be. */
export interface EndedFile {
  readonly bytes: number;
  /** Resolves when it can be found; undefined when it never will be by this process. Never rejects. */
  readonly stored: Promise<FinishedFile | undefined>;
}

/** A file that is being written. Its methods are called one after the other. */
export interface OpenRecording {
  /** Where it is to be found, below the folder or bucket. */
  readonly path: string;
  /** Bytes so far. */
  readonly bytes: number;
  /** Appends whole units. Rejects with RecordingError; what was appended before stays. */
  append(units: readonly Buffer[]): Promise<void>;
  /**
   * Ends it. `patch` replaces bytes of the first append. Rejects with RecordingError: then it is found and finished at the
   * next start. Nothing may be called afterwards.
   */
  finish(patch: Patch | undefined): Promise<EndedFile>;
}

/** Where recordings go. */
export interface RecordingStore {
  /** Begins a file at `path`, or with a number where there is one already. Rejects with RecordingError. */
  create(path: string): Promise<OpenRecording>;
  /** Finishes what processes left that are dead; those of this one are not touched. Never rejects. */
  recover(): Promise<void>;
  /** Bytes that wait for their upload. */
  readonly waitingBytes: number;
  /** Ends what goes on by itself, such as uploads, within `mostMs`; idempotent. After the last file has finished. */
  close(mostMs: number): Promise<void>;
}

/** A file's end, for whoever is told of recordings. */
export interface StoredFile extends FinishedFile {
  /** It was left by a process that is dead: nothing more is known of it. */
  readonly isRecovered: boolean;
}
