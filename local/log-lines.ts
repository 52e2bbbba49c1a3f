import { Writable } from 'node:stream';

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};
const COLOURS: Readonly<Record<string, string>> = { warn: '33', error: '31', fatal: '31', debug: '90', trace: '90' };
/** What a person at one machine needs no more: who writes is the line's second word. */
const HIDDEN = new Set(['level', 'time', 'msg', 'node', 'nodeId', 'component', 'protocol', 'vhost']);

/** One line of pino's JSON as a person reads it: time, node, level, message, fields. What is no such line stays. */
export function readable(line: string, hasColour: boolean): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const paint = (code: string, text: string) => (hasColour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const level = LEVELS[Number(record['level'])] ?? 'info';
  const time = new Date(Number(record['time'])).toTimeString().slice(0, 8);
  const node = typeof record['node'] === 'string' ? record['node'] : 'local';
  const fields = Object.entries(record)
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, value]) => `${paint('90', `${name}=`)}${fieldText(value)}`);
  const message = typeof record['msg'] === 'string' ? record['msg'] : '';
  const colour = COLOURS[level];
  const label = colour === undefined ? '' : `${paint(colour, level)} `;
  return [`${paint('90', time)} ${paint('36', node.padEnd(9))} ${label}${message}`, ...fields].join(' ');
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  // An error's stack would fill the screen; its message says what happened.
  if (typeof value === 'object' && value !== null && 'message' in value) return JSON.stringify(value.message);
  return JSON.stringify(value);
}

/** A destination for pino that writes readable lines to another stream. */
export function readableLines(to: NodeJS.WritableStream, hasColour: boolean): Writable {
  let rest = '';
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) to.write(`${readable(line, hasColour)}\n`);
      done();
    },
  });
}
