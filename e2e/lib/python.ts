import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from '../cluster/lock.ts';
import { cacheFolder } from '../cluster/tools.ts';
import { command } from './kubectl.ts';

/*
 * What comes from PyPI, each package in a virtual environment of its own in the tool cache, made once: Python's m3u8 as a reader
 * of playlists that is not ours, and imageio-ffmpeg's FFmpeg, which is newer than Debian's: it has an encoder for every codec
 * here and publishes them over Enhanced RTMP.
 */

const M3U8 = 'm3u8==6.0.0';
const FFMPEG = 'imageio-ffmpeg==0.8.1';
/** Reads playlists, one a file, and prints what m3u8 understood: a line that it takes wrongly shows in the counts. */
const SCRIPT = `
import json, sys, m3u8
def told(path):
    with open(path) as file:
        playlist = m3u8.loads(file.read())
    return {
        "isVariant": playlist.is_variant,
        "variants": len(playlist.playlists),
        "media": len(playlist.media),
        "mediaSequence": playlist.media_sequence,
        "targetDuration": playlist.target_duration,
        "segments": sum(1 for segment in playlist.segments if segment.uri),
        "parts": sum(len(segment.parts) for segment in playlist.segments),
        "keys": sorted({segment.key.method for segment in playlist.segments if segment.key}),
        "discontinuities": sum(1 for segment in playlist.segments if segment.discontinuity),
        "seconds": sum(segment.duration or 0 for segment in playlist.segments),
        "isEnded": bool(playlist.is_endlist),
    }
print(json.dumps([told(path) for path in sys.argv[1:]]))
`;

/** A playlist as Python's m3u8 understands it. */
export interface ReadPlaylist {
  readonly isVariant: boolean;
  readonly variants: number;
  readonly media: number;
  readonly mediaSequence: number | null;
  readonly targetDuration: number | null;
  readonly segments: number;
  readonly parts: number;
  readonly keys: readonly (string | null)[];
  readonly discontinuities: number;
  readonly seconds: number;
  readonly isEnded: boolean;
}

/** The Python of an environment that has a package, as pip names it with its version. */
async function ensurePython(requirement: string): Promise<string> {
  const folder = join(cacheFolder, 'tools', `python-${requirement.replace('==', '-')}`);
  const python = join(folder, 'bin', 'python3');
  if (existsSync(python)) return python;
  mkdirSync(join(cacheFolder, 'tools'), { recursive: true });
  await withLock(`${folder}.lock`, console.error, async () => {
    if (existsSync(python)) return;
    const staging = `${folder}.building-${process.pid}`;
    try {
      for (const [file, ...args] of [
        ['python3', '-m', 'venv', staging],
        [
          join(staging, 'bin', 'python3'),
          '-m',
          'pip',
          'install',
          '--quiet',
          '--retries=10',
          '--disable-pip-version-check',
          requirement,
        ],
      ]) {
        const { code, stderr } = await command(file!, args, { timeoutMs: 300_000 });
        if (code !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr.trim() || `exit ${code}`}`);
      }
      renameSync(staging, folder);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  });
  return python;
}

/** Installs what is missing; to be called where PyPI is in reach, which it is not from the rig's network. */
export async function ensurePythonTools(): Promise<void> {
  await Promise.all([ensurePython(M3U8), ensurePython(FFMPEG)]);
}

/** Path of FFmpeg's newer program. */
export async function newerFfmpeg(): Promise<string> {
  const script = 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())';
  const { code, stdout, stderr } = await command(await ensurePython(FFMPEG), ['-c', script]);
  if (code !== 0) throw new Error(`imageio-ffmpeg: ${stderr.trim()}`);
  return stdout.trim();
}

/** Reads playlists' files; rejects when one cannot be read. */
export async function readByPython(paths: readonly string[]): Promise<ReadPlaylist[]> {
  const python = await ensurePython(M3U8);
  const { code, stdout, stderr } = await command(python, ['-c', SCRIPT, ...paths]);
  if (code !== 0) throw new Error(`m3u8 (Python): ${stderr.trim()}`);
  return JSON.parse(stdout) as ReadPlaylist[];
}
