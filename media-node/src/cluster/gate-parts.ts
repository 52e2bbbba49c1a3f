import type { Logger } from 'pino';
import type { ConfigStore } from '../config/config-store.ts';
import type { StreamRegistry } from '../stream/stream-registry.ts';
import type { Directory, NodeInfo } from './directory.ts';
import type { OriginFinder, PublisherProbe } from './ports.ts';

/** What a node's gate is made of, whatever its role. */
export interface GateParts {
  readonly node: NodeInfo;
  readonly config: Pick<ConfigStore, 'vhosts'>;
  /** Streams that viewers play; on an edge one published there is not among them until it is pulled from its origin. */
  readonly registry: StreamRegistry;
  readonly directory: Directory;
  readonly probe: PublisherProbe;
  readonly finder: OriginFinder;
  readonly logger: Logger;
}
