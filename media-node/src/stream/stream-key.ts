/** Names one stream in a cluster. `vhost` is the resolved Vhost's name, never a host that a client sent. */
export interface StreamKey {
  readonly vhost: string;
  /** May hold `/`, as in `live/eu`. */
  readonly app: string;
  readonly stream: string;
}

/** The key as one string, each part percent-encoded so that an app with `/` stays one part. */
export function streamKeyId(key: StreamKey): string {
  return `${encodeURIComponent(key.vhost)}/${encodeURIComponent(key.app)}/${encodeURIComponent(key.stream)}`;
}

/** Names go into the directory's keys, logs and file paths. */
const MAX_NAME_LENGTH = 512;

/** Whether a client's app or stream name may be used: not empty, not too long, without control characters. */
export function isStreamName(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return text !== '' && text.length <= MAX_NAME_LENGTH && !/[\u0000-\u001f\u007f]/.test(text);
}
