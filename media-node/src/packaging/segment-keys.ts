import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import type { PathNames, PathValues } from '../lib/path-template.ts';
import { PathTemplate } from '../lib/path-template.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { streamKeyId } from '../stream/stream-key.ts';

/** AES-128 has keys and blocks of so many bytes. */
const BLOCK_BYTES = 16;
const SALT_BYTES = 16;

/**
 * The keys of one stream's segments. They are derived from what the cluster's nodes alone know, so that a node which goes on
 * with the playlist has those of the segments before it, and no store ever holds one.
 */
export class SegmentKeys {
  readonly #secret: Buffer;
  readonly #stream: string;
  /** Base64url; no secret by itself. */
  readonly salt: string;

  /** `salt`: of a playlist that goes on; left out, a new one. */
  constructor(secret: Buffer, stream: StreamKey, salt?: string) {
    this.#secret = secret;
    this.#stream = streamKeyId(stream);
    this.salt = salt ?? randomBytes(SALT_BYTES).toString('base64url');
  }

  /** The key that comes into force with a segment. */
  key(seq: number): Buffer {
    return createHmac('sha256', this.#secret)
      .update(`hls-key\n${this.#stream}\n${this.salt}\n${seq}`)
      .digest()
      .subarray(0, BLOCK_BYTES);
  }
}

/** The number of the segment whose key a segment has. */
export function keySeqOf(seq: number, fragmentsPerKey: number): number {
  return seq - (seq % fragmentsPerKey);
}

/** A random initialization vector of AES-128, 16 bytes. */
export function newIv(): Buffer {
  return randomBytes(BLOCK_BYTES);
}

/** A whole segment in AES-128-CBC with PKCS #7 padding (RFC 8216bis §5.2). */
export function encrypt(bytes: Buffer, key: Buffer, iv: Buffer): Buffer {
  const cipher = createCipheriv('aes-128-cbc', key, iv);
  return Buffer.concat([cipher.update(bytes), cipher.final()]);
}

/**
 * The key's address as playlists tell it (SRS's hls_key_url): a template where it holds `[`, else what stands before the key
 * file's path. Empty: the key file's path itself, which renderers make relative. `vhost`: for `[vhost]`, which is left out with
 * its `/` without one, as in the key file's path; `values`: those that the path was made with.
 */
export function keyUri(
  keyUrl: string,
  keyFile: string,
  names: PathNames,
  vhost: string | undefined,
  values: PathValues,
): string {
  if (keyUrl === '') return keyFile;
  if (!keyUrl.includes('[')) return `${keyUrl}${encodePath(keyFile)}`;
  const filled = vhost === undefined ? keyUrl.replaceAll('[vhost]/', '') : keyUrl;
  return filled.replaceAll(/\[[a-z0-9]+\]/g, (variable) =>
    encodePath(new PathTemplate(variable, vhost).render(names, 'dangerous', values)),
  );
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
