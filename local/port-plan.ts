import { PORTS } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';

/** The ports of one node; 0 is any free one. */
export type NodePorts = Readonly<Record<keyof typeof PORTS, number>>;

/*
 * The first origin has the standard ports. The others count up, a hundred for each role and protocol, from numbers that no
 * common program uses and that lie below the range (32768) from which systems take ports for outgoing connections.
 */
const BASES: Readonly<Record<Role, NodePorts>> = {
  origin: { rtmp: 19_350, rtmps: 19_550, http: 18_080, api: 19_850, admin: 18_480 },
  edge: { rtmp: 19_450, rtmps: 19_650, http: 18_180, api: 19_950, admin: 18_580 },
};

/** Where a node goes whose port another program has. */
const SPARE = { first: 20_100, last: 20_999 } as const;

/** Environment variables that move the first origin's ports. */
export const PORT_VARIABLES = {
  rtmp: 'RTMP_PORT',
  rtmps: 'RTMPS_PORT',
  http: 'HTTP_PORT',
  api: 'API_PORT',
  admin: 'ADMIN_PORT',
} as const;

/** The ports of a node, the first origin's as given. */
export function portsOf(role: Role, ordinal: number, firstOrigin: NodePorts): NodePorts {
  if (role === 'origin' && ordinal === 0) return firstOrigin;
  const base = BASES[role];
  const { rtmp, rtmps, http, api, admin } = base;
  return {
    rtmp: rtmp + ordinal,
    rtmps: rtmps + ordinal,
    http: http + ordinal,
    api: api + ordinal,
    admin: admin + ordinal,
  };
}

/** The first origin's ports from the environment. Throws RangeError that names the variable. */
export function firstOriginPorts(env: Readonly<Record<string, string | undefined>>): NodePorts {
  const port = (name: keyof typeof PORTS): number => {
    const variable = PORT_VARIABLES[name];
    const text = env[variable];
    if (text === undefined || text === '') return PORTS[name];
    const number = Number(text);
    if (!/^[0-9]+$/.test(text) || number > 65_535) {
      throw new RangeError(`${variable}=${text} is no port; write a number from 0 (any free port) to 65535`);
    }
    return number;
  };
  return { rtmp: port('rtmp'), rtmps: port('rtmps'), http: port('http'), api: port('api'), admin: port('admin') };
}

/** Hands out ports for nodes whose own are taken; each once. Throws RangeError when none is left. */
export class SparePorts {
  #next: number = SPARE.first;

  take(): number {
    if (this.#next > SPARE.last) throw new RangeError(`no port is left of ${SPARE.first} to ${SPARE.last}`);
    this.#next += 1;
    return this.#next - 1;
  }
}
