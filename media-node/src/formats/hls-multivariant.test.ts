import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse, types } from 'hls-parser';
import { anyShape, snapshotOf } from '#contract/testing/packaging.ts';
import { hlsRenditions, multivariantPlaylist } from './hls-multivariant.ts';

const uriOf = (rendition: string): string => `s.m3u8?hls_ctx=x&hls_track=${rendition}`;

test('one variant of MPEG-TS has both tracks in it', () => {
  const snapshot = snapshotOf({ renditions: ['ts'], durationsMs: [2_000] });
  assert.equal(
    multivariantPlaylist(snapshot, ['ts'], uriOf),
    `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=2630000,AVERAGE-BANDWIDTH=2128000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=25.000
s.m3u8?hls_ctx=x&hls_track=ts
`,
  );
});

test('with a track a file, the variant is the video and the audio is its group', () => {
  const snapshot = snapshotOf({ renditions: ['video', 'audio'], durationsMs: [2_000] });
  assert.equal(
    multivariantPlaylist(snapshot, ['video', 'audio'], uriOf),
    `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="s.m3u8?hls_ctx=x&hls_track=audio"
#EXT-X-STREAM-INF:BANDWIDTH=2630000,AVERAGE-BANDWIDTH=2128000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=25.000,AUDIO="audio"
s.m3u8?hls_ctx=x&hls_track=video
`,
  );
});

test('a stream of audio alone is a variant without a picture, one of video alone has no group', () => {
  const audio = multivariantPlaylist(snapshotOf({ renditions: ['audio'], durationsMs: [2_000] }), ['audio'], uriOf);
  assert.match(audio, /\n#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2"\n.*audio\n$/);
  const video = multivariantPlaylist(snapshotOf({ renditions: ['video'], durationsMs: [2_000] }), ['video'], uriOf);
  assert.doesNotMatch(video, /AUDIO|mp4a/);
});

test('a track that MPEG-TS leaves out is none of its variant', () => {
  const made = snapshotOf({ renditions: ['ts', 'video', 'audio'], durationsMs: [2_000] });
  const tracks = made.tracks.map((track) => (track.kind === 'video' ? { ...track, isInTs: false } : track));
  const snapshot = { ...made, tracks };
  assert.match(multivariantPlaylist(snapshot, ['ts'], uriOf), /CODECS="mp4a.40.2"\n/);
  assert.match(multivariantPlaylist(snapshot, ['video', 'audio'], uriOf), /CODECS="avc1.64001f,mp4a.40.2"/);
});

test('before a segment is complete, bit rates are guessed and the mean is left out', () => {
  const snapshot = snapshotOf({ renditions: ['video'], durationsMs: [2_000] });
  const tracks = snapshot.tracks.map((track) => ({ ...track, peakBitrate: 0, averageBitrate: 0, frameRate: 0 }));
  const text = multivariantPlaylist({ ...snapshot, tracks }, ['video'], uriOf);
  assert.match(text, /#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="avc1.64001f",RESOLUTION=1280x720\n/);
});

test('the container of the Vhost decides what is offered, as far as it is there', () => {
  const all = snapshotOf({ renditions: ['ts', 'video', 'audio'], durationsMs: [2_000] });
  const ts = snapshotOf({ renditions: ['ts'], durationsMs: [2_000] });
  const audio = snapshotOf({ renditions: ['audio'], durationsMs: [2_000] });
  assert.deepEqual(hlsRenditions(all, 'ts'), ['ts']);
  assert.deepEqual(hlsRenditions(all, 'fmp4'), ['video', 'audio']);
  assert.deepEqual(hlsRenditions(ts, 'fmp4'), ['ts']);
  assert.deepEqual(hlsRenditions(audio, 'ts'), ['audio']);
  assert.deepEqual(hlsRenditions({ ...ts, segments: [] }, 'ts'), []);
});

test('any multivariant playlist is read as one variant with the renditions there are', () => {
  fc.assert(
    fc.property(anyShape, (shape) => {
      const text = multivariantPlaylist(snapshotOf(shape), shape.renditions, uriOf);
      const parsed = parse(text);
      assert.ok(parsed instanceof types.MasterPlaylist);
      assert.equal(parsed.variants.length, 1);
      const [variant] = parsed.variants;
      assert.equal(variant?.uri, uriOf(shape.renditions[0]!));
      assert.deepEqual(
        variant?.audio.map(({ uri }) => uri),
        shape.renditions.length === 2 ? [uriOf('audio')] : [],
      );
    }),
  );
});
