import type { Frame, Metadata } from './frame.ts';
import type { Track } from './track.ts';

/**
 * Where a demuxer puts what it finds, synchronously and in the order of the wire. A track comes before its first frame;
 * a track whose configuration changes comes again as a new object with a new id, a repeated configuration does not.
 */
export interface MediaSink {
  onTrack(track: Track): void;
  onFrame(frame: Frame): void;
  onMetadata(metadata: Metadata): void;
  /** A data message beside the media, such as onTextData or onCuePoint: its AMF0, name first. Left out: not carried on. */
  onData?(amf0: Buffer): void;
  /** Something lawful that is not carried on, such as a codec no player knows; at most once for each reason. */
  onIgnored(reason: string): void;
}
