import { DEFAULT_VHOST } from '#contract/names.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PathNames, PathValues } from '../lib/path-template.ts';
import { MAX_PATH_LENGTH, PathError, PathTemplate } from '../lib/path-template.ts';

/** What lies at a path: a playlist, a manifest, or a file that a snapshot names. */
export type PathKind = 'm3u8' | 'mpd' | 'segment' | 'part' | 'init' | 'key';

/** What a path names. */
export interface PathMatch extends PathNames {
  readonly kind: PathKind;
}

/** The part of a Vhost that says where its playlists, manifests and files lie. */
export interface PathSettings {
  readonly name: string;
  readonly hls: Pick<VhostConfig['hls'], 'm3u8File' | 'tsFile' | 'fmp4File'> & {
    readonly keys: Pick<VhostConfig['hls']['keys'], 'keyFile'>;
  };
  readonly dash: Pick<VhostConfig['dash'], 'mpdFile'>;
}

const PART = /\.p\d+\.m4s$/;

interface Pattern {
  readonly kind: PathKind;
  readonly template: PathTemplate;
}

/**
 * The paths of a Vhost's playlists, manifests and files. What one method gives, `match` gives back, and no two streams of
 * the Vhost have the same; templates that cannot keep that up are a PathError.
 *
 * Names made from `fmp4File`, with `[app]/[stream]-[track]-[seq].m4s` for segment 7: `live/s-video-7.m4s`, its parts
 * `live/s-video-7.p0.m4s` and so on, an initialization section that comes into force with it `live/s-video-init-7.mp4`.
 */
export class VhostPaths {
  /** What `[vhost]` stands for; undefined: it is left out. */
  readonly vhost: string | undefined;
  /** By the end of their names, which the CRD holds apart. */
  readonly #patterns: Readonly<Record<string, Pattern>>;
  readonly #m3u8: PathTemplate;
  readonly #mpd: PathTemplate;
  readonly #ts: PathTemplate;
  readonly #fmp4: PathTemplate;
  readonly #init: PathTemplate;
  readonly #key: PathTemplate;

  constructor({ name, hls, dash }: PathSettings) {
    this.vhost = name === DEFAULT_VHOST ? undefined : name;
    const make = (text: string) => new PathTemplate(text, this.vhost);
    this.#m3u8 = make(hls.m3u8File);
    this.#mpd = make(dash.mpdFile);
    this.#ts = make(hls.tsFile);
    this.#fmp4 = make(hls.fmp4File);
    this.#key = make(hls.keys.keyFile);
    const stem = hls.fmp4File.replace(/\.m4s$/, '');
    this.#init = make(`${stem.includes('[seq]') ? stem.replace('[seq]', 'init-[seq]') : `${stem}-init-[seq]`}.mp4`);
    this.#patterns = {
      m3u8: { kind: 'm3u8', template: this.#m3u8 },
      mpd: { kind: 'mpd', template: this.#mpd },
      ts: { kind: 'segment', template: this.#ts },
      m4s: { kind: 'segment', template: this.#fmp4 },
      mp4: { kind: 'init', template: this.#init },
      key: { kind: 'key', template: this.#key },
    };
  }

  playlist(names: PathNames): string {
    return this.#own('m3u8', names, (escape) => this.#m3u8.render(names, escape));
  }

  manifest(names: PathNames): string {
    return this.#own('mpd', names, (escape) => this.#mpd.render(names, escape));
  }

  tsSegment(names: PathNames, values: Omit<PathValues, 'track'>): string {
    const all = { ...values, track: 'video' } as const;
    return this.#own('segment', names, (escape) => this.#ts.render(names, escape, all));
  }

  fmp4Segment(names: PathNames, values: PathValues): string {
    return this.#own('segment', names, (escape) => this.#fmp4.render(names, escape, values));
  }

  /** `part` counts from 0 within its segment. */
  part(names: PathNames, values: PathValues, part: number): string {
    return this.#own('part', names, (escape) =>
      this.#fmp4.render(names, escape, values).replace(/\.m4s$/, `.p${part}.m4s`),
    );
  }

  /** `values` of the first segment that it is in force for. */
  init(names: PathNames, values: PathValues): string {
    return this.#own('init', names, (escape) => this.#init.render(names, escape, values));
  }

  /** `values` of the first segment that is encrypted with it. */
  key(names: PathNames, values: Omit<PathValues, 'track'>): string {
    const all = { ...values, track: 'video' } as const;
    return this.#own('key', names, (escape) => this.#key.render(names, escape, all));
  }

  /** What lies at a path, whether or not there is such a stream. `path` is decoded, without its leading slash. */
  match(path: string): PathMatch | undefined {
    const ending = path.slice(path.lastIndexOf('.') + 1);
    const pattern = Object.hasOwn(this.#patterns, ending) ? this.#patterns[ending] : undefined;
    if (pattern === undefined) return undefined;
    // First as a part: a segment's template may fit it too, with another stream.
    if (PART.test(path)) {
      const names = pattern.template.match(path.replace(PART, '.m4s'));
      if (names !== undefined) return { kind: 'part', ...names };
    }
    const names = pattern.template.match(path);
    return names && { kind: pattern.kind, ...names };
  }

  #own(kind: PathKind, names: PathNames, render: (escape: 'dangerous' | 'everything') => string): string {
    for (const escape of ['dangerous', 'everything'] as const) {
      const path = render(escape);
      if (path.length > MAX_PATH_LENGTH) {
        throw new PathError(
          'too-long',
          `a path of ${path.length} characters, more than ${MAX_PATH_LENGTH}: shorten it`,
        );
      }
      const match = this.match(path);
      if (match?.kind === kind && match.app === names.app && match.stream === names.stream) return path;
    }
    throw new PathError(
      'ambiguous',
      `${this.#textOf(kind)} gives this stream a path that is read as another stream's, or is too long to be read: put a / or - between its variables`,
    );
  }

  #textOf(kind: PathKind): string {
    const texts: Record<PathKind, string> = {
      m3u8: `m3u8File ${this.#m3u8.text}`,
      mpd: `mpdFile ${this.#mpd.text}`,
      segment: `tsFile ${this.#ts.text} or fmp4File ${this.#fmp4.text}`,
      part: `fmp4File ${this.#fmp4.text}`,
      init: `fmp4File ${this.#fmp4.text}`,
      key: `keyFile ${this.#key.text}`,
    };
    return texts[kind];
  }
}

/** The text that two Vhosts' paths are equal for, or a Vhost's of two configurations. */
export function pathSettingsId({ name, hls, dash }: PathSettings): string {
  return JSON.stringify([name, hls.m3u8File, hls.tsFile, hls.fmp4File, hls.keys.keyFile, dash.mpdFile]);
}

/** Of one Vhost, besides the templates in force: files that playlists name for a while after a change of the templates. */
const MAX_FORMER = 4;
/** Vhosts remembered; a configuration has no more. */
const MAX_VHOSTS = 1_000;

/**
 * The paths of Vhosts as their configurations come and go: made once for each, and the former ones still matched, because
 * files of before a change are listed until they leave the window.
 */
export class VhostPathTable {
  /** By Vhost, newest first. */
  readonly #known = new Map<string, { readonly id: string; readonly paths: VhostPaths }[]>();
  /** Of configurations that were asked for: every request asks, and they change seldom. */
  readonly #ofSettings = new WeakMap<PathSettings, VhostPaths>();

  /** The paths in force; `vhost` as the configuration now has it. */
  of(vhost: PathSettings): VhostPaths {
    const last = this.#ofSettings.get(vhost);
    if (last !== undefined && this.#known.get(vhost.name)?.[0]?.paths === last) return last;
    const paths = this.#find(vhost);
    this.#ofSettings.set(vhost, paths);
    return paths;
  }

  #find(vhost: PathSettings): VhostPaths {
    const known = this.#known.get(vhost.name) ?? [];
    const id = pathSettingsId(vhost);
    const [newest] = known;
    if (newest?.id === id) return newest.paths;
    const paths = known.find((each) => each.id === id)?.paths ?? new VhostPaths(vhost);
    const former = known.filter((each) => each.id !== id).slice(0, MAX_FORMER);
    this.#known.delete(vhost.name);
    this.#known.set(vhost.name, [{ id, paths }, ...former]);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_VHOSTS) break;
      this.#known.delete(oldest);
    }
    return paths;
  }

  /** As VhostPaths.match; files also by the templates that were in force before. */
  match(vhost: PathSettings, path: string): PathMatch | undefined {
    const match = this.of(vhost).match(path);
    if (match !== undefined) return match;
    for (const { paths } of (this.#known.get(vhost.name) ?? []).slice(1)) {
      const former = paths.match(path);
      if (former !== undefined && former.kind !== 'm3u8' && former.kind !== 'mpd') return former;
    }
    return undefined;
  }
}
