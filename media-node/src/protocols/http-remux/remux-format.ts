import { Adts } from '../../formats/adts.ts';
import { TsMuxer } from '../../formats/mpegts-muxer.ts';
import { FormatError } from '../../lib/format-error.ts';
import type { Track } from '../../media/track.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import { AacEncoder, MP3_ENCODER } from './audio-encoders.ts';
import { ChunkedEncoder } from './chunked-encoder.ts';
import { FLV_ENCODER } from './flv-encoder.ts';
import type { OnLeftOut } from './left-out.ts';
import { TsEncoder } from './ts-encoder.ts';

/** The endings of addresses, which are the names of their protocols too. */
export type RemuxName = 'flv' | 'ts' | 'aac' | 'mp3';

/** A format in which streams are played as an endless file. */
export interface RemuxFormat {
  readonly name: RemuxName;
  readonly contentType: string;
  /** As bytes, for HTTP/1.0, and each frame in a chunk of its own. */
  readonly plain: FrameEncoder;
  readonly chunked: FrameEncoder;
  /** Why a stream of these tracks cannot be had so; undefined where it can. Left out: it carries whatever comes. */
  readonly fault?: (tracks: readonly Track[]) => string | undefined;
}

/** `onLeftOut` is told once for each stream and format. */
export function remuxFormats(onLeftOut: OnLeftOut): readonly RemuxFormat[] {
  return [
    formatOf('flv', 'video/x-flv', FLV_ENCODER),
    formatOf('ts', 'video/mp2t', new TsEncoder(onLeftOut), tsFault),
    formatOf('aac', 'audio/aac', new AacEncoder(onLeftOut), aacFault),
    formatOf('mp3', 'audio/mpeg', MP3_ENCODER, (tracks) => audioFault(tracks, 'mp3')),
  ];
}

function formatOf(
  name: RemuxName,
  contentType: string,
  plain: FrameEncoder,
  fault?: RemuxFormat['fault'],
): RemuxFormat {
  const chunked = new ChunkedEncoder(plain);
  return { name, contentType, plain, chunked, ...(fault !== undefined && { fault }) };
}

function tsFault(tracks: readonly Track[]): string | undefined {
  if (tracks.some((track) => TsMuxer.carries(track))) return undefined;
  const codecs = tracks.map(({ codec }) => codec).join(' and ');
  return `this stream is ${codecs}, which MPEG-TS does not carry: ask for .flv`;
}

function audioFault(tracks: readonly Track[], codec: 'aac' | 'mp3'): string | undefined {
  const audio = tracks.find(({ kind }) => kind === 'audio');
  if (audio === undefined) return 'this stream has no audio';
  return audio.codec === codec ? undefined : `the audio of this stream is ${audio.codec}, not ${codec}`;
}

function aacFault(tracks: readonly Track[]): string | undefined {
  const fault = audioFault(tracks, 'aac');
  if (fault !== undefined) return fault;
  const track = tracks.find(({ codec }) => codec === 'aac')!;
  try {
    // Read for its error alone.
    void new Adts(track);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return `the audio of this stream does not fit .aac: ${error.message}`;
    throw error;
  }
}
