import { command } from './kubectl.ts';

export interface ProbedPacket {
  readonly kind: 'video' | 'audio';
  readonly dtsSeconds: number;
  readonly isKey: boolean;
}

/** Packets of a file or an address by ffprobe; rejects where it has a word to say about it. */
export async function probePackets(file: string): Promise<ProbedPacket[]> {
  const { code, stdout, stderr } = await command('ffprobe', [
    ...['-hide_banner', '-loglevel', 'warning', '-show_entries', 'packet=codec_type,dts_time,flags'],
    ...['-of', 'csv=p=0', file],
  ]);
  if (code !== 0 || stderr.trim() !== '') throw new Error(`ffprobe ${file}: exit ${code}: ${stderr.trim()}`);
  const packets: ProbedPacket[] = [];
  for (const line of stdout.split('\n')) {
    const [kind, dts, flags] = line.split(',');
    if ((kind !== 'video' && kind !== 'audio') || dts === undefined || flags === undefined) continue;
    packets.push({ kind, dtsSeconds: Number(dts), isKey: flags.startsWith('K') });
  }
  return packets;
}
