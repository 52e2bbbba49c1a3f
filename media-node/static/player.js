/* The page's whole behaviour: plays one stream as HTTP-FLV or HLS, says what is going on, and never gives up. */

import { openFlv } from './flv-engine.js';
import { openHls } from './hls-engine.js';

/** How a stream is asked for: the ending of its address, and who plays it. */
const FORMATS = { flv: { ending: '.flv', open: openFlv }, hls: { ending: '.m3u8', open: openHls } };
const byId = (id) => document.getElementById(id);
const video = byId('video');
const stage = byId('stage');
const streamInput = byId('stream');
const hostInput = byId('host');
const formatInput = byId('format');

const RTMP_PORT = Number(document.querySelector('meta[name=livecluster-rtmp-port]').content);
/** How far the picture may fall behind what has arrived before it jumps to it, in seconds. */
const JUMP_BEHIND_S = 5;
const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 5_000;

/** The attempt on the screen; a later one makes every callback of an earlier one mean nothing. */
let attempt = 0;
let engine;
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
    .replace(/\.(flv|m3u8)$/, '');
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
  const urlOf = (format) => `${base}/${encoded}${FORMATS[format].ending}${query === undefined ? '' : `?${query}`}`;
  return { stream: path, url: urlOf(formatInput.value), urlOf, base };
}

function stop() {
  attempt += 1;
  clearTimeout(retryTimer);
  const old = engine;
  engine = undefined;
  old?.close();
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
  const mine = attempt;
  const isMine = () => mine === attempt;
  show('connecting', 'Connecting', wanted.url, 'Connecting');
  // The node answers at once, or waits for somebody who publishes.
  const waiting = setTimeout(() => {
    if (isMine() && stage.dataset.state === 'connecting') showWaiting(wanted);
  }, 1_200);
  engine = FORMATS[formatInput.value].open(video, wanted.url, {
    onMedia: (told) => isMine() && showMedia(told),
    onSpeed: (kbps) => isMine() && showSpeed(kbps),
    onEnd: () => {
      clearTimeout(waiting);
      if (isMine()) again('The stream ended', 'Waiting for it to come back.');
    },
    onMissing: () => {
      clearTimeout(waiting);
      if (!isMine()) return;
      again('', '');
      showWaiting(wanted);
    },
    onFailure: (failure) => {
      clearTimeout(waiting);
      if (!isMine()) return;
      const { title, text, isFinal } = explain(failure, wanted);
      if (isFinal) {
        stop();
        show('error', title, text, failure.pill ?? title);
      } else {
        again(title, text);
      }
    },
  });
  // Muted playback needs no click; a browser that refuses all the same gets its click from the pause button.
  if (isMine()) Promise.resolve(video.play()).catch(() => {});
}

function showWaiting({ stream }) {
  const text = `Nobody publishes ${stream} yet. It begins here by itself.`;
  show('waiting', 'Waiting for the stream', text, 'Waiting for stream');
}

/** Ends this attempt and begins the next in a while, longer each time until one plays. */
function again(title, text) {
  stop();
  show('waiting', title, text, 'Reconnecting');
  retryTimer = setTimeout(start, retryMs);
  retryMs = Math.min(retryMs * 2, RETRY_LAST_MS);
}

/** What a failure means to who watches, and whether trying again is of use: see the engines for its `kind`. */
function explain({ kind, status, text = '', title = '' }, wanted) {
  if (kind === 'unsupported') return { title, text, isFinal: true };
  if (kind === 'broken') return { title: 'The picture broke', text, isFinal: false };
  if (kind === 'unreachable') {
    const { host } = new URL(wanted.url);
    return { title: 'No connection', text: `${host} does not answer. Is the node running?`, isFinal: false };
  }
  if (status === 404) {
    const reason = `The node has no place for ${wanted.stream}: no such virtual host, or it is off.`;
    return { title: 'Not found', text: reason, isFinal: true };
  }
  if (status === 401 || status === 403)
    return { title: 'Not allowed', text: `The node refuses to play ${wanted.stream}.`, isFinal: true };
  if (status === 503)
    return { title: 'The node is busy', text: 'It drains or has as many connections as it may.', isFinal: false };
  return { title: `The node answered ${status}`, text: wanted.url, isFinal: false };
}

/** Each left out where it is not known. */
function showMedia({ width = 0, height = 0, fps = 0, videoCodec, audio, audioCodec }) {
  const rate = fps > 0 && fps < 1_000 ? ` · ${Math.round(fps)} fps` : '';
  byId('picture').textContent = width > 0 ? `${width}×${height}${rate}` : 'none';
  byId('picture').title = videoCodec ?? '';
  byId('audio').textContent = audio ?? 'none';
  byId('audio').title = audioCodec ?? '';
}

function showSpeed(kbps) {
  if (stage.dataset.state !== 'playing') return;
  byId('bitrate').textContent = kbps >= 1_000 ? `${(kbps / 1_000).toFixed(1)} Mb/s` : `${Math.round(kbps)} kb/s`;
}

setInterval(() => {
  if (engine === undefined || stage.dataset.state !== 'playing' || video.paused) return;
  byId('dropped').textContent = String(video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0);
  const seconds = engine.behind();
  if (seconds === undefined) return;
  if (seconds > JUMP_BEHIND_S && engine.mayJump) engine.toLive();
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
    engine?.toLive();
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
  if (formatInput.value !== 'flv') query.set('format', formatInput.value);
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
  byId('play-flv').textContent = wanted.urlOf('flv');
  byId('play-hls').textContent = wanted.urlOf('hls');
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
formatInput.value = Object.hasOwn(FORMATS, query.get('format')) ? query.get('format') : 'flv';
formatInput.addEventListener('change', () => byId('pick').requestSubmit());
showSound();
start();
