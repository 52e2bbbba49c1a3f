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
