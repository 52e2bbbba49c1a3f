import type { VhostConfig } from '#contract/node-config.ts';
import { NodeConfig, VHOST_DEFAULTS } from '#contract/node-config.ts';
import { ConfigStore } from '../../config/config-store.ts';
import type { SessionInfo } from '../../stream/gate.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { Player } from '../../stream/player.ts';
import type { Ingest, Publisher } from '../../stream/publisher.ts';
import type { OwnerRecord } from '../directory.ts';
import type { OriginFinder, OriginsAnswer, ProbeAnswer, PublisherProbe } from '../ports.ts';
import type {
  PullClient,
  PushClient,
  RelayEndCode,
  RelayListener,
  RelayRequest,
  RelaySession,
} from '../../stream/relay.ts';

/** A relay connection that a test drives. */
export class FakeRelay implements RelaySession {
  frames = 0;
  bytesIn = 0;
  pings = 0;
  /** Called at each ping; a live one raises `bytesIn`. */
  onPing: () => void = () => {};
  readonly request: RelayRequest;
  closedBecause: string | undefined;
  readonly #listener: RelayListener;
  readonly #isPull: boolean;
  #ingest: Ingest | undefined;
  #hasEnded = false;

  constructor(request: RelayRequest, listener: RelayListener, isPull: boolean) {
    this.request = request;
    this.#listener = listener;
    this.#isPull = isPull;
  }

  get isOpen(): boolean {
    return !this.#hasEnded;
  }

  start(): void {
    if (this.#hasEnded || this.closedBecause !== undefined) return;
    if (this.#isPull) this.#ingest = this.request.stream.attach(fakePublisher('relay', (reason) => this.close(reason)));
    this.#listener.onStart();
  }

  ping(): void {
    this.pings += 1;
    this.onPing();
  }

  end(code: RelayEndCode, message = 'test'): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#ingest?.detach();
    this.#listener.onEnd({ code, message });
  }

  close(reason: string): void {
    this.closedBecause ??= reason;
    queueMicrotask(() => this.end('closed', reason));
  }
}

/** Records what the cluster asks of it; `onOpen` may answer at once (in a later turn). */
export class FakeRelayClient implements PullClient, PushClient {
  readonly relays: FakeRelay[] = [];
  onOpen: (relay: FakeRelay) => void = () => {};

  pull(request: RelayRequest, listener: RelayListener): RelaySession {
    return this.#open(request, listener, true);
  }

  push(request: RelayRequest, listener: RelayListener): RelaySession {
    return this.#open(request, listener, false);
  }

  get last(): FakeRelay | undefined {
    return this.relays.at(-1);
  }

  get open(): readonly FakeRelay[] {
    return this.relays.filter(({ isOpen }) => isOpen);
  }

  #open(request: RelayRequest, listener: RelayListener, isPull: boolean): FakeRelay {
    const relay = new FakeRelay(request, listener, isPull);
    this.relays.push(relay);
    setImmediate(() => this.onOpen(relay));
    return relay;
  }
}

export class FakeFinder implements OriginFinder {
  answer: OriginsAnswer = { owner: undefined, isClaiming: false, reachable: [] };
  calls = 0;

  async find(): Promise<OriginsAnswer> {
    this.calls += 1;
    return this.answer;
  }
}

export class FakeProbe implements PublisherProbe {
  readonly asked: string[] = [];
  answer: (owner: OwnerRecord, asks: 'ask' | 'yield') => ProbeAnswer['kind'] = () => 'no';

  async ask(owner: OwnerRecord): Promise<ProbeAnswer> {
    return this.#answer(owner, 'ask');
  }

  async yield(owner: OwnerRecord): Promise<ProbeAnswer> {
    return this.#answer(owner, 'yield');
  }

  #answer(owner: OwnerRecord, how: 'ask' | 'yield'): ProbeAnswer {
    this.asked.push(how);
    const kind = this.answer(owner, how);
    return kind === 'yes' ? { kind, owner } : { kind };
  }
}

export function fakePublisher(kind: Publisher['kind'], close: (reason: string) => void): Publisher {
  return { id: 'p', kind, protocol: 'rtmp', ip: '127.0.0.1', tcUrl: '', bytesIn: 0, close };
}

const nothing = Buffer.alloc(0);
const encoder: FrameEncoder = {
  id: 'fake',
  header: () => nothing,
  config: () => nothing,
  metadata: () => nothing,
  encode: () => nothing,
};

export function fakePlayer(): Player {
  return {
    id: 'viewer',
    protocol: 'flv',
    ip: '127.0.0.1',
    isRelay: false,
    encoder,
    options: { gopCache: true, queueLengthMs: 10_000 },
    writableLength: 0,
    socket: undefined,
    write: () => {},
    close: () => {},
  };
}

export function session(over: Partial<SessionInfo> = {}): SessionInfo {
  return { id: 's', protocol: 'rtmp', ip: '127.0.0.1', tcUrl: '', pageUrl: '', param: '', ...over };
}

/** A configuration with the vhosts `v` (Reject), `replace` (Replace), both without grace, and `grace` with much of it. */
export function testConfig(over: Partial<NodeConfig> = {}): ConfigStore {
  const vhost = (name: string, change: Partial<VhostConfig> = {}): VhostConfig => ({
    ...(structuredClone(VHOST_DEFAULTS) as unknown as VhostConfig),
    name,
    hosts: [name],
    ...change,
  });
  return new ConfigStore(
    NodeConfig.parse({
      version: 1,
      logLevel: 'info',
      maxConnections: 100,
      pullHoldMs: 200,
      drainMs: 1_000,
      vhosts: [
        vhost('v', { publish: { ...VHOST_DEFAULTS.publish, graceMs: 0 } }),
        vhost('replace', { publish: { ...VHOST_DEFAULTS.publish, takeover: 'Replace', graceMs: 0 } }),
        vhost('grace', { publish: { ...VHOST_DEFAULTS.publish, graceMs: 600_000 } }),
        vhost('deny', { cluster: { edgePublish: 'Deny' } }),
      ],
      ...over,
    }),
  );
}
