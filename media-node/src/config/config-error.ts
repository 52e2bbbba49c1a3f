/** What is wrong with a configuration that was refused. */
export type ConfigErrorCode =
  | 'not-json' // the text is no JSON document
  | 'invalid' // a field is missing, unknown or out of range
  | 'conflict' // two vhosts claim one name or one host
  | 'unreadable' // a file of the configuration folder is missing or cannot be read
  | 'bad-secret'; // a file of the configuration folder holds no usable key, token or address

/** A configuration was refused; the message names each faulty field. It never quotes values: they may be secrets later. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code: ConfigErrorCode;
  constructor(code: ConfigErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
