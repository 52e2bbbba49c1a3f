/** Why the admin port or the API refuses a request; each has its HTTP status. */
const ADMIN_ERROR_STATUS = {
  'bad-request': 400,
  unauthorized: 401,
  'not-found': 404,
  'method-not-allowed': 405,
  'too-large': 413,
  'config-refused': 422,
  timeout: 408,
} as const;
export type AdminErrorCode = keyof typeof ADMIN_ERROR_STATUS;

export class AdminRequestError extends Error {
  override readonly name = 'AdminRequestError';
  readonly code: AdminErrorCode;
  constructor(code: AdminErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
  get status(): number {
    return ADMIN_ERROR_STATUS[this.code];
  }
}
