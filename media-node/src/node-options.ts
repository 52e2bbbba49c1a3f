import type { Logger } from 'pino';
import type { PORTS, Role } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import type { Directory, NodeInfo } from './cluster/directory.ts';
import type { SharedState } from './cluster/shared-state.ts';
import type { TlsIdentity } from './lib/tls-identity.ts';
import type { RecordingPlace } from './recording-side.ts';

/** The listeners of a node. */
export type Listener = keyof typeof PORTS;
/** Without a port for RTMPS a node does not listen for it. */
export type ListenerPorts = Readonly<Record<Exclude<Listener, 'rtmps'>, number>> & {
  readonly rtmps?: number;
};

/** Who a node is; it stays so as long as it runs. */
export interface NodeIdentity {
  readonly role: Role;
  readonly namespace: string;
  readonly cluster: string;
  readonly podName: string;
  readonly podUid: string;
  /** Address under which the other nodes reach it. */
  readonly host: string;
  readonly ordinal: number;
}

/** What a node tells whoever makes its directory. */
export interface DirectoryRequest {
  readonly node: NodeInfo;
  readonly logger: Logger;
  readonly load: () => number;
}

/** What a node tells whoever makes its shared state. */
export interface SharedStateRequest {
  readonly nodeId: string;
  readonly logger: Logger;
}

export interface MediaNodeOptions {
  readonly identity: NodeIdentity;
  /** 0 is any free port. */
  readonly ports: ListenerPorts;
  /** Address to listen on; default every one. */
  readonly listenHost?: string;
  readonly config: NodeConfig;
  /** Certificates of RTMPS; whoever gives it may change them while the node runs. */
  readonly tls?: TlsIdentity;
  /** Bearer token of the admin port, here and of the other nodes; asked at each use. */
  readonly adminToken: () => string;
  /** The cluster's shared secret for relay connections. */
  readonly relayKey: Buffer;
  readonly directory: (request: DirectoryRequest) => Directory;
  /** Headless Service of the origins, for when the directory is away; left out, only nodes seen there are known. */
  readonly originsDns?: { readonly host: string; readonly adminPort: number };
  /** The same of the edges. */
  readonly edgesDns?: { readonly host: string; readonly adminPort: number };
  /**
   * Where the nodes leave each other what goes on with their playlists, and agree on viewers without a connection. Left out:
   * nothing of that is shared.
   */
  readonly shared?: (request: SharedStateRequest) => SharedState;
  /** Left out: nothing is recorded. */
  readonly recording?: RecordingPlace;
  /** See LIVECLUSTER_HLS_FOLDER in contract/node-env.ts. */
  readonly hlsFolder?: string | undefined;
  /** Bytes that it may hold; no limit when left out. */
  readonly hlsMostBytes?: number | undefined;
  readonly logger: Logger;
  /** Told the configuration's log level, at the start and after each change. */
  readonly setLogLevel?: (level: string) => void;
  /** Adds the figures of the process to the metrics: for the one node of a process. */
  readonly processMetrics: boolean;
}

/** A node that cannot start. */
export class NodeStartError extends Error {
  override readonly name = 'NodeStartError';
  readonly code: 'port-taken' | 'cannot-listen';
  readonly listener: Listener;
  readonly port: number;
  constructor(code: NodeStartError['code'], listener: Listener, port: number, options?: ErrorOptions) {
    const reason =
      code === 'port-taken' ? 'another program has it' : ((options?.cause as Error | undefined)?.message ?? '');
    super(`cannot listen on port ${port} for ${listener}: ${reason}`, options);
    this.code = code;
    this.listener = listener;
    this.port = port;
  }
}
