import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { Frame, Metadata } from '../media/frame.ts';
import { StreamClock } from '../media/stream-clock.ts';
import type { AudioCodec, Track, VideoCodec } from '../media/track.ts';
import { decodeAmf0, encodeAmf0, type AmfObject } from './amf0.ts';
import { FlvDemuxer } from './flv-demuxer.ts';
import { encodeFlvHeader, FlvReader } from './flv-file.ts';
import {
  encodeFlvMedia,
  encodeRtmpMedia,
  flvFrame,
  flvMetadata,
  flvSequenceHeader,
  type FlvDialect,
  type FlvPayload,
} from './flv-muxer.ts';
import { ChunkReader } from './rtmp-chunk-reader.ts';
import { encodeRtmpMessage } from './rtmp-chunk-writer.ts';
import { readCorpus, readHexFile, unhex } from './testing.ts';

type Found =
  | { readonly track: Track }
  | { readonly frame: Frame }
  | { readonly metadata: Metadata }
  | { readonly ignored: string };

class Collector {
  readonly found: Found[] = [];
  #trackId = 0;
  readonly demuxer = new FlvDemuxer(
    {
      onTrack: (track) => this.found.push({ track }),
      onFrame: (frame) => this.found.push({ frame }),
      onMetadata: (metadata) => this.found.push({ metadata }),
      onIgnored: (ignored) => this.found.push({ ignored }),
    },
    new StreamClock(),
    () => (this.#trackId += 1),
  );
  push(type: number, timestampMs: number, hex: string): this {
    this.demuxer.push(type, timestampMs, unhex(hex));
    return this;
  }
  get tracks() {
    return this.found.flatMap((item) => ('track' in item ? [item.track] : []));
  }
  get frames() {
    return this.found.flatMap((item) => ('frame' in item ? [item.frame] : []));
  }
  get ignored() {
    return this.found.flatMap((item) => ('ignored' in item ? [item.ignored] : []));
  }
}

const VIDEO = 9;
const AUDIO = 8;
const DATA = 18;
const AVCC = '014d400dffe10019674d400deca0a8cf11360220000003002000000641e28532c001000568ebe3cb20';
const HVCC = `01016000000090000000000 01ef000fcfdf8f800000f00`;
const AV1C = '81000c000a0a00000003b5feb00be001';
const OPUS = '4f707573486561640101380180bb0000000000';
const FLAC = '664c614300000022120012000000100000100ac442f00000113a882c7029a5097769b85bd176f5752684';

const PROBE = [
  [200, 0, 262, true],
  [500, 100, 26, false],
  [300, 200, 12, false],
  [400, 300, 12, false],
  [600, 400, 34, false],
  [700, 500, 311, true],
  [1000, 600, 23, false],
  [800, 700, 12, false],
  [900, 800, 12, false],
  [1100, 900, 37, false],
];

function demuxFile(file: Buffer): Collector {
  const collector = new Collector();
  const reader = new FlvReader({
    onHeader: () => {},
    onTag: (type, timestampMs, payload) => collector.demuxer.push(type, timestampMs, payload),
  });
  reader.push(file);
  return collector;
}

test('ffmpeg’s file has the tracks and frames that ffprobe sees', () => {
  const media = demuxFile(readHexFile('ffmpeg-h264-aac.flv'));
  const [video, audio] = media.tracks;
  assert.deepEqual(
    media.tracks.map((t) => [t.kind, t.codec, t.id, t.profile]),
    [
      ['video', 'h264', 1, 'High'],
      ['audio', 'aac', 2, 'LC'],
    ],
  );
  assert.ok(video?.kind === 'video' && video.width === 64 && video.height === 48);
  assert.ok(audio?.kind === 'audio' && audio.sampleRate === 44100 && audio.channels === 2);
  // ffprobe -show_entries packet=pts,dts,size,flags
  assert.deepEqual(
    media.frames.filter((f) => f.track.kind === 'video').map((f) => [f.ptsMs, f.dtsMs, f.data.length, f.isKey]),
    PROBE,
  );
  const sound = media.frames.filter((f) => f.track.kind === 'audio');
  assert.deepEqual([sound.length, sound[0]!.dtsMs, sound[0]!.data.length], [45, 177, 90]);
  const metadata = media.found.flatMap((item) => ('metadata' in item ? [item.metadata] : []));
  assert.deepEqual([metadata.length, metadata[0]!['width'], metadata[0]!['audiosamplerate']], [1, 64, 44100]);
});

test('what ffmpeg publishes over RTMP is the same media as its file', () => {
  const published = new Collector();
  const reader = new ChunkReader((m) => published.demuxer.push(m.type, m.timestampMs, m.payload));
  reader.push(readHexFile('ffmpeg-publish.rtmp'));
  const file = demuxFile(readHexFile('ffmpeg-h264-aac.flv'));
  assert.deepEqual(published.frames, file.frames);
  assert.deepEqual(published.tracks, file.tracks);
});

test('ffmpeg’s file, muxed again from its frames, has the same audio and video tags', () => {
  const file = readHexFile('ffmpeg-h264-aac.flv');
  const media = demuxFile(file);
  const tags = (bytes: Buffer) => {
    const found: unknown[][] = [];
    const onTag = (type: number, time: number, payload: Buffer) => {
      // ffmpeg ends its video with an end-of-sequence tag; that is no media.
      if (type !== DATA && !(type === VIDEO && payload[1] === 2)) found.push([type, time, payload.toString('hex')]);
    };
    new FlvReader({ onHeader: () => {}, onTag }).push(bytes);
    return found;
  };
  const again = media.found.flatMap((item) => {
    if ('track' in item) return [encodeFlvMedia(flvSequenceHeader(item.track, 0)!)];
    return 'frame' in item ? [encodeFlvMedia(flvFrame(item.frame))] : [];
  });
  assert.deepEqual(tags(Buffer.concat([encodeFlvHeader(true, true), ...again])), tags(file));
});

const bodies: readonly (readonly [string, number, string, readonly unknown[]])[] = [
  ['H.264 key frame', VIDEO, '1701 000028 00000001aa', ['h264', true, 40, '00000001aa']],
  [
    'H.264 inter frame with a negative composition time',
    VIDEO,
    '2701 ffffd8 00000001aa',
    ['h264', false, -40, '00000001aa'],
  ],
  ['E-RTMP avc1 with composition time', VIDEO, '91 61766331 000028 aabb', ['h264', true, 40, 'aabb']],
  ['E-RTMP avc1 without', VIDEO, 'a3 61766331 aabb', ['h264', false, 0, 'aabb']],
  ['a ModEx packet before it', VIDEO, '97 02 0a0b0c 03 61766331 aabb', ['h264', true, 0, 'aabb']],
  [
    'two ModEx packets, one long',
    VIDEO,
    `97 ff 00ff ${'00'.repeat(256)} 07 00 05 03 61766331 aabb`,
    ['h264', true, 0, 'aabb'],
  ],
  ['multitrack, one track', VIDEO, '96 03 61766331 00 aabb', ['h264', true, 0, 'aabb']],
  [
    'multitrack, many tracks, ours second',
    VIDEO,
    '96 13 61766331 01 000001 ee 00 000002 aabb',
    ['h264', true, 0, 'aabb'],
  ],
  ['multitrack, many codecs', VIDEO, '96 23 68766331 01 000001 ee 61766331 00 000002 aabb', ['h264', true, 0, 'aabb']],
];
for (const [name, type, hex, expected] of bodies) {
  test(`reads a frame: ${name}`, () => {
    const media = new Collector().push(VIDEO, 0, `17 00 000000 ${AVCC}`).push(type, 1000, hex);
    assert.deepEqual(
      media.frames.map((f) => [f.track.codec, f.isKey, f.ptsMs - f.dtsMs, f.data.toString('hex')]),
      [expected],
    );
    assert.deepEqual([media.frames[0]!.dtsMs, media.frames[0]!.track], [1000, media.tracks[0]]);
  });
}

const starts: readonly (readonly [string, number, string, string, readonly [string, string]])[] = [
  ['HEVC by FourCC', VIDEO, `90 68766331 ${HVCC}`, '91 68766331 fffff6 aa', ['hevc', 'aa']],
  ['HEVC by codec id 12', VIDEO, `1c 00 000000 ${HVCC}`, '1c 01 000000 aa', ['hevc', 'aa']],
  ['AV1', VIDEO, `90 61763031 ${AV1C}`, '91 61763031 aabb', ['av1', 'aabb']],
  ['VP9', VIDEO, '90 76703039 000a820202020000', 'a1 76703039 aabb', ['vp9', 'aabb']],
  ['AAC', AUDIO, 'af 00 1210', 'af 01 aabb', ['aac', 'aabb']],
  ['AAC by FourCC', AUDIO, '90 6d703461 1210', '91 6d703461 aabb', ['aac', 'aabb']],
  ['Opus', AUDIO, `90 4f707573 ${OPUS}`, '91 4f707573 aabb', ['opus', 'aabb']],
  ['FLAC', AUDIO, `90 664c6143 ${FLAC}`, '91 664c6143 aabb', ['flac', 'aabb']],
];
for (const [name, type, config, frame, [codec, data]] of starts) {
  test(`reads configuration and frame of ${name}`, () => {
    const media = new Collector().push(type, 0, config).push(type, 20, frame);
    assert.deepEqual(
      media.tracks.map((t) => t.codec),
      [codec],
    );
    assert.deepEqual(
      media.frames.map((f) => [f.track.codec, f.data.toString('hex')]),
      [[codec, data]],
    );
    assert.equal(media.demuxer.ignored['no-config'], 0);
  });
}

const bare: readonly (readonly [string, string, readonly [string, number, number]])[] = [
  ['MP3', '2f fffb946400', ['mp3', 48000, 2]],
  ['MP3 at 8 kHz without a header of its own', 'ee 00112233', ['mp3', 8000, 1]],
  ['MP3 by FourCC', '91 2e6d7033 fff340c400', ['mp3', 22050, 1]],
  ['G.711 A-law', '76 aabb', ['pcma', 8000, 1]],
  ['G.711 µ-law', '87 aabb', ['pcmu', 8000, 2]],
  ['Speex', 'b7 aabb', ['speex', 16000, 1]],
  ['AC-3', '91 61632d33 0b7728191e40ebf8', ['ac3', 48000, 6]],
  ['E-AC-3', '91 65632d33 0b7701a07487c000', ['eac3', 44100, 2]],
  ['Opus without its head', '91 4f707573 aabb', ['opus', 48000, 2]],
];
for (const [name, frame, expected] of bare) {
  test(`makes a track of the first frame of ${name}, and no other of the next`, () => {
    const media = new Collector().push(AUDIO, 0, frame).push(AUDIO, 20, frame);
    assert.deepEqual(
      media.tracks.map((t) => t.kind === 'audio' && [t.codec, t.sampleRate, t.channels]),
      [expected],
    );
    assert.equal(media.frames.length, 2);
  });
}

test('a configuration sent again makes no track, a changed one does, with the next id', () => {
  const media = new Collector()
    .push(AUDIO, 0, 'af 00 1210')
    .push(AUDIO, 0, 'af 00 1210')
    .push(AUDIO, 10, 'af 01 aa')
    .push(AUDIO, 20, 'af 00 1190')
    .push(AUDIO, 30, 'af 01 bb');
  assert.deepEqual(
    media.tracks.map((t) => [t.id, t.kind === 'audio' && t.sampleRate]),
    [
      [1, 44100],
      [2, 48000],
    ],
  );
  assert.deepEqual(
    media.frames.map((f) => f.track.id),
    [1, 2],
  );
});

test('frames before a configuration, or of another codec than it, are dropped and counted', () => {
  const media = new Collector()
    .push(VIDEO, 0, '2701 000000 aa')
    .push(AUDIO, 0, 'af 01 aa')
    .push(VIDEO, 0, `17 00 000000 ${AVCC}`)
    .push(VIDEO, 0, '1c 01 000000 aa');
  assert.equal(media.frames.length, 0);
  assert.equal(media.demuxer.ignored['no-config'], 3);
});

test('what is lawful and no media is passed over', () => {
  const media = new Collector()
    .push(VIDEO, 0, '')
    .push(AUDIO, 0, '')
    .push(VIDEO, 0, '57 00') // a seek command
    .push(VIDEO, 0, 'd0 00') // the same, E-RTMP
    .push(VIDEO, 0, '17 02 000000') // end of sequence
    .push(VIDEO, 0, '17 01 000000') // an empty frame
    .push(VIDEO, 0, '94 61766331 02') // E-RTMP metadata
    .push(AUDIO, 0, 'af 01')
    .push(AUDIO, 0, '94 4f707573 00')
    .push(4, 0, '0000')
    .push(DATA, 0, '');
  assert.deepEqual(media.found, []);
});

test('empty sequence headers are named once and counted, and so are frames of tracks without one', () => {
  const media = new Collector()
    .push(VIDEO, 0, '17 00 000000')
    .push(VIDEO, 0, '90 68766331')
    .push(AUDIO, 0, 'af 00')
    .push(VIDEO, 0, '96 03 61766331 01 aabb') // one track, which is not the first
    .push(VIDEO, 0, '96 13 61766331 01 000001 aa 02 000001 bb')
    .push(AUDIO, 0, '95 01 6d703461 05 aabb');
  assert.deepEqual(media.frames, []);
  assert.deepEqual(media.ignored, ['empty sequence header']);
  assert.deepEqual(media.demuxer.ignored, { codec: 0, track: 0, 'empty-config': 3, 'no-config': 4, data: 0 });
});

test('every track of a multitrack body is read, whatever their arrangement, and follows the first one’s clock', () => {
  const size = (hex: string): string => (unhex(hex).length + 0x1000000).toString(16).slice(1);
  const media = new Collector()
    .push(VIDEO, 1000, `17 00 000000 ${AVCC}`)
    .push(VIDEO, 1000, `96 10 61766331 01 ${size(AVCC)} ${AVCC} 07 ${size(AVCC)} ${AVCC}`)
    .push(VIDEO, 1000, `96 00 68766331 02 ${HVCC}`)
    .push(VIDEO, 1000, '17 01 000028 aa')
    .push(VIDEO, 1005, '96 23 61766331 01 000002 bbbb 68766331 02 000001 cc 61766331 00 000001 dd')
    // The encoder starts over: so does what follows it.
    .push(VIDEO, 40, '27 01 000000 ee')
    .push(VIDEO, 45, '96 01 61766331 07 000028 ff');
  assert.deepEqual(
    media.tracks.map(({ codec, index }) => [codec, index]),
    [
      ['h264', undefined],
      ['h264', 1],
      ['h264', 7],
      ['hevc', 2],
    ],
  );
  assert.deepEqual(
    media.frames.map(({ track, dtsMs, ptsMs, data }) => [track.index, dtsMs, ptsMs - dtsMs, data.toString('hex')]),
    [
      [undefined, 1000, 40, 'aa'],
      [1, 1005, 0, 'bbbb'],
      [2, 1005, 0, 'cc'],
      [undefined, 1005, 0, 'dd'],
      [undefined, 40, 0, 'ee'],
      [7, 45, 40, 'ff'],
    ],
  );
});

test('a track changes its codec, and one that comes late is there from then on', () => {
  const media = new Collector()
    .push(AUDIO, 0, 'af 00 1210')
    .push(AUDIO, 0, '95 00 6d703461 01 1210')
    .push(AUDIO, 0, '95 01 6d703461 01 aa')
    .push(AUDIO, 20, `95 00 4f707573 01 ${OPUS}`)
    .push(AUDIO, 20, '95 01 6d703461 01 bb')
    .push(AUDIO, 20, '95 01 4f707573 01 cc')
    .push(AUDIO, 40, '95 01 61632d33 02 0b7728191e40ebf8');
  assert.deepEqual(
    media.frames.map(({ track }) => [track.codec, track.index]),
    [
      ['aac', 1],
      ['opus', 1],
      ['ac3', 2],
    ],
  );
  assert.equal(media.demuxer.ignored['no-config'], 1);
});

test('tracks past the bound are counted and named once, in all and in one body', () => {
  const media = new Collector().push(AUDIO, 0, 'af 00 1210');
  for (let index = 255; index > 0; index--) {
    media.push(AUDIO, 0, `95 00 6d703461 ${index.toString(16).padStart(2, '0')} 1210`);
  }
  assert.deepEqual([media.tracks.length, media.demuxer.ignored.track], [15, 241]);
  media.push(VIDEO, 0, `17 00 000000 ${AVCC}`).push(VIDEO, 0, `96 13 61766331 ${'00 000001 aa'.repeat(1000)}`);
  assert.deepEqual([media.frames.length, media.demuxer.ignored.track], [16, 242]);
  assert.deepEqual(media.ignored, ['more than 16 tracks']);
  const other = new Collector().push(AUDIO, 0, `95 00 664c6143 01 ${FLAC}${'00'.repeat(65536)}`);
  assert.deepEqual([other.tracks, other.ignored], [[], ['further track with a header of over 64 KiB']]);
});

test('codecs that are not carried on are named once', () => {
  const media = new Collector()
    .push(VIDEO, 0, '22 aa')
    .push(VIDEO, 0, '22 aa')
    .push(VIDEO, 0, '2d aa')
    .push(VIDEO, 0, '91 76767631 aa')
    .push(AUDIO, 0, '6f aa')
    .push(AUDIO, 0, '91 61626364 aa')
    .push(DATA, 0, encodeAmf0('onTextData', { text: 'x' }).toString('hex'))
    .push(DATA, 0, encodeAmf0('onCuePoint', {}).toString('hex'));
  assert.deepEqual(media.ignored, [
    'video codec Sorenson H.263',
    'video codec id 13',
    'video codec of an unknown FourCC',
    'audio codec Nellymoser',
    'audio codec of an unknown FourCC',
    'data message that is not for players',
  ]);
});

test('metadata comes with and without @setDataFrame, and in AMF3 clothes', () => {
  const object = { width: 64, encoder: 'x' };
  for (const [type, payload] of [
    [DATA, encodeAmf0('@setDataFrame', 'onMetaData', object)],
    [DATA, encodeAmf0('onMetaData', object)],
    [15, Buffer.concat([Buffer.from([0]), encodeAmf0('onMetaData', object)])],
  ] as const) {
    assert.deepEqual(new Collector().push(type, 0, payload.toString('hex')).found, [{ metadata: object }]);
  }
});

test('metadata is written as an ECMA array, without what AMF0 cannot say', () => {
  const payload = flvMetadata({ width: 64, bad: () => 0, title: 'é' }, 40);
  assert.deepEqual([payload.type, payload.timestampMs, payload.body.length], [DATA, 40, 0]);
  assert.deepEqual(decodeAmf0(payload.head), ['onMetaData', { width: 64, title: 'é' }]);
  assert.equal(payload.head[13], 0x08);
  const hostile = JSON.parse('{"__proto__":{"a":1}}') as AmfObject;
  assert.deepEqual(Object.keys(decodeAmf0(flvMetadata(hostile, 0).head)[1] as AmfObject), ['__proto__']);
});

const tracks: readonly Track[] = [
  ...(
    [
      ['h264', AVCC],
      ['hevc', HVCC],
      ['av1', AV1C],
      ['vp9', '000a820202020000'],
    ] as const satisfies (readonly [VideoCodec, string])[]
  ).map(([codec, config]) => makeVideoTrack(1, codec, unhex(config))),
  ...(
    [
      ['aac', '1210'],
      ['opus', OPUS],
      ['flac', FLAC],
    ] as const satisfies (readonly [AudioCodec, string])[]
  ).map(([codec, config]) => makeAudioTrack(1, codec, unhex(config))),
  ...(
    [
      ['mp3', 44100, 2],
      ['pcma', 8000, 1],
      ['pcmu', 8000, 1],
      ['speex', 16000, 1],
    ] as const satisfies (readonly [AudioCodec, number, number])[]
  ).map(([codec, sampleRate, channels]) => makeAudioTrack(1, codec, Buffer.alloc(0), { sampleRate, channels })),
];

for (const track of tracks) {
  for (const dialect of ['enhanced', 'codec-12'] as const satisfies FlvDialect[]) {
    test(`${track.codec} written in the ${dialect} dialect reads back the same, over RTMP and FLV`, () => {
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: 1, maxLength: 300 }),
          fc.integer({ min: -0x800000, max: 0x7fffff }),
          fc.boolean(),
          fc.nat({ max: 0xffffff0 }),
          (data, composition, isKey, dtsMs) => {
            // MP3 that begins like a header is read for its rate and channels.
            fc.pre(track.codec !== 'mp3' || data[0] !== 0xff);
            const timed = track.codec === 'h264' || track.codec === 'hevc';
            const frame: Frame = {
              track,
              dtsMs,
              ptsMs: dtsMs + (timed ? composition : 0),
              isKey: track.kind === 'audio' || isKey,
              data: Buffer.from(data),
            };
            const payloads = [flvSequenceHeader(track, dtsMs, dialect), flvFrame(frame, dialect)].filter(
              (p): p is FlvPayload => p !== undefined,
            );
            const rtmp = new Collector();
            const reader = new ChunkReader((m) => {
              assert.equal(m.streamId, 1);
              rtmp.demuxer.push(m.type, m.timestampMs, m.payload);
            });
            for (const payload of payloads) reader.push(encodeRtmpMedia(payload, 1, 128));
            const flv = demuxFile(Buffer.concat([encodeFlvHeader(true, true), ...payloads.map(encodeFlvMedia)]));
            for (const { tracks: got, frames } of [rtmp, flv]) {
              assert.deepEqual(got, [track]);
              assert.deepEqual(frames, [frame]);
            }
          },
        ),
        { numRuns: 25 },
      );
    });
  }
}

for (const first of tracks.filter(({ codec }) => !['pcma', 'pcmu', 'speex'].includes(codec))) {
  test(`${first.codec} as a further track is written as a multitrack body that reads back the same`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 255 }),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.oneof(fc.constant(0), fc.integer({ min: -0x800000, max: 0x7fffff })),
        fc.boolean(),
        (index, data, composition, isKey) => {
          const track = { ...first, index };
          const timed = first.codec === 'h264' || first.codec === 'hevc';
          const bytes = Buffer.from(first.codec === 'mp3' ? unhex('fffb9064') : data);
          const frame: Frame = {
            track,
            dtsMs: 40,
            ptsMs: 40 + (timed ? composition : 0),
            isKey: track.kind === 'audio' || isKey,
            data: bytes,
          };
          const payloads = [flvSequenceHeader(track, 40), flvFrame(frame)].filter((p) => p !== undefined);
          const read = new Collector();
          const reader = new ChunkReader((m) => read.demuxer.push(m.type, m.timestampMs, m.payload));
          for (const payload of payloads) reader.push(encodeRtmpMedia(payload, 1, 128));
          assert.deepEqual(read.tracks, [track]);
          assert.deepEqual(read.frames, [frame]);
        },
      ),
      { numRuns: 25 },
    );
  });
}

test('any bytes behind a multitrack header are read or refused, and never beyond the bounds', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('95', '96', 'a6'),
      fc.integer({ min: 0, max: 2 }),
      fc.uint8Array({ maxLength: 200 }),
      (head, arrangement, rest) => {
        const media = new Collector().push(VIDEO, 0, `17 00 000000 ${AVCC}`).push(AUDIO, 0, 'af 00 1210');
        const bytes = Buffer.concat([unhex(`${head} ${arrangement}1 61766331`), rest]);
        try {
          media.demuxer.push(head === '95' ? AUDIO : VIDEO, 0, bytes);
        } catch (error) {
          assert.ok(error instanceof FormatError);
        }
        assert.ok(media.tracks.length <= 16 && media.frames.length <= 16);
        for (const { data } of media.frames) assert.ok(data.length > 0 && data.length <= rest.length);
      },
    ),
    { numRuns: 500 },
  );
});

test('HEVC goes out by FourCC or by codec id 12', () => {
  const track = makeVideoTrack(1, 'hevc', unhex(HVCC));
  const frame = { track, dtsMs: 0, ptsMs: 0, isKey: true, data: Buffer.alloc(1) };
  assert.equal(flvSequenceHeader(track, 0)!.head.toString('hex'), '9068766331');
  assert.equal(flvFrame(frame).head.toString('hex'), '9368766331');
  assert.equal(flvFrame({ ...frame, ptsMs: -2 }).head.toString('hex'), '9168766331fffffe');
  assert.equal(flvFrame(frame, 'codec-12').head.toString('hex'), '1c01000000');
});

test('an RTMP media message is its payload on the chunk stream of its kind', () => {
  const payload = flvFrame({ track: tracks[4]!, dtsMs: 9, ptsMs: 9, isKey: true, data: unhex('aabb') });
  assert.deepEqual(encodeRtmpMedia(payload, 1, 60000), encodeRtmpMessage(60000, 6, AUDIO, 1, 9, unhex('af01aabb')));
  assert.equal(encodeRtmpMedia(flvMetadata({}, 0), 1, 60000)[0], 5);
});

for (const { name, bytes, message } of readCorpus('flv-bodies')) {
  test(`refuses ${name}`, () => {
    const codes = new Set(['flv', 'codec-config', 'amf']);
    assert.throws(
      () => new Collector().demuxer.push(bytes[0]!, 0, bytes.subarray(1)),
      (e) => e instanceof FormatError && e.message.includes(message) && codes.has(e.code),
    );
  });
}
