import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import { DEFAULT_VHOST } from '#contract/names.ts';
import type { Gate, Publication, SessionInfo } from '../../stream/gate.ts';
import { GateError } from '../../stream/gate.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { streamKeyId } from '../../stream/stream-key.ts';
import { StreamRegistry } from '../../stream/stream-registry.ts';
import type { Stream } from '../../stream/stream.ts';

/** A Vhost that says nothing but its name and hosts, save what is given. */
export function vhostOf(name: string, hosts: string[], settings: Partial<VhostConfig> = {}): VhostConfig {
  return VhostConfig.parse({ ...VHOST_DEFAULTS, name, hosts, ...settings });
}

/** A Gate for tests: one node, no directory. What it was asked is kept. */
export class MemoryGate implements Gate {
  readonly registry: StreamRegistry;
  readonly asked: { readonly action: 'publish' | 'play'; readonly key: StreamKey; readonly session: SessionInfo }[] =
    [];
  /** Set to refuse whoever comes next. */
  refusal: GateError | undefined;
  /** Awaited before each answer. */
  delay: Promise<void> | undefined;
  readonly #vhosts: readonly VhostConfig[];
  readonly #publications = new Map<string, (reason: string) => void>();

  constructor(
    vhosts: readonly VhostConfig[] = [vhostOf(DEFAULT_VHOST, [DEFAULT_VHOST])],
    registry: StreamRegistry = new StreamRegistry(),
  ) {
    this.#vhosts = vhosts;
    this.registry = registry;
  }

  vhost(host: string): VhostConfig | undefined {
    return (
      this.#vhosts.find(({ hosts }) => hosts.includes(host)) ??
      this.#vhosts.find(({ hosts }) => hosts.includes(DEFAULT_VHOST))
    );
  }

  async publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    this.asked.push({ action: 'publish', key, session });
    await this.delay;
    if (this.refusal) throw this.refusal;
    const vhost = this.#named(key.vhost);
    await this.registry.get(key)?.settle();
    const id = streamKeyId(key);
    const before = this.#publications.get(id);
    if (before !== undefined) {
      if (vhost.publish.takeover === 'Reject') throw new GateError('busy', 'the stream has a publisher');
      before('replaced by another publisher');
    }
    this.#publications.set(id, onRevoked);
    return {
      stream: this.registry.open(key),
      vhost,
      close: () => {
        if (this.#publications.get(id) === onRevoked) this.#publications.delete(id);
      },
    };
  }

  async play(key: StreamKey, session: SessionInfo): Promise<{ stream: Stream; vhost: VhostConfig }> {
    this.asked.push({ action: 'play', key, session });
    await this.delay;
    if (this.refusal) throw this.refusal;
    const stream = this.registry.open(key);
    if (session.relay !== undefined && stream.publisher?.kind !== 'encoder') {
      throw new GateError('not-here', 'this node does not have the stream');
    }
    return { stream, vhost: this.#named(key.vhost) };
  }

  #named(name: string): VhostConfig {
    const vhost = this.#vhosts.find((known) => known.name === name);
    if (vhost === undefined) throw new GateError('no-vhost', 'there is no such vhost');
    return vhost;
  }
}
