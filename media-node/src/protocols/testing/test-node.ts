import { pino } from 'pino';
import { HttpServer } from '../../http/http-server.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { HttpFlv } from '../http-flv/http-flv.ts';
import { RelayVerifier } from '../rtmp/relay-credential.ts';
import { RtmpServer } from '../rtmp/server.ts';
import { MemoryGate } from './memory-gate.ts';

export const LOG = pino({ level: process.env['LOG_LEVEL'] ?? 'silent' });
export const RELAY_KEY = Buffer.from('a key that only tests know');

/** RTMP and HTTP-FLV on loopback, on a MemoryGate. */
export interface TestNode {
  readonly gate: MemoryGate;
  readonly limit: ConnectionLimit;
  readonly rtmp: RtmpServer;
  readonly rtmpPort: number;
  readonly httpPort: number;
  close(): void;
}

export async function startTestNode(gate: MemoryGate = new MemoryGate(), maxConnections = 1_000): Promise<TestNode> {
  const limit = new ConnectionLimit(maxConnections);
  const rtmp = new RtmpServer({ gate, limit, log: LOG, relayVerifier: new RelayVerifier(RELAY_KEY, 'node-a') });
  const http = new HttpServer({ limit, log: LOG });
  const flv = new HttpFlv({ gate, log: LOG });
  http.fallback((request, response) => flv.handle(request, response));
  const [rtmpPort, httpPort] = await Promise.all([rtmp.listen(0, '127.0.0.1'), http.listen(0, '127.0.0.1')]);
  return {
    gate,
    limit,
    rtmp,
    rtmpPort,
    httpPort,
    close: () => {
      gate.registry.close('the test is over');
      rtmp.close('the test is over');
      http.close();
    },
  };
}
