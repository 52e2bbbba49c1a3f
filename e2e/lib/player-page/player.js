/* global Hls, shaka, mpegts, document, window, performance */

/*
 * Each player of the page: the library as its own documentation says to use it, a <video>, and what it saw. browser.ts starts
 * them by window.startPlayer(name, kind, url) and reads window.figuresOf(name).
 */

const SAMPLE_MS = 50;
const players = new Map();

/** Wall clock of the picture's bar code (clock-picture.ts), its lower 32 bits; undefined where it cannot be read. */
function readClock(canvas, video) {
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0, 320, 180, 0, 0, 320, 180);
  const row = context.getImageData(0, 8, 320, 1).data;
  let bits = '';
  for (let cell = 0; cell < 40; cell++) bits += row[(cell * 8 + 4) * 4] > 127 ? '1' : '0';
  if (!bits.startsWith('10')) return undefined;
  const clock = Number.parseInt(bits.slice(2, 34), 2);
  let sum = 0;
  for (let rest = clock; rest > 0; rest = Math.floor(rest / 64)) sum += rest % 64;
  return sum % 64 === Number.parseInt(bits.slice(34), 2) ? clock : undefined;
}

const STARTERS = {
  hls: (video, url, seen) => startHls(video, url, seen, { lowLatencyMode: false }),
  'hls-ll': (video, url, seen) => startHls(video, url, seen, { lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.2 }),
  dash: startShaka,
  flv: (video, url, seen) => startMpegts(video, url, seen, 'flv'),
  ts: (video, url, seen) => startMpegts(video, url, seen, 'mpegts'),
};

function startHls(video, url, seen, config) {
  const hls = new Hls(config);
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details, error, response }) => {
    seen(fatal, `${type} ${details} ${response?.code ?? ''} ${error?.message ?? ''}`.trim());
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return { stop: () => hls.destroy(), tell: () => ({ ownLatencyS: hls.latency, targetLatencyS: hls.targetLatency }) };
}

function startShaka(video, url, seen) {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  const note = (error) => {
    seen(
      error.severity === shaka.util.Error.Severity.CRITICAL,
      `shaka ${error.code} ${JSON.stringify(error.data).slice(0, 300)}`,
    );
  };
  player.addEventListener('error', (event) => note(event.detail));
  const load = async () => {
    await player.attach(video);
    await player.load(url);
  };
  load().catch(note);
  return { stop: () => player.destroy(), tell: () => ({ ownLatencyS: player.getStats().liveLatency }) };
}

function startMpegts(video, url, seen, type) {
  const player = mpegts.createPlayer({ type, isLive: true, url }, { enableStashBuffer: false });
  player.on(mpegts.Events.ERROR, (kind, detail, info) => seen(true, `${kind} ${detail} ${JSON.stringify(info)}`));
  player.attachMediaElement(video);
  player.load();
  return { stop: () => player.destroy(), tell: () => ({}) };
}

window.startPlayer = (name, kind, url) => {
  const video = document.createElement('video');
  video.muted = true;
  video.width = 320;
  video.autoplay = true;
  document.body.append(video);
  const canvas = document.createElement('canvas');
  canvas.width = 320;
  canvas.height = 180;
  const state = {
    video,
    fatal: [],
    warnings: [],
    latenciesMs: [],
    bufferedMs: [],
    clockStepsBackMs: [],
    lastClock: undefined,
    pictures: 0,
    lastTime: 0,
    lastMove: performance.now(),
    longestStallMs: 0,
    playedSince: undefined,
  };
  players.set(name, state);
  state.player = STARTERS[kind](video, url, (isFatal, text) => {
    const list = isFatal ? state.fatal : state.warnings;
    if (list.length < 100) list.push(text);
  });

  const onPicture = () => {
    state.pictures += 1;
    const clock = readClock(canvas, video);
    if (clock !== undefined) {
      const { buffered, currentTime } = video;
      state.latenciesMs.push((Date.now() % 2 ** 32) - clock);
      state.bufferedMs.push((buffered.length === 0 ? 0 : buffered.end(buffered.length - 1) - currentTime) * 1_000);
      for (const values of [state.latenciesMs, state.bufferedMs]) if (values.length > 5_000) values.shift();
      if (clock < state.lastClock) state.clockStepsBackMs.push(state.lastClock - clock);
      state.lastClock = clock;
    }
    video.requestVideoFrameCallback(onPicture);
  };
  video.requestVideoFrameCallback(onPicture);

  state.timer = setInterval(() => {
    const now = performance.now();
    if (video.currentTime > state.lastTime) {
      if (state.playedSince !== undefined) state.longestStallMs = Math.max(state.longestStallMs, now - state.lastMove);
      state.playedSince ??= now;
      state.lastMove = now;
    }
    state.lastTime = video.currentTime;
  }, SAMPLE_MS);
};

/** Forgets what was measured until now: latencies and the longest stall. */
window.resetPlayer = (name) => {
  const state = players.get(name);
  state.latenciesMs = [];
  state.bufferedMs = [];
  state.longestStallMs = 0;
};

window.figuresOf = (name) => {
  const { video, player, ...state } = players.get(name);
  const ranges = [];
  for (let index = 0; index < video.buffered.length; index++)
    ranges.push([video.buffered.start(index), video.buffered.end(index)]);
  const isPlaying = state.playedSince !== undefined;
  return {
    currentTime: video.currentTime,
    paused: video.paused,
    error: video.error?.message ?? null,
    width: video.videoWidth,
    height: video.videoHeight,
    buffered: ranges,
    droppedPictures: video.getVideoPlaybackQuality().droppedVideoFrames,
    pictures: state.pictures,
    fatal: state.fatal,
    warnings: state.warnings,
    latenciesMs: state.latenciesMs,
    bufferedMs: state.bufferedMs,
    clockStepsBackMs: state.clockStepsBackMs,
    // A stall that lasts counts as well.
    longestStallMs: isPlaying ? Math.max(state.longestStallMs, performance.now() - state.lastMove) : 0,
    hasPlayed: isPlaying,
    ...player.tell(),
  };
};

window.stopPlayer = async (name) => {
  const state = players.get(name);
  players.delete(name);
  clearInterval(state.timer);
  await state.player.stop();
  state.video.remove();
};
