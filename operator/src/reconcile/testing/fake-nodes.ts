import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { StreamNotice } from '#contract/admin-api.ts';
import { NodeConfig, nodeConfigHash } from '#contract/node-config.ts';
import { ROLES } from '#contract/names.ts';
import type { PodObject } from '../api-objects.ts';
import { roleOf } from '../pod-states.ts';

/** One media node of the fake. */
export interface FakeNode {
  readonly podUid: string;
  readonly token: string;
  config: NodeConfig;
  /** Refuses every configuration with this reason. */
  refusal: string | undefined;
  /** Breaks every connection off. */
  isDead: boolean;
  streams: number;
  viewers: number;
  /** Undefined: an older node's answer. */
  notices: StreamNotice[] | undefined;
  statusCalls: number;
  pushes: number;
  closes: number;
  drains: number;
  state: 'ready' | 'draining';
}

/** For tests: the admin ports of all media pods, on one loopback server; `urlOf` gives the address of a pod's. */
export class FakeNodes {
  /** By pod address. */
  readonly nodes = new Map<string, FakeNode>();
  onClose: (host: string) => void = () => {};
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<FakeNodes> {
    const fake = new FakeNodes();
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  readonly urlOf = (host: string): string => `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${host}`;

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Starts a node for each new media pod, with the files that its Secret holds, and ends those whose pod is gone. */
  follow(pods: readonly PodObject[], filesOf: (pod: PodObject) => { config: string; token: string }): void {
    const hosts = new Set(pods.map((pod) => pod.status?.podIP));
    for (const host of this.nodes.keys()) if (!hosts.has(host)) this.nodes.delete(host);
    for (const pod of pods) {
      const host = pod.status?.podIP ?? '';
      if (!roleOf(pod) || this.nodes.has(host)) continue;
      const { config, token } = filesOf(pod);
      this.nodes.set(host, {
        podUid: pod.metadata.uid ?? '',
        token,
        config: NodeConfig.parse(JSON.parse(config)),
        refusal: undefined,
        isDead: false,
        streams: 0,
        viewers: 0,
        notices: undefined,
        statusCalls: 0,
        pushes: 0,
        closes: 0,
        drains: 0,
        state: 'ready',
      });
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, host = '', path = ''] = /^\/([^/]+)(\/.*)$/.exec(request.url ?? '') ?? [];
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const node = this.nodes.get(host);
    if (!node || node.isDead) {
      response.socket?.destroy();
      return;
    }
    const reply = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.headers.authorization !== `Bearer ${node.token}`) return void reply(401, { error: 'wrong token' });
    const hash = nodeConfigHash(node.config);
    const report = {
      nodeId: `${node.podUid}.${'0'.repeat(16)}`,
      role: ROLES[0],
      state: node.state,
      software: '0',
      config: { hash, rejected: null },
      sessions: node.streams + node.viewers,
      streams: node.streams,
      viewers: node.viewers,
      pulls: 0,
      notices: node.notices,
    };
    switch (`${request.method} ${path}`) {
      case 'GET /status':
        node.statusCalls += 1;
        return void reply(200, report);
      case 'PUT /config': {
        node.pushes += 1;
        if (node.refusal !== undefined) return void reply(422, { error: node.refusal });
        node.config = NodeConfig.parse(JSON.parse(Buffer.concat(parts).toString()));
        return void reply(200, { hash: nodeConfigHash(node.config), changed: true });
      }
      case 'POST /drain':
        node.drains += 1;
        node.state = 'draining';
        return void reply(202, { ...report, state: node.state });
      case 'POST /close':
        node.closes += 1;
        reply(202, report);
        return this.onClose(host);
      default:
        return void reply(404, { error: 'no such path' });
    }
  }
}
