import { HttpError } from '../http/http-error.ts';
import { PackagingError } from '../packaging/packaged-stream.ts';
import { StreamError } from '../stream/errors.ts';
import type { GateCode } from '../stream/gate.ts';
import { GateError } from '../stream/gate.ts';

const STATUS: Record<GateCode, number> = {
  'no-vhost': 404,
  busy: 409,
  denied: 403,
  limit: 503,
  'not-here': 404,
  draining: 503,
  unavailable: 503,
};

/** What a refusal of the gate, the hub or the packaging is over HTTP; other errors as they are. */
export function httpRefusal(error: unknown): unknown {
  if (error instanceof GateError) {
    const status = STATUS[error.code];
    return new HttpError(status, error.message, { cause: error, ...(status === 503 && { retryAfterS: 1 }) });
  }
  if (error instanceof StreamError || error instanceof PackagingError) {
    return new HttpError(503, error.message, { cause: error, retryAfterS: 1 });
  }
  return error;
}
