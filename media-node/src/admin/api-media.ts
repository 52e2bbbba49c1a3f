import { createHash } from 'node:crypto';
import { DEFAULT_VHOST } from '#contract/names.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PackagedTrack } from '#contract/packaging.ts';
import type { Metadata } from '../media/frame.ts';
import type { AudioTrack, Track } from '../media/track.ts';
import type { Visitor } from '../packaging/viewer-sessions.ts';
import type { SessionInfo } from '../stream/gate.ts';
import type { Playback } from '../stream/player.ts';
import { allProtocols } from '../stream/publisher.ts';
import type { Protocol, Publisher } from '../stream/publisher.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { Stream } from '../stream/stream.ts';
import { quantile, rising } from './quantiles.ts';
import type { Traffic, TrafficFigures } from './traffic.ts';

export interface ApiMediaOptions {
  /** This node's streams; an edge may have one key twice: what it pulls, and what an encoder hands on by it. */
  readonly streams: () => Iterable<Stream>;
  /** Viewers without a connection; default none. */
  readonly visitors?: () => Iterable<Visitor>;
  /** What is known of a packaged stream's tracks, wherever it is packaged; default nothing. */
  readonly packaged?: (key: StreamKey) => readonly PackagedTrack[] | undefined;
  readonly vhosts: () => readonly VhostConfig[];
  readonly traffic: Traffic;
  /** What a session said of itself; undefined for the node's own relays. */
  readonly session: (id: string) => SessionInfo | undefined;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** One viewer or encoder, as `/api/v1/clients` shows it. */
interface Client {
  readonly id: string;
  readonly session: SessionInfo;
  readonly stream: Stream;
  readonly sinceMs: number;
  readonly source: { readonly playback: Playback } | { readonly publisher: Publisher } | { readonly visitor: Visitor };
}

/** Where a page of a list begins and how long it is. */
export interface Page {
  readonly start: number;
  readonly count: number;
}

/** SRS's names of what clients do. */
const PLAY_TYPES: Record<Protocol, string> = {
  rtmp: 'rtmp-play',
  flv: 'flv-play',
  // SRS calls every stream over HTTP so.
  ts: 'flv-play',
  aac: 'flv-play',
  mp3: 'flv-play',
  hls: 'hls-play',
  dash: 'dash-play',
};
const PUBLISH_TYPE = 'fmle-publish';

/**
 * The node's streams, sessions and vhosts in the words of SRS's API, with keys of our own for what SRS lacks. All is
 * computed when it is asked for.
 */
export class ApiMedia {
  readonly #options: ApiMediaOptions;
  readonly #now: () => number;

  constructor(options: ApiMediaOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  vhosts(): object[] {
    const groups = [...this.#groups().values()];
    return this.#options.vhosts().map((vhost) => this.#vhost(vhost, groups));
  }

  vhost(id: string): object | undefined {
    const vhost = this.#options.vhosts().find(({ name }) => vhostId(name) === id);
    return vhost && this.#vhost(vhost, [...this.#groups().values()]);
  }

  streams({ start, count }: Page): object[] {
    return [...this.#groups().values()].slice(start, start + count).map((group) => this.#stream(group));
  }

  stream(id: string): object | undefined {
    const group = this.#groups().get(id);
    return group && this.#stream(group);
  }

  clients({ start, count }: Page): object[] {
    const page: object[] = [];
    let index = 0;
    for (const client of this.#clients()) {
      if (index >= start + count) break;
      if (index >= start) page.push(this.#client(client));
      index++;
    }
    return page;
  }

  client(id: string): object | undefined {
    const client = this.#find(id);
    return client && this.#client(client);
  }

  /** Ends a client's session; false: there is none of that id. */
  kick(id: string): boolean {
    const client = this.#find(id);
    if (client === undefined) return false;
    const reason = 'ended by the API';
    const { source } = client;
    if ('playback' in source) source.playback.player.close(reason);
    else if ('visitor' in source) source.visitor.close(reason);
    else source.publisher.close(reason);
    return true;
  }

  /** Bytes and rates of all streams that the node has had. */
  traffic(): TrafficFigures {
    return this.#options.traffic.node();
  }

  /** Streams that somebody publishes or plays, by id. */
  #groups(): Map<string, Stream[]> {
    const groups = new Map<string, Stream[]>();
    for (const stream of this.#options.streams()) {
      if (stream.isIdle) continue;
      const id = streamId(stream.key);
      const group = groups.get(id);
      if (group === undefined) groups.set(id, [stream]);
      else group.push(stream);
    }
    return groups;
  }

  /** Those of some streams; default all. */
  *#clients(of?: ReadonlySet<Stream>): Generator<Client> {
    const { session } = this.#options;
    for (const stream of of ?? this.#options.streams()) {
      const { publisher } = stream;
      const info = publisher && session(publisher.id);
      if (publisher !== undefined && info !== undefined) {
        const sinceMs = stream.publishedAtMs ?? this.#now();
        yield { id: publisher.id, session: info, stream, sinceMs, source: { publisher } };
      }
      for (const playback of stream.playbacks()) {
        const { id } = playback.player;
        const viewer = session(id);
        if (viewer === undefined) continue;
        yield { id, session: viewer, stream, sinceMs: playback.startedAtMs, source: { playback } };
      }
    }
    for (const visitor of this.#options.visitors?.() ?? []) {
      const { id, session: viewer, stream, startedAtMs } = visitor;
      if (of?.has(stream) === false) continue;
      yield { id, session: viewer, stream, sinceMs: startedAtMs, source: { visitor } };
    }
  }

  #find(id: string): Client | undefined {
    for (const client of this.#clients()) if (client.id === id) return client;
    return undefined;
  }

  #count(streams: readonly Stream[]): number {
    let clients = 0;
    for (const _ of this.#clients(new Set(streams))) clients++;
    return clients;
  }

  #vhost(vhost: VhostConfig, groups: readonly Stream[][]): object {
    const own = groups.filter(([stream]) => stream?.key.vhost === vhost.name);
    return {
      id: vhostId(vhost.name),
      name: vhost.name,
      enabled: vhost.enabled,
      clients: this.#count(own.flat()),
      streams: own.length,
      ...this.#options.traffic.vhost(vhost.name),
      hls: vhost.hls.enabled ? { enabled: true, fragment: vhost.hls.fragmentMs / 1_000 } : { enabled: false },
    };
  }

  #stream(group: readonly Stream[]): object {
    // Where an edge has an encoder and viewers of one stream, the encoder's side tells of the source.
    const source = group.find(({ publisher }) => publisher?.kind === 'encoder') ?? group[0];
    if (source === undefined) throw new Error('a group of streams is never empty');
    const { key, publisher, publishedAtMs, gauge } = source;
    const all = group.map((stream) => ({ stream, stats: stream.stats() }));
    const traffic = all.map(({ stream, stats }) => this.#options.traffic.stream(stream, stats));
    const sum = (pick: (each: (typeof all)[number]) => number): number =>
      all.reduce((total, each) => total + pick(each), 0);
    const queuesMs = rising(group.flatMap((stream) => stream.playbacks().map(({ queuedMs }) => queuedMs)));
    const own = publisher && this.#options.traffic.stream(source);
    return {
      id: streamId(key),
      name: key.stream,
      vhost: vhostId(key.vhost),
      app: key.app,
      tcUrl: withoutQuery((publisher && this.#options.session(publisher.id)?.tcUrl) ?? ''),
      url: urlOf(key),
      live_ms: publishedAtMs === undefined ? 0 : Math.max(0, this.#now() - publishedAtMs),
      clients: this.#count(group),
      frames: gauge.videoFrames,
      send_bytes: sum(({ stats }) => stats.bytesOut),
      recv_bytes: own?.recv_bytes ?? sum(({ stats }) => stats.bytesIn),
      kbps: {
        recv_30s: own?.kbps.recv_30s ?? traffic.reduce((total, { kbps }) => total + kbps.recv_30s, 0),
        send_30s: traffic.reduce((total, { kbps }) => total + kbps.send_30s, 0),
      },
      publish: publisher === undefined ? { active: false } : { active: true, cid: publisher.id },
      ...this.#tracks(source),
      // Ours.
      ...(source.furtherTracks.length > 0 && { further_tracks: source.furtherTracks.map(furtherOf) }),
      source: publisher?.kind ?? (source.isHeld ? 'awaited' : null),
      viewers: sum(({ stats }) => allProtocols(stats.viewers)),
      relays: sum(({ stats }) => stats.relays),
      audio_frames: gauge.audioFrames,
      dropped_frames: sum(({ stats }) => stats.framesDropped),
      skipped_frames: sum(({ stats }) => stats.framesSkipped),
      skips: sum(({ stats }) => stats.skips),
      seams: sum(({ stats }) => stats.seams),
      discontinuities: sum(({ stats }) => stats.discontinuities),
      queue_ms: { p50: Math.round(quantile(queuesMs, 0.5)), max: Math.round(queuesMs.at(-1) ?? 0) },
      gop: { frames: gauge.gopFrames, ms: Math.round(gauge.gopMs) },
      av_skew_ms: gauge.avSkewMs === undefined ? null : Math.round(gauge.avSkewMs),
    };
  }

  /** Where nothing but segments comes here, what is told of those. */
  #tracks({ key, tracks, metadata }: Stream): { readonly video: object | null; readonly audio: object | null } {
    const told = tracks.length === 0 ? this.#options.packaged?.(key) : undefined;
    const of = (kind: Track['kind']) => (told ?? tracks).find((track) => track.kind === kind);
    return { video: videoOf(of('video'), metadata), audio: audioOf(of('audio')) };
  }

  #client({ id, session, stream, sinceMs, source }: Client): object {
    const { key } = stream;
    const isPlay = !('publisher' in source);
    const stats = 'playback' in source ? source.playback.stats() : undefined;
    return {
      id,
      vhost: vhostId(key.vhost),
      stream: streamId(key),
      ip: session.ip,
      pageUrl: withoutQuery(session.pageUrl),
      swfUrl: '',
      tcUrl: withoutQuery(session.tcUrl),
      url: urlOf(key),
      name: key.stream,
      type: isPlay
        ? PLAY_TYPES['playback' in source ? source.playback.player.protocol : session.protocol]
        : PUBLISH_TYPE,
      publish: !isPlay,
      alive: Math.max(0, this.#now() - sinceMs) / 1_000,
      ...this.#figures(source, sinceMs),
      // Ours.
      relay: session.relay !== undefined,
      ...(isPlay && {
        queue_ms: 'playback' in source ? Math.round(source.playback.queuedMs) : 0,
        skips: stats?.skips ?? 0,
        skipped_frames: stats?.framesSkipped ?? 0,
      }),
    };
  }

  #figures(source: Client['source'], sinceMs: number): TrafficFigures {
    const { traffic } = this.#options;
    if ('playback' in source) return traffic.playback(source.playback);
    return 'visitor' in source ? traffic.visitor(source.visitor) : traffic.publisher(source.publisher, sinceMs);
  }
}

/** A track, of frames or of segments; what an older node does not tell is left empty. */
type Shown = Pick<PackagedTrack, 'codec' | 'profile' | 'level' | 'width' | 'height' | 'sampleRate' | 'channels'>;

/** The configuration of VP9 has no size: there the encoder's word is taken for it. */
function videoOf(track: Shown | undefined, said: Metadata | undefined): object | null {
  if (track === undefined) return null;
  const { codec = '', profile = '', level = '' } = track;
  const width = track.width || pixels(said?.['width']);
  const height = track.height || pixels(said?.['height']);
  return { codec: codec.toUpperCase(), profile, level, width, height };
}

/** A track beside the first of its kind, of an encoder that sends several. */
function furtherOf(track: Track): object {
  const about = track.kind === 'video' ? videoOf(track, undefined) : audioOf(track);
  return { kind: track.kind, track_id: track.index, ...about };
}

function pixels(value: unknown): number {
  return typeof value === 'number' && value > 0 && value < 65_536 ? Math.round(value) : 0;
}

function audioOf(track: Shown | undefined): object | null {
  if (track === undefined) return null;
  const { codec = '', sampleRate = 0, channels = 0, profile = '' } = track;
  return { codec: AUDIO_NAMES[codec] ?? codec.toUpperCase(), sample_rate: sampleRate, channel: channels, profile };
}

const AUDIO_NAMES: Readonly<Record<string, string>> = {
  aac: 'AAC',
  mp3: 'MP3',
  opus: 'Opus',
  ac3: 'AC3',
  eac3: 'EAC3',
  flac: 'FLAC',
  pcma: 'G711A',
  pcmu: 'G711U',
  speex: 'Speex',
} satisfies Record<AudioTrack['codec'], string>;

/** The same on every node and after each restart. */
export function vhostId(name: string): string {
  return idOf(`vhost ${name}`);
}

/** See vhostId. */
export function streamId(key: StreamKey): string {
  return idOf(`stream ${streamKeyId(key)}`);
}

/** In the shape of SRS's: `vid-` and seven characters. */
function idOf(text: string): string {
  const number = createHash('sha256').update(text).digest().readBigUInt64BE();
  return `vid-${number.toString(36).padStart(7, '0').slice(-7)}`;
}

/** As SRS writes it: the vhost is left out where it is the default one. */
function urlOf({ vhost, app, stream }: StreamKey): string {
  return `${vhost === DEFAULT_VHOST ? '' : vhost}/${app}/${stream}`;
}

/** Queries hold tokens. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, '');
}
