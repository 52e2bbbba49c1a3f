/**
 * Where the bytes of a publisher come from, if they can wait there: its socket. Shut, they cost nobody a wake-up until they
 * are drawn. A tap is open at first.
 */
export interface SourceTap {
  /** Bytes are taken as they come, those that wait at once. Idempotent. */
  open(): void;
  /** Bytes wait from now on. Idempotent. */
  shut(): void;
  /**
   * Takes what waits while it is shut: its frames reach the stream before this returns. Answers how many bytes that were, 0
   * also where there is nothing more to come: what there is to say of that comes when the tap is open again.
   */
  draw(): number;
}
