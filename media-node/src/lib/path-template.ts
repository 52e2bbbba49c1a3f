/*
 * Path templates of a Vhost, such as `[app]/[stream]-[seq].ts`: names of streams become paths, and paths names again.
 * Paths are decoded text below a root, as a request's path after percent-decoding or a file's below a folder.
 */

/** Whose path it is. `app` may hold `/`, which makes folders. */
export interface PathNames {
  readonly app: string;
  readonly stream: string;
}

/** What the variables of a file stand for; those that a template lacks are not looked at. */
export interface PathValues {
  readonly seq: number;
  /** Wall clock of the first sample: `[timestamp]`, and in UTC `[2006]`, `[01]`, `[02]`, `[15]`, `[04]`, `[05]`, `[999]`. */
  readonly timestampMs: number;
  /** `[duration]`; 0 where it is not known yet. */
  readonly durationMs: number;
  readonly track: 'video' | 'audio';
}

/** `ambiguous`: the path would be another stream's too. `too-long`: no playlist may say it. */
export type PathErrorCode = 'ambiguous' | 'too-long';

/** A template, or a path of one, that cannot be used. */
export class PathError extends Error {
  override readonly name = 'PathError';
  readonly code: PathErrorCode;
  constructor(code: PathErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** As long as contract/packaging.ts lets a file's path be. */
export const MAX_PATH_LENGTH = 2_048;
/** No longer path is looked at: matching costs its square at worst. */
const MAX_MATCHED_LENGTH = 1_200;

/** Pattern of what a variable's value looks like. `app` takes slashes. */
const VARIABLES: Readonly<Record<string, string>> = {
  app: '.+',
  stream: '[^/]+',
  seq: String.raw`\d+`,
  track: 'video|audio',
  timestamp: String.raw`\d+`,
  duration: String.raw`\d+`,
  '2006': String.raw`\d{4,6}`,
  '01': String.raw`\d{2}`,
  '02': String.raw`\d{2}`,
  '15': String.raw`\d{2}`,
  '04': String.raw`\d{2}`,
  '05': String.raw`\d{2}`,
  '999': String.raw`\d{3}`,
};

/** How names are written: as they are but for what could lead elsewhere, or with nothing but letters and digits. */
type Escape = 'dangerous' | 'everything';

/**
 * One template. `vhost` is put in for `[vhost]`; `[vhost]/` is left out without one.
 *
 * A name stands in a path as it is, but for `%`, backslashes, control characters, a dot at its beginning, and slashes that
 * would make an empty folder; they are percent-encoded. Where such a path would be read as another stream's (`[app]-[stream]`
 * with `a` and `b-c`), everything but letters, digits and `_` is. So no two streams share a path, and none leads out of the root.
 */
export class PathTemplate {
  readonly text: string;
  readonly #pieces: readonly string[];
  readonly #pattern: RegExp;

  constructor(text: string, vhost?: string) {
    this.text = text;
    const filled = vhost === undefined ? text.replaceAll('[vhost]/', '') : text;
    this.#pieces = filled
      .replaceAll('[vhost]', vhost ?? '')
      .split(/\[(app|stream|seq|track|timestamp|duration|2006|01|02|15|04|05|999)\]/);
    const seen = new Set<string>();
    const source = this.#pieces.map((piece, index) => {
      if (index % 2 === 0) return RegExp.escape(piece);
      // Groups' names can't begin with a digit. The same variable twice can't be two groups: the second says the same.
      const group = `_${piece}`;
      if (seen.has(piece)) return String.raw`\k<${group}>`;
      seen.add(piece);
      return `(?<${group}>${VARIABLES[piece]})`;
    });
    this.#pattern = new RegExp(`^${source.join('')}$`, 'u');
  }

  /** Whether a variable is in it, such as `seq`. */
  has(variable: string): boolean {
    return this.#pieces.some((piece, index) => index % 2 === 1 && piece === variable);
  }

  /** The path without any guarantee; see VhostPaths for one that is nobody else's. */
  render(names: PathNames, escape: Escape, values?: PathValues): string {
    return this.#pieces
      .map((piece, index) => {
        if (index % 2 === 0) return piece;
        if (piece === 'app') return escapeFolders(names.app, escape);
        if (piece === 'stream') return escapeName(names.stream, escape);
        return values === undefined ? '' : valueOf(piece, values);
      })
      .join('');
  }

  /** Whose path it may be; undefined when it is not of this template. */
  match(path: string): PathNames | undefined {
    if (path.length > MAX_MATCHED_LENGTH) return undefined;
    const groups = this.#pattern.exec(path)?.groups;
    const app = groups?.['_app'];
    const stream = groups?.['_stream'];
    if (app === undefined || stream === undefined) return undefined;
    return { app: unescapeName(app), stream: unescapeName(stream) };
  }
}

function valueOf(variable: string, { seq, track, timestampMs, durationMs }: PathValues): string {
  const date = () => new Date(timestampMs);
  switch (variable) {
    case 'seq':
      return `${seq}`;
    case 'track':
      return track;
    case 'timestamp':
      return `${Math.floor(timestampMs)}`;
    case 'duration':
      return `${Math.round(durationMs)}`;
    case '2006':
      return `${date().getUTCFullYear()}`;
    case '01':
      return two(date().getUTCMonth() + 1);
    case '02':
      return two(date().getUTCDate());
    case '15':
      return two(date().getUTCHours());
    case '04':
      return two(date().getUTCMinutes());
    case '05':
      return two(date().getUTCSeconds());
    default:
      return `${date().getUTCMilliseconds()}`.padStart(3, '0');
  }
}

const two = (value: number) => `${value}`.padStart(2, '0');

function escapeFolders(app: string, escape: Escape): string {
  const folders = app.split('/');
  // An empty folder would vanish from the path.
  return folders.includes('') ? escapeName(app, escape) : folders.map((folder) => escapeName(folder, escape)).join('/');
}

function escapeName(name: string, escape: Escape): string {
  return escape === 'everything'
    ? name.replaceAll(/[^A-Za-z0-9_]/gu, percent)
    : // oxlint-disable-next-line no-control-regex
      name.replaceAll(/^\.|[%/\\\u0000-\u001f\u007f]/gu, percent);
}

function percent(character: string): string {
  return [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/** What is no encoding at all is taken as it stands: viewers write a stream's name as its encoder did. */
function unescapeName(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
