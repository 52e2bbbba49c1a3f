import { lookup as dnsLookup } from 'node:dns/promises';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { ledgerTextOf } from '../packaging/ledger-state.ts';
import type { PackagingWitnesses } from '../packaging/packaged-stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { PackagingPeer } from './packaging-client.ts';
import { addressId } from './peer-client.ts';
import type { AdminAddress } from './peer-client.ts';
import { PeerLimiter } from './peer-limiter.ts';

/** A name that DNS knows all nodes of a role by. */
export interface NodesName {
  readonly host: string;
  readonly adminPort: number;
}

export interface PeerWitnessesOptions {
  readonly peer: Pick<PackagingPeer, 'state'>;
  /** What this node itself was told of a stream that it follows. */
  readonly told: (key: StreamKey) => PackagingSnapshot | undefined;
  /** Nodes known from the directory, the likeliest to have followed a stream first. */
  readonly known: () => readonly AdminAddress[];
  /** Headless Services, which know the nodes while the directory is away or has forgotten them. */
  readonly names?: readonly NodesName[];
  /** This node, which is not asked. */
  readonly own: AdminAddress;
  /** Default: the machine's resolver. Rejects where it has no answer. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly now?: () => number;
}

/** Nodes asked at most. */
const MAX_ASKED = 64;
/** Questions to one node at once: streams of an origin that died come together. */
const ASKING_AT_ONCE = 4;
/** How long an answer of DNS counts. */
const DNS_KEEP_MS = 5_000;

/** Asks every node of the cluster what it saw last of a stream. */
export class PeerWitnesses implements PackagingWitnesses {
  readonly #options: PeerWitnessesOptions;
  readonly #asking = new PeerLimiter(ASKING_AT_ONCE);
  #resolved: { readonly untilMs: number; readonly addresses: Promise<readonly AdminAddress[]> } | undefined;
  /** By name, the last answer of DNS. */
  readonly #lastResolved = new Map<string, readonly AdminAddress[]>();

  constructor(options: PeerWitnessesOptions) {
    this.#options = options;
  }

  /** The nodes that DNS told of last. */
  get named(): readonly AdminAddress[] {
    return [...this.#lastResolved.values()].flat();
  }

  async ask(key: StreamKey, signal: AbortSignal, onState: (text: string) => void): Promise<boolean> {
    const { told, known, own, now = Date.now } = this.#options;
    const snapshot = told(key);
    if (snapshot !== undefined) onState(ledgerTextOf(snapshot, now()));
    const asked = new Set([addressId(own)]);
    const askAll = async (addresses: readonly AdminAddress[]): Promise<boolean> => {
      const fresh = addresses.filter((address) => !asked.has(addressId(address)));
      const some = fresh.slice(0, Math.max(0, MAX_ASKED + 1 - asked.size));
      for (const address of some) asked.add(addressId(address));
      const answers = await Promise.all(some.map(async (address) => this.#askOne(address, key, signal, onState)));
      return some.length === fresh.length && answers.every(Boolean);
    };
    // Who is known need not wait for DNS.
    const [isKnownWhole, isNamedWhole] = await Promise.all([askAll(known()), this.#named().then(askAll)]);
    return isKnownWhole && isNamedWhole;
  }

  /** Whether it answered, be it that it knows nothing or that nobody is there. */
  async #askOne(
    address: AdminAddress,
    key: StreamKey,
    signal: AbortSignal,
    onState: (text: string) => void,
  ): Promise<boolean> {
    return this.#asking.run(address, async () => {
      if (signal.aborted) return false;
      const reply = await this.#options.peer.state(address, key, signal);
      if (reply.kind === 'found') onState(reply.text);
      return reply.kind !== 'failed';
    });
  }

  #named(): Promise<readonly AdminAddress[]> {
    const { names = [], now = Date.now } = this.#options;
    if (names.length === 0) return Promise.resolve([]);
    if (this.#resolved === undefined || this.#resolved.untilMs <= now()) {
      const addresses = Promise.all(names.map(async (name) => this.#resolve(name)));
      this.#resolved = { untilMs: now() + DNS_KEEP_MS, addresses: addresses.then((each) => each.flat()) };
    }
    return this.#resolved.addresses;
  }

  async #resolve({ host, adminPort }: NodesName): Promise<readonly AdminAddress[]> {
    const { resolve = lookupAll } = this.#options;
    try {
      const found = await resolve(host);
      this.#lastResolved.set(
        host,
        found.map((address) => ({ host: address, adminPort })),
      );
    } catch {
      // Its last answer counts.
    }
    return this.#lastResolved.get(host) ?? [];
  }
}

async function lookupAll(host: string): Promise<string[]> {
  const found = await dnsLookup(host, { all: true });
  return found.map(({ address }) => address);
}
