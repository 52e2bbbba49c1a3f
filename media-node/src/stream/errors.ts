/**
 * What the hub refuses: `busy` an encoder is attached and a relay asked to publish, `too-many` the registry is full of
 * streams in use, `closed` the stream was dropped as idle between being handed out and being used.
 */
export type StreamErrorCode = 'busy' | 'too-many' | 'closed';

/** What a stream or its registry does not take. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: StreamErrorCode;
  constructor(code: StreamErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
