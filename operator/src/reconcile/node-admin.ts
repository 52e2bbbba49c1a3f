import { Agent, request } from 'undici';
import type { z } from 'zod';
import { ADMIN_PATHS, AdminError, ConfigPushed, NodeStatus } from '#contract/admin-api.ts';
import { PORTS } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';

/** Why a media node's admin port could not be used. */
export type NodeAdminErrorCode =
  | 'unreachable' // no connection, no answer in time, or it broke off
  | 'unauthorized' // the node has another token
  | 'refused' // 4xx: the node says why, see `reason`
  | 'bad-answer'; // not what contract/admin-api.ts promises

/** A call that a node did not answer, or refused. */
export class NodeAdminError extends Error {
  override readonly name = 'NodeAdminError';
  readonly code: NodeAdminErrorCode;
  /** The node's own words, at most 1 KiB. */
  readonly reason: string | undefined;
  constructor(code: NodeAdminErrorCode, message: string, options?: ErrorOptions & { readonly reason?: string }) {
    super(message, options);
    this.code = code;
    this.reason = options?.reason;
  }
}

/** Where a node's admin port is and what opens it. */
export interface NodeAccess {
  /** Address of the pod. */
  readonly host: string;
  readonly token: string;
}

/** What the operator asks of media nodes. */
export interface NodeAdmin {
  /** Throws NodeAdminError. */
  status(access: NodeAccess): Promise<NodeStatus>;
  /** Puts a configuration in force; returns its hash. NodeAdminError `refused` when the node keeps the old one. */
  pushConfig(access: NodeAccess, config: NodeConfig): Promise<string>;
  /** Takes no new session from here on. */
  drain(access: NodeAccess): Promise<void>;
  /** Ends everything on the node at once. */
  closeNode(access: NodeAccess): Promise<void>;
  /** Cuts all connections. */
  close(): Promise<void>;
}

const TIMEOUT_MS = 2_000;
/** A configuration of a thousand Vhosts takes a node a moment to check. */
const PUSH_TIMEOUT_MS = 10_000;
/** Names of streams are 512 characters, and a status may list sixteen. */
const LONGEST_ANSWER_BYTES = 256 * 1024;
const LONGEST_REASON = 1024;

/** The same by HTTP. `urlOf` gives the address of a node's admin port; tests have their own. */
export function createNodeAdmin(urlOf: (host: string) => string = adminUrl): NodeAdmin {
  const dispatcher = new Agent({
    connections: 1,
    pipelining: 1,
    connect: { timeout: TIMEOUT_MS },
    keepAliveTimeout: 15_000,
  });

  async function call<S extends z.ZodType>(
    access: NodeAccess,
    method: 'GET' | 'PUT' | 'POST',
    path: string,
    schema: S,
    body?: string,
  ): Promise<z.output<S>> {
    const where = `${method} ${path} of the node at ${access.host}`;
    const timeoutMs = body === undefined ? TIMEOUT_MS : PUSH_TIMEOUT_MS;
    let status: number;
    let text: string;
    try {
      const answer = await request(`${urlOf(access.host)}${path}`, {
        dispatcher,
        method,
        headers: {
          authorization: `Bearer ${access.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      status = answer.statusCode;
      text = await readText(answer.body);
    } catch (cause) {
      if (cause instanceof NodeAdminError) throw cause;
      throw new NodeAdminError('unreachable', `${where} got no answer`, { cause });
    }
    if (status === 401) throw new NodeAdminError('unauthorized', `${where} was refused: the node has another token`);
    const json = parse(text);
    if (status >= 400) {
      const told = AdminError.safeParse(json);
      const reason = (told.success ? told.data.error : 'no reason given').slice(0, LONGEST_REASON);
      throw new NodeAdminError(status < 500 ? 'refused' : 'bad-answer', `${where} failed with ${status}: ${reason}`, {
        reason,
      });
    }
    const parsed = schema.safeParse(json);
    if (!parsed.success) throw new NodeAdminError('bad-answer', `${where} gave an answer of another form`);
    return parsed.data;
  }

  return {
    status: (access) => call(access, 'GET', ADMIN_PATHS.status, NodeStatus),
    pushConfig: async (access, config) =>
      (await call(access, 'PUT', ADMIN_PATHS.config, ConfigPushed, JSON.stringify(config))).hash,
    drain: async (access) => void (await call(access, 'POST', ADMIN_PATHS.drain, NodeStatus)),
    closeNode: async (access) => void (await call(access, 'POST', ADMIN_PATHS.close, NodeStatus)),
    close: () => dispatcher.destroy(),
  };
}

function adminUrl(host: string): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${PORTS.admin}`;
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > LONGEST_ANSWER_BYTES) throw new NodeAdminError('bad-answer', 'the answer of a node is too long');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
