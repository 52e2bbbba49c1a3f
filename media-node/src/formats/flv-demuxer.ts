import type { MediaSink } from '../media/media-sink.ts';
import type { StreamClock } from '../media/stream-clock.ts';

/**
 * Audio, video and data messages of RTMP, or tags of FLV, → tracks, frames, metadata. A frame before its track's
 * configuration is dropped and counted. Of E-RTMP's multitrack messages the first track (id 0) is taken.
 */
export class FlvDemuxer {
  /** `nextTrackId` gives a stream's next track id. */
  constructor(sink: MediaSink, clock: StreamClock, nextTrackId: () => number) {
    void [sink, clock, nextTrackId];
  }
  /** Frames dropped for want of a configuration. */
  get droppedFrames(): number {
    return 0;
  }
  /**
   * Takes one message: type 8, 9, 18 or 15 (data in AMF3 clothes); others are ignored. Frames keep views of `payload`.
   * Throws FormatError 'flv', 'codec-config' or 'amf'.
   */
  push(type: number, timestampMs: number, payload: Buffer): void {
    void [type, timestampMs, payload];
    throw new Error('to come');
  }
}
