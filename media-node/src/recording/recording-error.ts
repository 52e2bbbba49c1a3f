/**
 * `full`: the folder holds as much as it may, or its disk does. `unwritable`: a file cannot be made, written or renamed.
 * `no-track`: the container carries none of the stream's codecs. `too-long`: the store takes no more of one file.
 */
export type RecordingErrorCode = 'full' | 'unwritable' | 'no-track' | 'too-long';

/** Why a recording ended; its message says what to do. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
  readonly code: RecordingErrorCode;
  constructor(code: RecordingErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Codes of a file system that has no room: for the user, for its disk, by its limit. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A fault of the file system as this folder's own error. */
export function asRecordingError(error: unknown, path: string): RecordingError {
  if (error instanceof RecordingError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  return FULL.has(code)
    ? new RecordingError('full', `${path} cannot be written: the disk is full (${code})`, { cause: error })
    : new RecordingError('unwritable', `${path} cannot be written (${code})`, { cause: error });
}

/** What a person does about a recording that failed. */
export const MENDS: Readonly<Record<RecordingErrorCode, string>> = {
  full: 'delete recordings, or raise origin.storage.dvr.size of the LiveCluster; recording goes on by itself',
  unwritable: 'see why the folder of origin.storage.dvr cannot be written; recording goes on by itself',
  'no-track': 'let dvr.path of the Vhost end in .flv, which carries every codec',
  'too-long': 'nothing: the recording goes on in another file',
};
