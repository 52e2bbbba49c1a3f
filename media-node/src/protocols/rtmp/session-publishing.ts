import type { Logger } from 'pino';
import type { IgnoredCounts } from '../../formats/flv-tag-body.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import type { Publication, SessionInfo } from '../../stream/gate.ts';
import type { RtmpConnection } from './connection.ts';
import { RtmpPublisher } from './rtmp-publisher.ts';
import type { SilenceTimer } from './silence-timer.ts';

/** The session that publishes. */
export interface SessionPublishingOptions {
  readonly connection: RtmpConnection;
  readonly silence: SilenceTimer;
  readonly ignored: IgnoredCounts | undefined;
  readonly log: Logger;
  /** Ends the session. */
  close(reason: string): void;
}

/** A client's publish of a stream, from the gate's word to its end, any number of times one after the other. */
export class SessionPublishing {
  readonly #options: SessionPublishingOptions;
  #publication: Publication | undefined;
  #publisher: RtmpPublisher | undefined;
  /** Of the connection when this publish began. */
  #bytesBefore = 0;

  constructor(options: SessionPublishingOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#publication !== undefined;
  }

  get #bytesRead(): number {
    return this.#options.connection.bytesRead - this.#bytesBefore;
  }

  /**
   * Publishes by the right that the gate has given; it owns that from here on. `clock`: see Publisher. Throws StreamError.
   */
  begin(publication: Publication, { id, ip, tcUrl }: SessionInfo, clock: string | undefined): void {
    const { connection, silence, ignored, log } = this.#options;
    this.#publication = publication;
    this.#bytesBefore = connection.bytesRead;
    connection.expectMedia();
    this.#publisher = new RtmpPublisher(publication.stream, {
      id,
      kind: 'encoder',
      ip,
      tcUrl,
      clock,
      tap: connection.tap,
      bytesIn: () => this.#bytesRead,
      close: (reason) => this.#options.close(reason),
      ...(ignored === undefined ? {} : { ignored }),
      onIgnored: (reason) => log.warn({ reason }, 'part of the published media is not carried on'),
    });
    silence.heard();
    silence.setLimit(publication.vhost.publish.firstPacketTimeoutMs);
  }

  /** Takes a message that is no command. Throws FormatError. */
  push(message: RtmpMessage): void {
    const publisher = this.#publisher;
    const publication = this.#publication;
    if (publisher === undefined || publication === undefined || !publisher.push(message)) return;
    const { silence } = this.#options;
    silence.heard();
    if (publisher.frames > 0) silence.setLimit(publication.vhost.publish.idleTimeoutMs);
  }

  /** Ends the publish, if there is one; idempotent. */
  end(reason: string): void {
    const publication = this.#publication;
    const publisher = this.#publisher;
    if (publication === undefined) return;
    this.#publication = undefined;
    this.#publisher = undefined;
    // First the stream, then the right to it: the next holder must not meet this publisher.
    publisher?.detach();
    publication.close(reason);
    this.#options.log.info({ reason, frames: publisher?.frames, bytesRead: this.#bytesRead }, 'publish ended');
  }
}
