import { pino } from 'pino';
import type { HttpRequest } from '../../http/http-request.ts';
import { HttpServer } from '../../http/http-server.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { HttpRemux } from '../http-remux/http-remux.ts';
import { RelayVerifier } from '../rtmp/relay-credential.ts';
import { RtmpServer } from '../rtmp/server.ts';
import { MemoryGate } from './memory-gate.ts';

export const LOG = pino({ level: process.env['LOG_LEVEL'] ?? 'silent' });
export const RELAY_KEY = Buffer.from('a key that only tests know');

/** RTMP and endless files over HTTP on loopback, on a MemoryGate. */
export interface TestNode {
  readonly gate: MemoryGate;
  readonly limit: ConnectionLimit;
  readonly rtmp: RtmpServer;
  readonly rtmpPort: number;
  readonly httpPort: number;
  close(): void;
}

/** `headWaitMs`: how long a viewer over HTTP waits for a first frame before it gets its headers. `…-7.ts` may be a segment. */
export async function startTestNode(
  gate: MemoryGate = new MemoryGate(),
  maxConnections = 1_000,
  headWaitMs = 50,
): Promise<TestNode> {
  const limit = new ConnectionLimit(maxConnections);
  const rtmp = new RtmpServer({ gate, limit, log: LOG, relayVerifier: new RelayVerifier(RELAY_KEY, 'node-a') });
  const http = new HttpServer({ limit, log: LOG });
  const mayBeSegment = ({ segments }: HttpRequest) => /-\d+\.ts$/.test(segments.at(-1) ?? '');
  const remux = new HttpRemux({ gate, log: LOG, headWaitMs, mayBeSegment });
  http.fallback((request, response) => remux.handle(request, response));
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
