import type { VhostConfig } from '#contract/node-config.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PathKind } from '../../packaging/vhost-paths.ts';
import { VhostPathTable } from '../../packaging/vhost-paths.ts';
import type { Gate } from '../../stream/gate.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { isStreamName } from '../../stream/stream-key.ts';

/** What a request's path is by the templates of its Vhost, whether or not there is such a stream. */
export interface Located {
  readonly kind: PathKind;
  readonly key: StreamKey;
  readonly vhost: VhostConfig;
  /** Decoded, without its leading slash. */
  readonly path: string;
}

/** Finds the playlist, manifest or file that a request names: the Vhost by `?vhost=`, else by the Host header. */
export class PackagedLocator {
  readonly #gate: Pick<Gate, 'vhost'>;
  readonly #paths = new VhostPathTable();

  constructor(gate: Pick<Gate, 'vhost'>) {
    this.#gate = gate;
  }

  /** Undefined where the Vhost packages nothing, or the path is of no template. */
  locate({ segments, query, host }: HttpRequest): Located | undefined {
    const vhost = this.#gate.vhost(query.get('vhost') || query.get('domain') || host);
    if (vhost === undefined || !(vhost.hls.enabled || vhost.dash.enabled)) return undefined;
    const path = segments.join('/');
    const match = this.#paths.match(vhost, path);
    if (match === undefined || !isStreamName(match.app) || !isStreamName(match.stream)) return undefined;
    return { kind: match.kind, key: { vhost: vhost.name, app: match.app, stream: match.stream }, vhost, path };
  }
}
