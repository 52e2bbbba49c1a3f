/* The page's whole behaviour: plays one HTTP-FLV stream with mpegts.js, says what is going on, and never gives up. */

const mpegts = globalThis.mpegts;
const byId = (id) => document.getElementById(id);
const video = byId('video');
const stage = byId('stage');
const streamInput = byId('stream');
const hostInput = byId('host');

const RTMP_PORT = Number(document.querySelector('meta[name=livecluster-rtmp-port]').content);
/** How far the picture may fall behind what has arrived before it jumps to it, in seconds. */
const JUMP_BEHIND_S = 5;
const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 5_000;

/** The attempt on the screen; a later one makes every callback of an earlier one mean nothing. */
let attempt = 0;
let player;
let retryTimer;
let retryMs = RETRY_FIRST_MS;

/** `state`: connecting, waiting, playing, error. Texts are plain text. */
function show(state, title, text = '', pill = title) {
  stage.dataset.state = state;
  byId('pill').dataset.state = state === 'connecting' ? 'waiting' : state;
  byId('pill-text').textContent = pill;
  byId('veil-title').textContent = title;
  byId('veil-text').textContent = text;
  byId('retry').hidden = state !== 'error';
  byId('live').hidden = state !== 'playing';
}

function clearFigures() {
  for (const id of ['latency', 'picture', 'audio', 'bitrate', 'dropped']) byId(id).textContent = '–';
}

/** What the inputs name; throws an Error that says what is wrong. */
function target() {
  const stream = streamInput.value
    .trim()
    .replace(/^\/+|\/+$/g, '')
    .replace(/\.flv$/, '');
  if (!/^[^/?#]+(\/[^/?#]+)+(\?[^#]*)?$/.test(stream))
    throw new Error('Write the stream as app/stream, for example live/demo.');
  const host = hostInput.value.trim();
  let base = location.origin;
  if (host !== '') {
    try {
      base = new URL(/^https?:\/\//.test(host) ? host : `${location.protocol}//${host}`).origin;
    } catch {
      throw new Error('Write the node as host:port, for example localhost:8081.');
    }
  }
  const [path, query] = stream.split('?');
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  return { stream: path, url: `${base}/${encoded}.flv${query === undefined ? '' : `?${query}`}`, base };
}

function stop() {
  attempt += 1;
  clearTimeout(retryTimer);
  if (player === undefined) return;
  const old = player;
  player = undefined;
  old.destroy();
}

function start() {
  stop();
  clearFigures();
  showAddresses();
  let wanted;
  try {
    wanted = target();
  } catch (error) {
    show('error', 'This address does not work', error.message, 'Wrong address');
    return;
  }
  if (mpegts === undefined) {
    show(
      'error',
      'The player did not load',
      'The node has no /player/mpegts.js. Its image is incomplete.',
      'Player missing',
    );
    return;
  }
  if (!mpegts.isSupported()) {
    show(
      'error',
      'This browser cannot play live FLV',
      'It lacks Media Source Extensions. Use the addresses below in another player.',
      'Not supported',
    );
    return;
  }
  const mine = attempt;
  const isMine = () => mine === attempt;
  show('connecting', 'Connecting', wanted.url, 'Connecting');
  // The node answers at once, and sends nothing until somebody publishes.
  const waiting = setTimeout(() => {
    if (isMine() && stage.dataset.state === 'connecting') {
      show(
        'waiting',
        'Waiting for the stream',
        `Nobody publishes ${wanted.stream} yet. It begins here by itself.`,
        'Waiting for stream',
      );
    }
  }, 1_200);

  const source = { type: 'flv', isLive: true, cors: true, url: wanted.url };
  player = mpegts.createPlayer(source, {
    enableStashBuffer: false,
    lazyLoad: false,
    liveSync: true,
    liveSyncMaxLatency: 1.6,
    liveSyncTargetLatency: 0.8,
    liveSyncPlaybackRate: 1.1,
    autoCleanupSourceBuffer: true,
    autoCleanupMaxBackwardDuration: 30,
    autoCleanupMinBackwardDuration: 10,
  });
  player.attachMediaElement(video);
  player.on(mpegts.Events.MEDIA_INFO, (info) => isMine() && showMedia(info));
  player.on(mpegts.Events.STATISTICS_INFO, (info) => isMine() && showStatistics(info));
  player.on(mpegts.Events.LOADING_COMPLETE, () => {
    clearTimeout(waiting);
    if (isMine()) again('The stream ended', 'Waiting for it to come back.');
  });
  player.on(mpegts.Events.ERROR, (type, detail, info) => {
    clearTimeout(waiting);
    if (!isMine()) return;
    const { title, text, final } = explain(type, detail, info, wanted);
    if (final) {
      stop();
      show('error', title, text);
    } else {
      again(title, text);
    }
  });
  player.load();
  // Muted playback needs no click; a browser that refuses all the same gets its click from the pause button.
  Promise.resolve(player.play()).catch(() => {});
}

/** Ends this attempt and begins the next in a while, longer each time until one plays. */
function again(title, text) {
  stop();
  show('waiting', title, text, 'Reconnecting');
  retryTimer = setTimeout(start, retryMs);
  retryMs = Math.min(retryMs * 2, RETRY_LAST_MS);
}

/** What an error of mpegts.js means to who watches, and whether trying again is of use. */
function explain(type, detail, info, wanted) {
  const code = info?.code;
  if (detail === mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) {
    if (code === 404)
      return {
        title: 'Not found',
        text: `The node has no place for ${wanted.stream}: no such virtual host, or it is off.`,
        final: true,
      };
    if (code === 401 || code === 403)
      return { title: 'Not allowed', text: `The node refuses to play ${wanted.stream}.`, final: true };
    if (code === 503)
      return { title: 'The node is busy', text: 'It drains or has as many connections as it may.', final: false };
    return { title: `The node answered ${code}`, text: wanted.url, final: false };
  }
  if (type === mpegts.ErrorTypes.NETWORK_ERROR) {
    return {
      title: 'No connection',
      text: `${new URL(wanted.url).host} does not answer. Is the node running?`,
      final: false,
    };
  }
  if (detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED) {
    return { title: 'This browser cannot decode the stream', text: String(info?.msg ?? ''), final: true };
  }
  return { title: 'The picture broke', text: String(info?.msg ?? detail), final: false };
}

function showMedia(info) {
  const { width, height, fps, videoCodec, audioCodec, audioSampleRate } = info;
  const rate = fps > 0 && fps < 1_000 ? ` · ${Math.round(fps)} fps` : '';
  byId('picture').textContent = width > 0 ? `${width}×${height}${rate}` : 'none';
  byId('picture').title = videoCodec ?? '';
  const sound = audioCodec ? `${audioCodec.startsWith('mp4a') ? 'AAC' : audioCodec}` : '';
  byId('audio').textContent = sound === '' ? 'none' : `${sound} ${(audioSampleRate / 1_000).toFixed(1)} kHz`;
  byId('audio').title = audioCodec ?? '';
}

function showStatistics(info) {
  if (stage.dataset.state !== 'playing') return;
  // KB/s, averaged by mpegts.js over its report interval.
  const kbps = (info.speed ?? 0) * 8;
  byId('bitrate').textContent = kbps >= 1_000 ? `${(kbps / 1_000).toFixed(1)} Mb/s` : `${Math.round(kbps)} kb/s`;
  byId('dropped').textContent = String(info.droppedFrames ?? 0);
}

/** Seconds of media that have arrived and are not on the screen yet. */
function behind() {
  const { buffered, currentTime } = video;
  return buffered.length === 0 ? undefined : Math.max(0, buffered.end(buffered.length - 1) - currentTime);
}

setInterval(() => {
  if (player === undefined || stage.dataset.state !== 'playing' || video.paused) return;
  const seconds = behind();
  if (seconds === undefined) return;
  if (seconds > JUMP_BEHIND_S) video.currentTime += seconds - 0.8;
  byId('latency').textContent = `${seconds.toFixed(1)} s`;
  byId('pill-text').textContent = `Playing · ${seconds.toFixed(1)} s behind live`;
}, 500);

video.addEventListener('playing', () => {
  retryMs = RETRY_FIRST_MS;
  show('playing', 'Playing');
});
video.addEventListener('waiting', () => {
  if (stage.dataset.state === 'playing') byId('pill-text').textContent = 'Waiting for data';
});

function showSound() {
  byId('sound').setAttribute('aria-pressed', String(!video.muted));
  byId('sound-text').textContent = video.muted ? 'Turn sound on' : 'Sound on';
  stage.toggleAttribute('data-muted', video.muted);
}
byId('sound').addEventListener('click', () => {
  video.muted = !video.muted;
  showSound();
});
byId('pause').addEventListener('click', () => {
  if (video.paused) {
    const seconds = behind();
    if (seconds !== undefined) video.currentTime += Math.max(0, seconds - 0.8);
    video.play().catch(() => {});
  } else {
    video.pause();
  }
});
for (const event of ['play', 'pause']) {
  video.addEventListener(event, () => byId('pause').setAttribute('aria-pressed', String(video.paused)));
}
byId('full').addEventListener('click', () => {
  if (document.fullscreenElement === null) stage.requestFullscreen().catch(() => {});
  else document.exitFullscreen().catch(() => {});
});
byId('retry').addEventListener('click', start);
byId('pick').addEventListener('submit', (event) => {
  event.preventDefault();
  const query = new URLSearchParams({ stream: streamInput.value.trim() });
  if (hostInput.value.trim() !== '') query.set('host', hostInput.value.trim());
  // Slashes and colons may stand in a query as they are; the address stays readable.
  history.replaceState(null, '', `?${query.toString().replaceAll('%2F', '/').replaceAll('%3A', ':')}`);
  retryMs = RETRY_FIRST_MS;
  start();
});

function showAddresses() {
  let wanted;
  try {
    wanted = target();
  } catch {
    return;
  }
  const host = new URL(wanted.base).hostname;
  const isHere = wanted.base === location.origin;
  // Another node's RTMP port is not known here; 1935 is the standard one.
  const port = isHere ? RTMP_PORT : 1935;
  const authority = port === 1935 ? host : `${host}:${port}`;
  const slash = wanted.stream.lastIndexOf('/');
  const server = `rtmp://${authority}/${wanted.stream.slice(0, slash)}`;
  const key = wanted.stream.slice(slash + 1);
  byId('obs-server').textContent = server;
  byId('obs-key').textContent = key;
  byId('publish').textContent = `ffmpeg -re -i video.mp4 -c copy -f flv ${server}/${key}`;
  byId('play-rtmp').textContent = `ffplay ${server}/${key}`;
  byId('play-flv').textContent = wanted.url;
}

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const code = byId(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      // The clipboard is shut on plain http from another machine: mark the text instead, for a copy by hand.
      getSelection().selectAllChildren(code);
      button.textContent = 'Marked';
    }
    setTimeout(() => (button.textContent = 'Copy'), 1_500);
  });
}

const query = new URLSearchParams(location.search);
streamInput.value = query.get('stream') || streamInput.value;
hostInput.value = query.get('host') || '';
showSound();
start();
