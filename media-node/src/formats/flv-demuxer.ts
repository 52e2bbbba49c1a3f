import { EMPTY } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { type AudioInfo, parseAc3Header, parseMpegAudioHeader, withFlacMarker } from '../media/codecs/audio-headers.ts';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { MediaSink } from '../media/media-sink.ts';
import type { StreamClock } from '../media/stream-clock.ts';
import type { AudioTrack, Track, VideoTrack } from '../media/track.ts';
import { MOST_TRACKS } from '../media/track.ts';
import { Amf0Decoder, isAmfObject } from './amf0.ts';
import { FLV_TAG_AUDIO, FLV_TAG_SCRIPT, FLV_TAG_VIDEO } from './flv-file.ts';
import type { IgnoredCounts, IgnoredKind } from './flv-tag-body.ts';
import {
  TagBody,
  TOO_MANY_TRACKS,
  noIgnored,
  parseAudioBody,
  parseNextAudio,
  parseNextVideo,
  parseVideoBody,
} from './flv-tag-body.ts';
import { amf0Part } from './rtmp-command.ts';
import { RTMP_DATA_AMF3 } from './rtmp-message.ts';

/** Larger data messages are not carried on: every viewer would get them, and metadata with its header. */
const MAX_DATA_BYTES = 256 * 1024;

/** Data messages that are between an encoder and its server, or between a server and Flash, and tell players nothing. */
const NOT_FOR_PLAYERS = /^(@|\||onStatus$)/;

/** Further tracks: the first of each kind always has its place. */
const MOST_FURTHER = MOST_TRACKS - 2;
/** Configurations of further tracks; every viewer that joins gets them all. */
const MAX_FURTHER_CONFIG_BYTES = 64 * 1024;

/** Codecs whose frames need no configuration: the track comes with the first frame. */
const BARE_CODECS = new Set(['mp3', 'pcma', 'pcmu', 'speex', 'ac3', 'eac3', 'opus']);

/**
 * Audio, video and data messages of RTMP, or tags of FLV, → tracks, frames, metadata. A frame before its track's
 * configuration is dropped and counted. Of E-RTMP's multitrack messages the tracks with id 0 are those of plain messages, the
 * others are further tracks (Track.index).
 */
export class FlvDemuxer {
  readonly #sink: MediaSink;
  readonly #clock: StreamClock;
  readonly #nextTrackId: () => number;
  readonly #body = new TagBody();
  readonly #ignored = new Set<string>();
  /** By trackId. */
  readonly #videos: (VideoTrack | undefined)[] = [];
  readonly #audios: (AudioTrack | undefined)[] = [];
  #further = 0;
  readonly #counts: IgnoredCounts;

  /** `nextTrackId` gives a stream's next track id; `counts` may be shared by several demuxers. */
  constructor(sink: MediaSink, clock: StreamClock, nextTrackId: () => number, counts: IgnoredCounts = noIgnored()) {
    this.#sink = sink;
    this.#clock = clock;
    this.#nextTrackId = nextTrackId;
    this.#counts = counts;
  }

  /** What was not carried on. */
  get ignored(): Readonly<IgnoredCounts> {
    return this.#counts;
  }

  /**
   * Takes one message: type 8, 9, 18 or 15 (data in AMF3 clothes); others are ignored. Frames keep views of `payload`,
   * tracks have copies.
   * Throws FormatError 'flv', 'codec-config' or 'amf'.
   */
  push(type: number, timestampMs: number, payload: Buffer): void {
    switch (type) {
      case FLV_TAG_VIDEO:
        this.#pushVideo(timestampMs, payload);
        break;
      case FLV_TAG_AUDIO:
        this.#pushAudio(timestampMs, payload);
        break;
      case FLV_TAG_SCRIPT:
      case RTMP_DATA_AMF3:
        this.#pushData(amf0Part(type, payload));
        break;
    }
  }

  #pushVideo(timestampMs: number, payload: Buffer): void {
    const body = this.#body;
    parseVideoBody(payload, body);
    this.#takeVideo(timestampMs, payload);
    while (body.next > 0) {
      parseNextVideo(payload, body);
      this.#takeVideo(timestampMs, payload);
    }
  }

  #takeVideo(timestampMs: number, payload: Buffer): void {
    const body = this.#body;
    const { trackIndex: index } = body;
    switch (body.kind) {
      case 'frame': {
        const track = this.#videos[index];
        if (track === undefined || track.codec !== body.videoCodec) {
          this.#counts['no-config'] += 1;
          return;
        }
        const dtsMs = this.#dtsMs('video', index, timestampMs);
        this.#sink.onFrame({
          track,
          dtsMs,
          ptsMs: dtsMs + body.compositionMs,
          isKey: body.isKey,
          data: payload.subarray(body.start, body.end),
        });
        break;
      }
      case 'config': {
        const config = payload.subarray(body.start, body.end);
        const known = this.#videos[index];
        if (known?.codec === body.videoCodec && known.config.equals(config)) return;
        if (!this.#mayBe(index, known, config)) return;
        const track = placed(makeVideoTrack(this.#nextTrackId(), body.videoCodec, Buffer.from(config)), index);
        this.#videos[index] = track;
        this.#sink.onTrack(track);
        break;
      }
      case 'unknown':
        this.#ignore(body.ignored, body.ignoredKind);
        break;
      case 'nothing':
        break;
    }
  }

  #pushAudio(timestampMs: number, payload: Buffer): void {
    const body = this.#body;
    parseAudioBody(payload, body);
    this.#takeAudio(timestampMs, payload);
    while (body.next > 0) {
      parseNextAudio(payload, body);
      this.#takeAudio(timestampMs, payload);
    }
  }

  #takeAudio(timestampMs: number, payload: Buffer): void {
    const body = this.#body;
    const { trackIndex: index } = body;
    switch (body.kind) {
      case 'frame': {
        const data = payload.subarray(body.start, body.end);
        const track = this.#audioTrackFor(body, data);
        if (track === undefined) return;
        const dtsMs = this.#dtsMs('audio', index, timestampMs);
        this.#sink.onFrame({ track, dtsMs, ptsMs: dtsMs, isKey: true, data });
        break;
      }
      case 'config': {
        const said = payload.subarray(body.start, body.end);
        const config = body.audioCodec === 'flac' ? withFlacMarker(said) : said;
        const known = this.#audios[index];
        if (known?.codec === body.audioCodec && known.config.equals(config)) return;
        if (!this.#mayBe(index, known, config)) return;
        const info = { sampleRate: 0, channels: 0 };
        this.#addAudio(makeAudioTrack(this.#nextTrackId(), body.audioCodec, Buffer.from(config), info), index);
        break;
      }
      case 'unknown':
        this.#ignore(body.ignored, body.ignoredKind);
        break;
      case 'nothing':
        break;
    }
  }

  /** The track of a frame, made from the frame itself for codecs without a configuration; undefined and counted where none is. */
  #audioTrackFor(body: TagBody, data: Buffer): AudioTrack | undefined {
    const { trackIndex: index, audioCodec: codec } = body;
    const known = this.#audios[index];
    if (known?.codec === codec && (known.config.length > 0 || known.codec === 'opus')) return known;
    if (!BARE_CODECS.has(codec)) {
      this.#counts['no-config'] += 1;
      return undefined;
    }
    const info = bareInfo(body, data);
    if (known?.codec === codec) {
      if (info === undefined || (known.sampleRate === info.sampleRate && known.channels === info.channels))
        return known;
    }
    if (!this.#mayBe(index, known, EMPTY)) return undefined;
    return this.#addAudio(makeAudioTrack(this.#nextTrackId(), codec, EMPTY, info), index);
  }

  #addAudio(made: AudioTrack, index: number): AudioTrack {
    const track = placed(made, index);
    this.#audios[index] = track;
    this.#sink.onTrack(track);
    return track;
  }

  #dtsMs(kind: Track['kind'], index: number, timestampMs: number): number {
    return index === 0 ? this.#clock.dtsMs(kind, timestampMs) : this.#clock.besideMs(kind, timestampMs);
  }

  /** Whether a track may be there; one too many, or with too much to say, is counted. */
  #mayBe(index: number, known: Track | undefined, config: Buffer): boolean {
    if (index === 0) return true;
    if (config.length > MAX_FURTHER_CONFIG_BYTES) {
      this.#ignore('further track with a header of over 64 KiB', 'track');
      return false;
    }
    if (known !== undefined) return true;
    if (this.#further === MOST_FURTHER) {
      this.#ignore(TOO_MANY_TRACKS, 'track');
      return false;
    }
    this.#further += 1;
    return true;
  }

  #pushData(amf0: Buffer): void {
    if (amf0.length > MAX_DATA_BYTES) {
      this.#ignore('data message of over 256 KiB', 'data');
      return;
    }
    const decoder = new Amf0Decoder(amf0);
    if (decoder.bytesLeft === 0) return;
    let start = 0;
    let name = decoder.value();
    if (name === '@setDataFrame' && decoder.bytesLeft > 0) {
      // An encoder's request to keep what follows for players that come later, as we do with all metadata.
      start = amf0.length - decoder.bytesLeft;
      name = decoder.value();
    }
    if (name === 'onMetaData') {
      const value = decoder.bytesLeft > 0 ? decoder.value() : undefined;
      if (isAmfObject(value)) this.#sink.onMetadata(value);
      else this.#ignore('onMetaData without metadata', 'data');
    } else if (typeof name !== 'string' || NOT_FOR_PLAYERS.test(name) || this.#sink.onData === undefined) {
      this.#ignore('data message that is not for players', 'data');
    } else if (isReadable(decoder)) {
      this.#sink.onData(start === 0 ? amf0 : amf0.subarray(start));
    } else {
      this.#ignore('data message that is no AMF', 'data');
    }
  }

  #ignore(reason: string, kind: IgnoredKind): void {
    this.#counts[kind] += 1;
    if (this.#ignored.has(reason)) return;
    this.#ignored.add(reason);
    this.#sink.onIgnored(reason);
  }
}

function placed<T extends Track>(track: T, index: number): T {
  return index === 0 ? track : { ...track, index };
}

/** Whether the rest is AMF: players may not bear what is not. */
function isReadable(decoder: Amf0Decoder): boolean {
  try {
    while (decoder.bytesLeft > 0) decoder.value();
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

/** What a frame of a codec without a configuration says of itself, or its tag; undefined where neither tells. */
function bareInfo(body: TagBody, data: Buffer): AudioInfo | undefined {
  switch (body.audioCodec) {
    case 'mp3': {
      const info = parseMpegAudioHeader(data);
      if (info !== undefined) return info;
      break;
    }
    case 'ac3':
    case 'eac3':
      return parseAc3Header(data);
    case 'opus':
      return { sampleRate: 48000, channels: 2 };
    default:
      break;
  }
  return body.sampleRate === 0 ? undefined : { sampleRate: body.sampleRate, channels: body.channels };
}
