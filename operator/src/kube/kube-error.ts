/**
 * Why a call failed. By HTTP status: bad-request 400, unauthorized 401, forbidden 403, not-found 404, conflict and
 * already-exists 409, gone 410, invalid 422 (and an apply of a field that the schema
 * does not have), throttled 429, unavailable 5xx. Others: `unavailable` also when the server
 * can't be reached or the connection breaks; `timeout` our own deadline; `aborted` the caller's signal, or a closed
 * client; `bad-response` what came back is not what the API promises; `not-leader` a write stopped by the write guard.
 */
export type KubeErrorCode =
  | 'bad-request'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'already-exists'
  | 'conflict'
  | 'gone'
  | 'invalid'
  | 'throttled'
  | 'unavailable'
  | 'timeout'
  | 'aborted'
  | 'bad-response'
  | 'not-leader';

/** What a KubeError knows beside its code. */
export interface KubeErrorDetails {
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** `reason` of the Status object: `Conflict`, `AlreadyExists`, `Expired` … */
  readonly reason?: string;
  /** How long the server asks to be left alone (Retry-After header or Status details). */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** Every failure of the Kubernetes API, and of the way to it. Messages say the verb, the path and the server's words. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: KubeErrorCode, message: string, details: KubeErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = details.status;
    this.reason = details.reason;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** Whether this is a KubeError with one of these codes: `isKubeError(error, 'not-found', 'gone')`; with none: any. */
export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code));
}

// A Status message can quote a whole object; logs and events need only its beginning.
const LONGEST_MESSAGE = 1024;

/**
 * Makes the error of an answer: `body` is the parsed JSON, a Status (meta/v1) when the API server itself answered.
 * `where` is the verb and the path.
 */
export function errorOfAnswer(where: string, status: number, body: unknown, retryAfterMs?: number): KubeError {
  const answer = isRecord(body) ? body : {};
  const reason = typeof answer['reason'] === 'string' ? answer['reason'] : undefined;
  const said = typeof answer['message'] === 'string' ? answer['message'].slice(0, LONGEST_MESSAGE) : 'no message';
  const details = isRecord(answer['details']) ? answer['details'] : {};
  const seconds = details['retryAfterSeconds'];
  const waitMs = retryAfterMs ?? (typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined);
  const outcome = reason ? `${status} ${reason}` : String(status);
  return new KubeError(codeOf(status, reason, said), `${where} failed with ${outcome}: ${said}`, {
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  });
}

function codeOf(status: number, reason: string | undefined, said: string): KubeErrorCode {
  if (reason === 'Expired' || reason === 'Gone') return 'gone';
  // Server-side apply of a field that the schema does not have: a 500 (Kubernetes 1.34), which no retry mends.
  if (status === 500 && said.includes('field not declared in schema')) return 'invalid';
  switch (status) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'not-found';
    case 409:
      return reason === 'AlreadyExists' ? 'already-exists' : 'conflict';
    case 410:
      return 'gone';
    case 422:
      return 'invalid';
    case 429:
      return 'throttled';
    default:
      if (status >= 500) return 'unavailable';
      return status >= 400 ? 'bad-request' : 'bad-response';
  }
}

/** Whether a parsed JSON value is an object, neither null nor an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
