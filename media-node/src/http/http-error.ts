/** An answer other than success; thrown by a handler, its message is the body that the client reads. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  /** Seconds after which to try again. */
  readonly retryAfterS: number | undefined;

  constructor(status: number, message: string, options?: ErrorOptions & { readonly retryAfterS?: number }) {
    super(message, options);
    this.status = status;
    this.retryAfterS = options?.retryAfterS;
  }
}
