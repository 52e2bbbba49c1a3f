import { EMPTY } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { Frame } from '../media/frame.ts';
import type { AudioTrack, Track } from '../media/track.ts';
import { ADTS_HEADER_BYTES, Adts } from './adts.ts';
import { AnnexB } from './annexb.ts';

/** Turns frames of one track into the bytes that its PES packets hold. Pure. */
export interface ElementaryWriter {
  /** Bytes that `write` will write; 0: there is nothing to carry. Throws FormatError 'nal' or 'frame'. */
  measure(frame: Frame): number;
  /** Writes a frame that has been measured; returns the offset after it. */
  write(frame: Frame, out: Buffer, offset: number): number;
}

/** How MPEG-TS carries a track. */
export interface Elementary {
  /** ISO/IEC 13818-1 table 2-34. */
  readonly streamType: number;
  /** ISO/IEC 13818-1 table 2-22. */
  readonly streamId: number;
  /** Of the program map's entry. */
  readonly descriptors: Buffer;
  readonly writer: ElementaryWriter;
}

/** Of every video stream, in its upper four bits. */
export const STREAM_ID_VIDEO = 0xe0;
const STREAM_ID_AUDIO = 0xc0;
const STREAM_ID_PRIVATE_1 = 0xbd;

const STREAM_TYPE_MPEG1_AUDIO = 0x03;
const STREAM_TYPE_MPEG2_AUDIO = 0x04;
const STREAM_TYPE_PRIVATE = 0x06;
const STREAM_TYPE_ADTS = 0x0f;
const STREAM_TYPE_AVC = 0x1b;
const STREAM_TYPE_HEVC = 0x24;
const STREAM_TYPE_AC3 = 0x81; // ATSC A/53 part 3 §6.7.1
const STREAM_TYPE_EAC3 = 0x87; // ATSC A/52 annex G §3.1

/** ISO/IEC 13818-1 §2.6.8: a registration_descriptor. */
const registration = (format: string): Buffer => Buffer.from(`\x05\x04${format}`, 'latin1');

/**
 * How a track is carried; undefined for codecs without a mapping that players agree on (AV1: a draft that ffmpeg does not
 * read; VP9, FLAC, G.711, Speex: none) and for configurations that their mapping cannot tell.
 */
export function elementaryOf(track: Track): Elementary | undefined {
  switch (track.codec) {
    case 'h264':
      return { streamType: STREAM_TYPE_AVC, streamId: STREAM_ID_VIDEO, descriptors: EMPTY, writer: new AnnexB(track) };
    case 'hevc': {
      const descriptors = registration('HEVC');
      return { streamType: STREAM_TYPE_HEVC, streamId: STREAM_ID_VIDEO, descriptors, writer: new AnnexB(track) };
    }
    case 'aac': {
      const writer = adtsWriter(new Adts(track));
      return { streamType: STREAM_TYPE_ADTS, streamId: STREAM_ID_AUDIO, descriptors: EMPTY, writer };
    }
    case 'mp3': {
      // Half the sampling rates is MPEG-2 audio (ISO/IEC 13818-3).
      const isHalved = track.sampleRate > 0 && track.sampleRate < 32_000;
      const streamType = isHalved ? STREAM_TYPE_MPEG2_AUDIO : STREAM_TYPE_MPEG1_AUDIO;
      return { streamType, streamId: STREAM_ID_AUDIO, descriptors: EMPTY, writer: AS_IT_IS };
    }
    case 'ac3': {
      const descriptors = registration('AC-3');
      return { streamType: STREAM_TYPE_AC3, streamId: STREAM_ID_PRIVATE_1, descriptors, writer: AS_IT_IS };
    }
    case 'eac3': {
      const descriptors = registration('EAC3');
      return { streamType: STREAM_TYPE_EAC3, streamId: STREAM_ID_PRIVATE_1, descriptors, writer: AS_IT_IS };
    }
    case 'opus': {
      const layout = opusLayout(track);
      if (layout === undefined) return undefined;
      // As ffmpeg, GStreamer and VLC have it: registration, then the extension descriptor 0x80 with the layout.
      const descriptors = Buffer.concat([registration('Opus'), Buffer.from([0x7f, 2, 0x80, layout])]);
      return { streamType: STREAM_TYPE_PRIVATE, streamId: STREAM_ID_PRIVATE_1, descriptors, writer: OPUS };
    }
    default:
      return undefined;
  }
}

/** Frames that hold their own headers. */
const AS_IT_IS: ElementaryWriter = {
  measure: ({ data }) => data.length,
  write: ({ data }, out, offset) => offset + data.copy(out, offset),
};

function adtsWriter(adts: Adts): ElementaryWriter {
  return {
    measure: ({ data }) => (data.length === 0 ? 0 : ADTS_HEADER_BYTES + data.length),
    write: ({ data }, out, offset) => {
      const at = adts.writeHeader(data.length, out, offset);
      return at + data.copy(out, at);
    },
  };
}

/** channel_config_code; undefined for layouts that only a full table could tell. */
function opusLayout({ config, channels }: AudioTrack): number | undefined {
  const family = config.length > 18 ? config[18]! : 0;
  // Mapping families of RFC 7845 §5.1.1: 0 is mono and stereo, 1 the order of Vorbis.
  if (channels === 0) return 2;
  return channels <= (family === 0 ? 2 : family === 1 ? 8 : 0) ? channels : undefined;
}

/** Opus packets behind an opus_control_header: a sync word and the packet's size in bytes of at most 255. */
const OPUS: ElementaryWriter = {
  measure: ({ data }) => {
    if (data.length > 61_440) throw new FormatError('frame', `an Opus packet of ${data.length} bytes`);
    return data.length === 0 ? 0 : 2 + Math.floor(data.length / 255) + 1 + data.length;
  },
  write: ({ data }, out, offset) => {
    let at = offset;
    out[at++] = 0x7f;
    out[at++] = 0xe0;
    let size = data.length;
    for (; size >= 255; size -= 255) out[at++] = 255;
    out[at++] = size;
    return at + data.copy(out, at);
  },
};
