/* HTTP-FLV by mpegts.js. */

/** How near the end of what has arrived the picture is to be, in seconds. */
const NEAR_S = 0.8;

/**
 * An engine plays an address in a video element from now until `close()`, and tells what happens:
 * `onMedia({width, height, fps, videoCodec, audio, audioCodec})`, `onSpeed(kbps)`, `onEnd()`, `onMissing()` where nobody
 * publishes, and `onFailure({kind, status, title, text, pill})` with a kind of unsupported, unreachable, refused (by an HTTP
 * status) and broken. `behind()` is in seconds, undefined where it is not known.
 */
export function openFlv(video, url, { onMedia, onSpeed, onEnd, onFailure }) {
  const mpegts = globalThis.mpegts;
  const problem = whatIsMissing(mpegts);
  const nothing = { mayJump: false, behind: () => undefined, toLive() {}, close() {} };
  if (problem !== undefined) {
    onFailure({ kind: 'unsupported', ...problem });
    return nothing;
  }
  const player = mpegts.createPlayer(
    { type: 'flv', isLive: true, cors: true, url },
    {
      enableStashBuffer: false,
      lazyLoad: false,
      liveSync: true,
      liveSyncMaxLatency: 1.6,
      liveSyncTargetLatency: NEAR_S,
      liveSyncPlaybackRate: 1.1,
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: 30,
      autoCleanupMinBackwardDuration: 10,
    },
  );
  player.attachMediaElement(video);
  player.on(mpegts.Events.MEDIA_INFO, (info) => onMedia(mediaOf(info)));
  // KB/s, averaged by mpegts.js over its report interval.
  player.on(mpegts.Events.STATISTICS_INFO, ({ speed = 0 }) => onSpeed(speed * 8));
  player.on(mpegts.Events.LOADING_COMPLETE, onEnd);
  player.on(mpegts.Events.ERROR, (type, detail, info) => onFailure(failureOf(mpegts, type, detail, info)));
  player.load();
  const behind = () => {
    const { buffered, currentTime } = video;
    return buffered.length === 0 ? undefined : Math.max(0, buffered.end(buffered.length - 1) - currentTime);
  };
  return {
    mayJump: true,
    behind,
    toLive: () => {
      video.currentTime += Math.max(0, (behind() ?? 0) - NEAR_S);
    },
    close: () => player.destroy(),
  };
}

function whatIsMissing(mpegts) {
  if (mpegts === undefined) {
    return {
      title: 'The player did not load',
      text: 'The node has no /player/mpegts.js. Its image is incomplete.',
      pill: 'Player missing',
    };
  }
  if (mpegts.isSupported()) return undefined;
  return {
    title: 'This browser cannot play live FLV',
    text: 'It lacks Media Source Extensions. Take HLS, or use the addresses below in another player.',
    pill: 'Not supported',
  };
}

function mediaOf({ width, height, fps, videoCodec, audioCodec, audioSampleRate }) {
  const codec = audioCodec?.startsWith('mp4a') ? 'AAC' : audioCodec;
  const audio = audioCodec ? `${codec} ${(audioSampleRate / 1_000).toFixed(1)} kHz` : undefined;
  return { width, height, fps, videoCodec, audio, audioCodec };
}

function failureOf(mpegts, type, detail, info) {
  if (detail === mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) return { kind: 'refused', status: info?.code };
  if (type === mpegts.ErrorTypes.NETWORK_ERROR) return { kind: 'unreachable' };
  const text = String(info?.msg ?? '');
  if (detail !== mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED) return { kind: 'broken', text: text || detail };
  return { kind: 'unsupported', title: 'This browser cannot decode the stream', text };
}
