import assert from 'node:assert/strict';
import { pino } from 'pino';
import { DEFAULT_VHOST } from '#contract/names.ts';
import type { NodeConfig, VhostConfig } from '#contract/node-config.ts';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import { PackagingSnapshot } from '#contract/packaging.ts';
import { ConfigStore } from '../config/config-store.ts';
import type { Frame } from '../media/frame.ts';
import type { Ingest } from '../stream/publisher.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { StreamRegistry } from '../stream/stream-registry.ts';
import { FakePublisher } from '../stream/testing.ts';
import type { LedgerState } from './ledger-state.ts';
import { ledgerText } from './ledger-state.ts';
import { MemoryLedger } from './memory-ledger.ts';
import type { PackagedStream } from './packaged-stream.ts';
import type { PackagingsOptions } from './packagings.ts';
import { Packagings } from './packagings.ts';

/* A node that packages, as far as packaging needs one. */

export const KEY: StreamKey = { vhost: DEFAULT_VHOST, app: 'live', stream: 'stream01' };
/** When tests begin: 2026-02-03T04:05:06Z. */
export const EPOCH_MS = Date.UTC(2026, 1, 3, 4, 5, 6);

/** What another node may have left of a stream: two segments of MPEG-TS, none of which is listed any more. */
export function stateText(changes: Partial<LedgerState> = {}): string {
  const state = {
    nodeId: 'node-1',
    atMs: 0,
    seq: 1,
    isLowLatency: false,
    format: 'ts',
    targetDurationS: 2,
    discontinuitySequence: 0,
    salt: '',
    endMs: 0,
    tracks: [],
  };
  return ledgerText({ ...state, ...changes }, []);
}

export interface VhostChanges {
  readonly hls?: Partial<VhostConfig['hls']>;
  readonly dash?: Partial<VhostConfig['dash']>;
  readonly graceMs?: number;
}

/** One Vhost, which catches every host. */
export function configOf({ hls, dash }: VhostChanges = {}): NodeConfig {
  const { security, ...rest } = VHOST_DEFAULTS;
  return {
    version: 1,
    logLevel: 'info',
    maxConnections: 100,
    pullHoldMs: 1_000,
    drainMs: 1_000,
    vhosts: [
      {
        ...structuredClone(rest),
        name: DEFAULT_VHOST,
        hosts: [DEFAULT_VHOST],
        security: { cors: { allowOrigins: [...security.cors.allowOrigins] } },
        hls: { ...structuredClone(rest.hls), ...hls },
        dash: { ...rest.dash, ...dash },
      },
    ],
  };
}

export class TestNode {
  readonly config: ConfigStore;
  readonly ledger: MemoryLedger;
  readonly packagings: Packagings;
  readonly registry: StreamRegistry;
  readonly logs: Record<string, unknown>[] = [];
  nowMs = EPOCH_MS;
  #ingest: Ingest | undefined;
  #letGo: (() => void) | undefined;

  constructor(
    changes: VhostChanges = {},
    options: Partial<PackagingsOptions> & { readonly ledger?: MemoryLedger } = {},
  ) {
    this.config = new ConfigStore(configOf(changes));
    this.ledger = options.ledger ?? new MemoryLedger(() => this.nowMs);
    this.registry = new StreamRegistry();
    this.packagings = new Packagings({
      nodeId: 'node-1',
      config: this.config,
      secret: Buffer.from('secret of the cluster'),
      logger: pino({ level: 'debug' }, { write: (line: string) => void this.logs.push(JSON.parse(line)) }),
      now: () => this.nowMs,
      ...options,
      ledger: this.ledger,
    });
    this.registry.addSourceListener(this.packagings);
  }

  /** An encoder begins; frames may follow. Resolves when the ledger has answered. */
  async publish(): Promise<void> {
    const stream = this.registry.open(KEY);
    this.#letGo ??= stream.hold();
    this.#ingest = stream.attach(new FakePublisher());
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Gives frames in as they are; the clock goes on with them. */
  feed(frames: readonly Frame[]): void {
    const [first] = frames;
    if (first === undefined || this.#ingest === undefined) return;
    const offsetMs = this.nowMs - first.dtsMs;
    for (const frame of frames) {
      this.nowMs = Math.max(this.nowMs, offsetMs + frame.dtsMs);
      this.#ingest.frame(frame);
    }
  }

  /** The encoder leaves; `isGone`: for good. */
  unpublish(isGone = true): void {
    this.#ingest?.detach();
    if (!isGone) return;
    this.#letGo?.();
    this.#letGo = undefined;
  }

  get packaged(): PackagedStream {
    const packaged = this.packagings.find(KEY);
    assert.ok(packaged !== undefined, 'the stream is packaged');
    return packaged;
  }

  /** Now; as the contract wants it. */
  get snapshot(): PackagingSnapshot {
    const { snapshot } = this.packaged;
    assert.ok(snapshot !== undefined, 'there is something to play');
    return PackagingSnapshot.parse(snapshot);
  }

  async read(file: string): Promise<Buffer> {
    const bytes = await this.packaged.read(file);
    assert.ok(bytes !== undefined, `${file} is there`);
    return bytes;
  }

  close(): Promise<void> {
    const closed = this.packagings.close();
    this.registry.close('test');
    return closed;
  }
}
