import type { RunningNode } from './local-cluster.ts';

/** Addresses of one node, as a user types them; standard ports are left out where the protocol knows them. */
function addresses({ name, ports }: RunningNode, host: string): readonly string[] {
  const rtmp = `rtmp://${host}${ports.rtmp === 1935 ? '' : `:${ports.rtmp}`}/live/STREAM`;
  // No port is RTMPS's own: 443 is what clients take without one.
  const rtmps = ports.rtmps === undefined ? [] : [`rtmps://${host}:${ports.rtmps}/live/STREAM`];
  return [name, rtmp, ...rtmps, `http://${host}:${ports.http}/live/STREAM.flv`, `http://${host}:${ports.api}`];
}

/** The table that `make run` prints: one line a node. */
export function addressTable(nodes: readonly RunningNode[], host: string): string {
  const rtmps = nodes.some(({ ports }) => ports.rtmps !== undefined) ? ['publish and play (RTMPS)'] : [];
  const rows = [
    ['node', 'publish and play (RTMP)', ...rtmps, 'play (HTTP-FLV; HLS: .m3u8)', 'API'],
    ...nodes.map((node) => addresses(node, host)),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]) =>
    `│ ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' │ ')} │`;
  const rule = (left: string, middle: string, right: string) =>
    left + widths.map((width) => '─'.repeat(width + 2)).join(middle) + right;
  const [head = [], ...body] = rows;
  return [rule('┌', '┬', '┐'), line(head), rule('├', '┼', '┤'), ...body.map(line), rule('└', '┴', '┘')].join('\n');
}
