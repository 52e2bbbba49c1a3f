import { FlvDemuxer } from '../../formats/flv-demuxer.ts';
import type { IgnoredCounts } from '../../formats/flv-tag-body.ts';
import { splitAggregate } from '../../formats/rtmp-aggregate.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import { RTMP_AGGREGATE, RTMP_AUDIO, RTMP_DATA, RTMP_DATA_AMF3, RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { StreamClock } from '../../media/stream-clock.ts';
import type { Ingest, Publisher, PublisherKind } from '../../stream/publisher.ts';
import type { SourceTap } from '../../stream/source-tap.ts';
import type { Stream } from '../../stream/stream.ts';

export interface RtmpPublisherOptions {
  readonly id: string;
  readonly kind: PublisherKind;
  readonly ip: string;
  readonly tcUrl: string;
  /** See Publisher.clock. */
  readonly clock?: string | undefined;
  readonly tap: SourceTap | undefined;
  bytesIn(): number;
  /** Ends the session behind it. */
  close(reason: string): void;
  /** Counts what is not carried on; may be shared by many publishers. */
  readonly ignored?: IgnoredCounts;
  /** Something the encoder sends is not carried on; once for each reason. */
  onIgnored(reason: string): void;
}

/** Feeds a stream from RTMP messages, of an encoder's session or of a pull from another node. */
export class RtmpPublisher implements Publisher {
  readonly id: string;
  readonly kind: PublisherKind;
  readonly protocol = 'rtmp';
  readonly ip: string;
  readonly tcUrl: string;
  readonly clock: string | undefined;
  readonly tap: SourceTap | undefined;
  /** Frames handed to the stream. */
  frames = 0;
  readonly #options: RtmpPublisherOptions;
  readonly #ingest: Ingest;
  readonly #demuxer: FlvDemuxer;

  /** Attaches to the stream: throws StreamError. */
  constructor(stream: Stream, options: RtmpPublisherOptions) {
    this.id = options.id;
    this.kind = options.kind;
    this.ip = options.ip;
    this.tcUrl = options.tcUrl;
    this.clock = options.clock;
    this.tap = options.tap;
    this.#options = options;
    const ingest = stream.attach(this);
    this.#ingest = ingest;
    let trackId = 0;
    this.#demuxer = new FlvDemuxer(
      {
        onTrack: (track) => ingest.track(track),
        onFrame: (frame) => {
          this.frames++;
          ingest.frame(frame);
        },
        onMetadata: (metadata) => ingest.metadata(metadata),
        onData: (amf0) => ingest.data(amf0),
        onIgnored: (reason) => options.onIgnored(reason),
      },
      new StreamClock(),
      () => ++trackId,
      options.ignored,
    );
  }

  get bytesIn(): number {
    return this.#options.bytesIn();
  }

  /** Takes one message; true when it was media or data. Throws FormatError. */
  push(message: RtmpMessage): boolean {
    switch (message.type) {
      case RTMP_AUDIO:
      case RTMP_VIDEO:
      case RTMP_DATA:
      case RTMP_DATA_AMF3:
        this.#demuxer.push(message.type, message.timestampMs, message.payload);
        return true;
      case RTMP_AGGREGATE:
        splitAggregate(message, (part) => this.#demuxer.push(part.type, part.timestampMs, part.payload));
        return true;
      default:
        return false;
    }
  }

  close(reason: string): void {
    this.#options.close(reason);
  }

  /** Gives the stream up; idempotent. */
  detach(): void {
    this.#ingest.detach();
  }
}
