import assert from 'node:assert/strict';
import { ensureTools } from '../cluster/tools.ts';
import { PeerTool } from '../../media-node/src/protocols/testing/peer-tools.ts';
import { command } from './kubectl.ts';
import type { CommandResult } from './kubectl.ts';
import { LIMIT_MS, until } from './until.ts';

/*
 * Programs of other people that read what is served: each gets an address, reads some seconds of it, and must find nothing to
 * complain of.
 */

export interface Reader {
  readonly name: string;
  /** Host that names the Vhost; the default one where it is left out. */
  readonly host?: string;
  /** It needs all its answers from one edge. */
  readonly isSticky?: boolean;
  /** Reads from http://host:port; rejects with what the program said. */
  readonly read: (url: string) => Promise<void>;
}

const SECONDS = 6;

/**
 * ffmpeg reads the initialization section again with each playlist, and says so: of its own live HLS in fragmented MP4, too.
 */
const OF_ITSELF = /^\[mov,mp4[^\]]*\] Found duplicated MOOV Atom\. Skipped it$|^ *Last message repeated \d+ times$/;

/** @throws AssertionError with what a program said, when there is something to complain of */
function assertContent(program: string, url: string, { code, stderr }: CommandResult): void {
  const complaints = stderr.split('\n').filter((line) => line.trim() !== '' && !OF_ITSELF.test(line));
  const said = complaints.slice(0, 10).join('\n');
  assert.ok(complaints.length === 0 && code === 0, `${program} of ${url} ended with ${code}, and said:\n${said}`);
}

/**
 * Of live DASH, ffmpeg's own too: when a manifest lists a segment more than the one before, it takes a place in the list for a
 * number, and goes on with the first segment listed. In real time that is the next one; as fast as here it is an old one, so a
 * read is right in which no segment comes.
 */
const BEGAN_AGAIN = /DTS \d+ < \d+ out of order|Non-monotonous DTS in output stream/;
const MOST_READS = 20;
/** Read of DASH: enough for two segments and a bit of each track, and far less than is listed. */
const DASH_SECONDS = 4;

/** Reads live DASH with one of ffmpeg's programs, just after a segment came, until none comes meanwhile. */
async function inOneManifest(url: string, read: () => Promise<void>): Promise<void> {
  for (let reads = 1; ; reads++) {
    await nextSegment(url);
    try {
      return await read();
    } catch (error) {
      if (reads >= MOST_READS || !BEGAN_AGAIN.test((error as Error).message)) throw error;
    }
  }
}

/** Waits for a manifest that lists another segment than the last one. */
async function nextSegment(url: string): Promise<void> {
  const listed = async () => /publishTime="[^"]+"/.exec(await (await fetch(url)).text())?.[0];
  const before = await listed();
  await until(`${url} lists another segment`, async () => (await listed()) !== before);
}

/** ffmpeg takes the media apart and decodes it; a word on its standard error is a complaint. */
async function ffmpeg(url: string, tracks: readonly ('video' | 'audio')[], seconds = SECONDS): Promise<void> {
  const result = await command(
    'ffmpeg',
    [
      ...['-hide_banner', '-loglevel', 'warning', '-nostdin', '-xerror', '-i', url, '-t', String(seconds)],
      ...['-f', 'framecrc', '-'],
    ],
    { timeoutMs: LIMIT_MS },
  );
  assertContent('ffmpeg', url, result);
  // Of two tracks the picture comes first: "0, dts, pts, duration, size, crc".
  const frames = (index: number) => result.stdout.split('\n').filter((line) => line.startsWith(`${index},`)).length;
  for (const [index, kind] of tracks.entries()) {
    const least = (kind === 'video' ? 25 : 43) * (seconds - 1);
    assert.ok(
      frames(index) >= least,
      `ffmpeg got ${frames(index)} frames of ${kind} from ${url}, of at least ${least}`,
    );
  }
}

/** ffprobe names the codecs. */
async function ffprobe(url: string, ...codecs: string[]): Promise<void> {
  const args = ['-hide_banner', '-loglevel', 'warning', '-show_entries', 'stream=codec_name', '-of', 'csv=p=0', url];
  const result = await command('ffprobe', args, { timeoutMs: LIMIT_MS });
  assertContent('ffprobe', url, result);
  const found = new Set(result.stdout.split('\n').filter((line) => line !== ''));
  assert.deepEqual([...found].sort(), [...codecs].sort());
}

interface HlsClientReport {
  readonly tracks: readonly { readonly codec: string; readonly units: number; readonly stepsBack: number }[];
  readonly decodeErrors: readonly string[];
  readonly end?: string;
}

async function gohlslib(url: string): Promise<void> {
  const { 'hls-client': client } = await ensureTools();
  const { code, stdout, stderr } = await command(client, [url, String(SECONDS)], { timeoutMs: LIMIT_MS });
  assert.equal(code, 0, `gohlslib: ${stdout} ${stderr}`);
  const report = JSON.parse(stdout) as HlsClientReport;
  assert.deepEqual(report.decodeErrors, []);
  assert.deepEqual(report.tracks.map(({ codec }) => codec).sort(), ['*codecs.H264', '*codecs.MPEG4Audio']);
  for (const { codec, units, stepsBack } of report.tracks) {
    assert.ok(units >= 25, `gohlslib got ${units} units of ${codec}`);
    assert.equal(stepsBack, 0, `gohlslib: times of ${codec} rise`);
  }
}

async function vlc(url: string): Promise<void> {
  const tool = new PeerTool('cvlc', ['-I', 'dummy', '-q', '--sout', '#std{access=file,mux=ts,dst=-}', url]);
  try {
    const bytes = await tool.output(100_000);
    const pids = new Set<number>();
    for (let at = 0; at + 188 <= bytes.length; at += 188) pids.add(bytes.readUInt16BE(at + 1) & 0x1fff);
    assert.ok(pids.size >= 4, `VLC found tables, picture and sound at ${url}: ${[...pids].join()}`);
  } finally {
    tool.stop();
  }
}

/** GStreamer's demuxers, and its parser of H.264, which writes an Annex B stream. */
async function gstreamer(url: string, ...demuxers: string[]): Promise<void> {
  const chain = [...demuxers, 'h264parse', 'video/x-h264,stream-format=byte-stream', 'fdsink sync=false'];
  const args = `-q souphttpsrc location=${url} ! ${chain.join(' ! ')}`.split(' ');
  const tool = new PeerTool('gst-launch-1.0', args);
  try {
    const bytes = await tool.output(30_000);
    let pictures = 0;
    for (let at = bytes.indexOf('\x00\x00\x01', 0, 'latin1'); at >= 0;) {
      const type = (bytes[at + 3] ?? 0) & 0x1f;
      // A picture may have several slices; the first begins at macroblock 0: ue(v) of one bit.
      if ((type === 1 || type === 5) && ((bytes[at + 4] ?? 0) & 0x80) !== 0) pictures += 1;
      at = bytes.indexOf('\x00\x00\x01', at + 3, 'latin1');
    }
    assert.ok(pictures >= 25, `GStreamer found ${pictures} pictures at ${url}`);
  } finally {
    tool.stop();
  }
}

/**
 * The readers and what each reads: live/stream01 with H.264 and AAC in MPEG-TS and DASH at the default host, for low latency
 * at another.
 */
export function readersOf(lowLatencyHost: string): readonly Reader[] {
  const path = (file: string) => `/live/stream01${file}`;
  const dash = (url: string, read: (mpd: string) => Promise<void>) =>
    inOneManifest(url + path('.mpd'), () => read(url + path('.mpd')));
  return [
    { name: 'ffmpeg, HLS of MPEG-TS', read: (url) => ffmpeg(url + path('.m3u8'), ['video', 'audio']) },
    {
      name: 'ffmpeg, Low-Latency HLS',
      host: lowLatencyHost,
      read: (url) => ffmpeg(url + path('.m3u8'), ['video', 'audio']),
    },
    { name: 'ffmpeg, DASH', read: (url) => dash(url, (mpd) => ffmpeg(mpd, ['video', 'audio'], DASH_SECONDS)) },
    { name: 'ffmpeg, HTTP-TS', read: (url) => ffmpeg(url + path('.ts'), ['video', 'audio']) },
    { name: 'ffmpeg, HTTP-AAC', read: (url) => ffmpeg(url + path('.aac'), ['audio']) },
    { name: 'ffprobe, HLS of MPEG-TS', read: (url) => ffprobe(url + path('.m3u8'), 'h264', 'aac') },
    { name: 'ffprobe, DASH', read: (url) => dash(url, (mpd) => ffprobe(mpd, 'h264', 'aac')) },
    { name: "gohlslib's client, HLS of MPEG-TS", read: (url) => gohlslib(url + path('.m3u8')) },
    {
      // It reads playlists without waiting (_HLS_msn): from an edge that is a moment behind it takes the same part again.
      name: "gohlslib's client, Low-Latency HLS, one edge",
      isSticky: true,
      host: lowLatencyHost,
      read: (url) => gohlslib(url + path('.m3u8')),
    },
    { name: 'VLC, HLS of MPEG-TS', read: (url) => vlc(url + path('.m3u8')) },
    { name: 'VLC, Low-Latency HLS', host: lowLatencyHost, read: (url) => vlc(url + path('.m3u8')) },
    { name: 'GStreamer, HLS of MPEG-TS', read: (url) => gstreamer(url + path('.m3u8'), 'hlsdemux', 'tsdemux') },
    // Not GStreamer: 1.22 finds no segment in a live SegmentTimeline that does not begin at 0, whose first time it counts twice.
    { name: 'VLC, DASH', read: (url) => vlc(url + path('.mpd')) },
  ];
}
