import * as fs from 'node:fs/promises';
import type { Dirent } from 'node:fs';

/** An open file, as far as recordings need one; Node's FileHandle is one. */
export interface RecordingFile {
  writev(buffers: readonly NodeJS.ArrayBufferView[], position?: number): Promise<{ readonly bytesWritten: number }>;
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  stat(): Promise<{ readonly size: number }>;
  truncate(length: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** The file system that recordings are written to; tests have one that is slow or full. Rejects as Node's does. */
export interface FileSystem {
  open(path: string, flags: 'wx' | 'r' | 'r+'): Promise<RecordingFile>;
  mkdir(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  list(path: string): Promise<Dirent[]>;
  size(path: string): Promise<number>;
}

/** The machine's own. */
export const NODE_FILES: FileSystem = {
  open: (path, flags) => fs.open(path, flags),
  mkdir: async (path) => void (await fs.mkdir(path, { recursive: true })),
  rename: (from, to) => fs.rename(from, to),
  unlink: (path) => fs.unlink(path),
  rmdir: (path) => fs.rmdir(path),
  exists: (path) =>
    fs.lstat(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
        throw error;
      },
    ),
  list: (path) => fs.readdir(path, { withFileTypes: true }),
  size: async (path) => (await fs.lstat(path)).size,
};

/** Writes all of them, at a place: the system may take less than it is given. */
export async function writeAll(file: RecordingFile, buffers: readonly Buffer[], position: number): Promise<void> {
  let left = buffers.filter((buffer) => buffer.length > 0);
  let at = position;
  while (left.length > 0) {
    const { bytesWritten } = await file.writev(left, at);
    at += bytesWritten;
    let written = bytesWritten;
    let index = 0;
    while (index < left.length && written >= left[index]!.length) written -= left[index++]!.length;
    left = left.slice(index);
    if (written > 0) left[0] = left[0]!.subarray(written);
    if (bytesWritten === 0 && left.length > 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
  }
}
