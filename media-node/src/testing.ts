import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { Role } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import type { MediaNodeOptions } from './node-options.ts';

/** The bearer token of testNodeOptions. */
export const ADMIN_TOKEN = 'the-token-of-this-test';

/** A whole node of a test, but for its directory: free ports of loopback (none for RTMPS), no log, a pod `live-<role>-<ordinal>`. */
export function testNodeOptions(role: Role, ordinal: number, config: NodeConfig): Omit<MediaNodeOptions, 'directory'> {
  return {
    identity: {
      role,
      namespace: 'ns',
      cluster: 'live',
      podName: `live-${role}-${ordinal}`,
      podUid: randomUUID(),
      host: '127.0.0.1',
      ordinal,
    },
    ports: { rtmp: 0, http: 0, api: 0, admin: 0 },
    listenHost: '127.0.0.1',
    config,
    adminToken: () => ADMIN_TOKEN,
    relayKey: Buffer.alloc(32, 7),
    logger: pino({ level: 'silent' }),
    processMetrics: false,
  };
}
