/* HLS, with low latency where the node offers it, by hls.js; by the browser itself where that alone can (iPhone). */

/** How much of the last downloads the bit rate is taken from, in seconds of media. */
const SPEED_OVER_S = 6;

/** See flv-engine.js for what an engine is. */
export function openHls(video, url, on) {
  const Hls = globalThis.Hls;
  if (Hls?.isSupported() !== true && video.canPlayType('application/vnd.apple.mpegurl') !== '') {
    return openNative(video, url, on);
  }
  const nothing = { mayJump: false, behind: () => undefined, toLive() {}, close() {} };
  const problem = whatIsMissing(Hls);
  if (problem !== undefined) {
    on.onFailure({ kind: 'unsupported', ...problem });
    return nothing;
  }
  const hls = new Hls({
    // A worker would be a script from blob:, which the page's policy does not allow.
    enableWorker: false,
    lowLatencyMode: true,
    maxLiveSyncPlaybackRate: 1.1,
    backBufferLength: 30,
  });
  const tellMedia = () => {
    const { videoCodec, audioCodec, frameRate } = hls.levels[Math.max(0, hls.currentLevel)] ?? {};
    const { videoWidth: width, videoHeight: height } = video;
    const audio = audioCodec?.startsWith('mp4a.40.34') ? 'MP3' : audioCodec?.startsWith('mp4a') ? 'AAC' : audioCodec;
    on.onMedia({ width, height, fps: frameRate, videoCodec, audio, audioCodec });
  };
  video.addEventListener('loadedmetadata', tellMedia);
  video.addEventListener('resize', tellMedia);
  hls.on(Hls.Events.FRAG_LOADED, speedMeter(on.onSpeed));
  hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
    // What was loaded is still to be seen.
    if (!details.live) video.addEventListener('ended', on.onEnd, { once: true });
  });
  hls.on(Hls.Events.ERROR, (_, data) => onError(Hls, hls, data, on));
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    // hls.js keeps to the distance that the playlist asks for.
    mayJump: false,
    behind: () => (hls.latency > 0 ? hls.latency : undefined),
    toLive: () => {
      const { liveSyncPosition } = hls;
      if (liveSyncPosition !== null && liveSyncPosition > video.currentTime) video.currentTime = liveSyncPosition;
    },
    close: () => {
      video.removeEventListener('loadedmetadata', tellMedia);
      video.removeEventListener('resize', tellMedia);
      video.removeEventListener('ended', on.onEnd);
      hls.destroy();
    },
  };
}

function openNative(video, url, on) {
  const tellMedia = () => on.onMedia({ width: video.videoWidth, height: video.videoHeight });
  const onError = () => on.onMissing();
  video.addEventListener('loadedmetadata', tellMedia);
  video.addEventListener('error', onError);
  video.addEventListener('ended', on.onEnd);
  video.src = url;
  const end = () => (video.seekable.length === 0 ? undefined : video.seekable.end(video.seekable.length - 1));
  return {
    mayJump: false,
    behind: () => {
      const at = end();
      return at === undefined ? undefined : Math.max(0, at - video.currentTime);
    },
    toLive: () => {
      const at = end();
      if (at !== undefined) video.currentTime = at;
    },
    close: () => {
      video.removeEventListener('loadedmetadata', tellMedia);
      video.removeEventListener('error', onError);
      video.removeEventListener('ended', on.onEnd);
      video.removeAttribute('src');
      video.load();
    },
  };
}

function whatIsMissing(Hls) {
  if (Hls === undefined) {
    return {
      title: 'The player did not load',
      text: 'The node has no /player/hls.js. Its image is incomplete.',
      pill: 'Player missing',
    };
  }
  if (Hls.isSupported()) return undefined;
  return {
    title: 'This browser cannot play HLS',
    text: 'It lacks Media Source Extensions. Use the addresses below in another player.',
    pill: 'Not supported',
  };
}

/** Video and audio may come in files of their own: the rate is their bytes over the media that the longest of them has. */
function speedMeter(onSpeed) {
  const loaded = [];
  return (_, { frag, part }) => {
    const { stats, duration } = part ?? frag;
    loaded.push({ type: frag.type, bits: stats.total * 8, duration });
    const seconds = {};
    for (const { type, duration: each } of loaded) seconds[type] = (seconds[type] ?? 0) + each;
    const longest = Math.max(...Object.values(seconds));
    if (longest > 0) onSpeed(loaded.reduce((sum, { bits }) => sum + bits, 0) / longest / 1_000);
    if (longest > SPEED_OVER_S) loaded.shift();
  };
}

function onError(Hls, hls, { fatal, type, details, response, error }, on) {
  if (!fatal) return;
  const status = response?.code ?? 0;
  if (type === Hls.ErrorTypes.NETWORK_ERROR) {
    // Nobody publishes, or does no more.
    if (status === 404) on.onMissing();
    else if (status === 0) on.onFailure({ kind: 'unreachable' });
    else on.onFailure({ kind: 'refused', status });
  } else if (details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
    const text = error?.message ?? '';
    on.onFailure({ kind: 'unsupported', title: 'This browser cannot decode the stream', text });
  } else {
    on.onFailure({ kind: 'broken', text: error?.message ?? details });
  }
}
