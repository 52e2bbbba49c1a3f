import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIG_FILES } from '#contract/names.ts';
import { S3File } from '#contract/s3-file.ts';
import { TlsFile } from '#contract/tls-file.ts';
import { ConfigError } from './config-error.ts';

/** A token shorter than this could be guessed. */
const MIN_TOKEN_LENGTH = 16;
/** 128 bits, in hex digits. */
const MIN_KEY_DIGITS = 32;

/** What only a start reads: a change needs a new pod. */
export interface NodeSecrets {
  readonly relayKey: Buffer;
  /** Holds a password: never logged. */
  readonly redisUrl: string;
}

/** Reads the text of config.json in a folder. Throws ConfigError `unreadable`. */
export function readConfigText(folder: string): Promise<string> {
  return readText(folder, CONFIG_FILES.config);
}

/** Reads the bearer token of the admin port. Throws ConfigError. */
export async function readAdminToken(folder: string): Promise<string> {
  const token = (await readText(folder, CONFIG_FILES.adminToken)).trim();
  if (token.length < MIN_TOKEN_LENGTH || !/^[\x21-\x7e]+$/.test(token)) {
    throw badSecret(folder, CONFIG_FILES.adminToken, `${MIN_TOKEN_LENGTH} or more visible ASCII characters`);
  }
  return token;
}

/** Reads the secrets that a start needs. Throws ConfigError. */
export async function readSecrets(folder: string): Promise<NodeSecrets> {
  const [key, redisUrl] = await Promise.all([
    readText(folder, CONFIG_FILES.relayKey),
    readText(folder, CONFIG_FILES.redisUrl),
  ]);
  const hex = key.trim();
  if (!/^([0-9a-f]{2})+$/i.test(hex) || hex.length < MIN_KEY_DIGITS) {
    throw badSecret(folder, CONFIG_FILES.relayKey, `${MIN_KEY_DIGITS} or more hex digits, an even number of them`);
  }
  if (!/^rediss?(\+cluster)?:\/\//.test(redisUrl.trim())) {
    throw badSecret(
      folder,
      CONFIG_FILES.redisUrl,
      'an address that begins with redis://, rediss://, redis+cluster:// or rediss+cluster://',
    );
  }
  return { relayKey: Buffer.from(hex, 'hex'), redisUrl: redisUrl.trim() };
}

/** Reads the text of the certificates' file; empty where there is none. Throws ConfigError `unreadable`. */
export async function readTlsText(folder: string): Promise<string> {
  try {
    return await readText(folder, CONFIG_FILES.tls);
  } catch (error) {
    if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return '';
    throw error;
  }
}

/** The certificates in a text of `readTlsText`. Throws ConfigError, which quotes nothing of it. */
export function parseTlsText(text: string): TlsFile['certificates'] {
  if (text === '') return [];
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new ConfigError('not-json', `${CONFIG_FILES.tls} is not valid JSON`);
  }
  const parsed = TlsFile.safeParse(json);
  if (parsed.success) return parsed.data.certificates;
  const [fault] = parsed.error.issues;
  throw new ConfigError('bad-secret', `${CONFIG_FILES.tls}: ${fault?.path.join('.') ?? ''}: ${fault?.message ?? ''}`);
}

/** Reads the credentials for the bucket of recordings; undefined where there are none. Throws ConfigError, which quotes nothing. */
export async function readS3Credentials(folder: string): Promise<S3File | undefined> {
  let text: string;
  try {
    text = await readText(folder, CONFIG_FILES.s3);
  } catch (error) {
    if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return S3File.parse(JSON.parse(text));
  } catch {
    throw badSecret(folder, CONFIG_FILES.s3, 'a version, accessKeyId and secretAccessKey as JSON');
  }
}

async function readText(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ConfigError(
      'unreadable',
      `${path} cannot be read (${code}); the operator's Secret must be mounted there`,
      {
        cause,
      },
    );
  }
}

// Names what belongs there, never what was found.
function badSecret(folder: string, name: string, expected: string): ConfigError {
  return new ConfigError('bad-secret', `${join(folder, name)} must hold ${expected}`);
}

/** A file that was written so long ago cannot have been written again since without another time. */
const LONG_AGO_MS = 2_000;

/**
 * Tells whether one of a folder's files may have another content than at the last time, without reading it: that takes the
 * thread pool several turns. A Secret's files are links, and another version is another file.
 */
export function changeOf(folder: string, file: keyof typeof CONFIG_FILES): () => boolean {
  const path = join(folder, CONFIG_FILES[file]);
  let last: string | undefined;
  const look = (): string | undefined => {
    try {
      const { dev, ino, size, mtimeMs } = statSync(path);
      return Math.abs(Date.now() - mtimeMs) > LONG_AGO_MS ? `${dev} ${ino} ${size} ${mtimeMs}` : undefined;
    } catch {
      return undefined;
    }
  };
  return () => {
    const before = last;
    last = look();
    return last === undefined || last !== before;
  };
}

/**
 * Calls `onText` with what `read` gives whenever it differs from what it gave before, and `onError` when it fails in
 * another way than before. By polling: a Secret's folder is swapped by symbolic links, which file watches lose. The
 * returned function ends it. `onText` answers true to be called with the same text again, at the next look. `mayDiffer` false:
 * there is nothing to look at.
 */
export function pollText(
  read: () => Promise<string>,
  first: string | undefined,
  on: { readonly onText: (text: string) => boolean | void; readonly onError: (error: Error) => void },
  { everyMs = 1_000, mayDiffer = () => true }: { readonly everyMs?: number; readonly mayDiffer?: () => boolean } = {},
): () => void {
  let last = first;
  let lastError = '';
  let isStopped = false;
  const look = async (): Promise<void> => {
    try {
      const text = await read();
      lastError = '';
      if (isStopped || text === last) return;
      last = on.onText(text) === true ? undefined : text;
    } catch (error) {
      const { message } = error as Error;
      if (isStopped || message === lastError) return;
      lastError = message;
      on.onError(error as Error);
    }
  };
  let isLooking = false;
  const timer = setInterval(() => {
    const mustRead = mayDiffer() || last === undefined || lastError !== '';
    if (isLooking || !mustRead) return;
    isLooking = true;
    void look().finally(() => (isLooking = false));
  }, everyMs);
  timer.unref();
  return () => {
    isStopped = true;
    clearInterval(timer);
  };
}
