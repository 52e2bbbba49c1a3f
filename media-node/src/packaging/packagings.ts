import type { Logger } from 'pino';
import type { ConfigStore } from '../config/config-store.ts';
import type { Stream } from '../stream/stream.ts';
import type { SourceListener } from '../stream/stream-observer.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { PackagedStream, PackagedStreams, PackagingLedger } from './packaged-stream.ts';

export interface PackagingsOptions {
  readonly nodeId: string;
  readonly config: ConfigStore;
  readonly ledger: PackagingLedger;
  /** What the cluster's nodes alone know: keys of segments are derived from it. */
  readonly secret: Buffer;
  /** Segments are written below it; left out: they are in memory alone. */
  readonly folder?: string | undefined;
  readonly logger: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** The streams that this node packages: those of encoders that publish on it, where their Vhost says so. */
export class Packagings implements PackagedStreams, SourceListener {
  readonly #options: PackagingsOptions;

  constructor(options: PackagingsOptions) {
    this.#options = options;
  }

  find(key: StreamKey): PackagedStream | undefined {
    void [this.#options, key];
    return undefined;
  }

  onSource(stream: Stream): void {
    void stream;
  }

  onSourceGone(stream: Stream): void {
    void stream;
  }

  /** Ends every packaging; idempotent. */
  close(): void {}
}
