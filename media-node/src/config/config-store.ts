import { NodeConfig, nodeConfigHash } from '#contract/node-config.ts';
import { ConfigError } from './config-error.ts';
import { VhostTable } from './vhost-table.ts';

/** Faults named in one message; the rest is counted. */
const MAX_FAULTS_NAMED = 5;

/** Validates a parsed JSON value as a whole NodeConfig. Throws ConfigError. */
function validateNodeConfig(json: unknown): NodeConfig {
  const parsed = NodeConfig.safeParse(json);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${fieldPath(issue.path)}: ${issue.message}`);
    const rest = faults.length - MAX_FAULTS_NAMED;
    const named = faults.slice(0, MAX_FAULTS_NAMED).join('; ');
    throw new ConfigError('invalid', rest > 0 ? `${named}; and ${rest} more` : named);
  }
  // The table refuses what no schema of one field can: a host that two vhosts claim.
  VhostTable.from(parsed.data.vhosts);
  return parsed.data;
}

/** Parses and validates the text of a config.json. Throws ConfigError. */
export function parseNodeConfig(text: string): NodeConfig {
  return validateNodeConfig(parseJson(text));
}

/** The parser's own message is left out: it quotes the text, which may hold secrets. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError('not-json', text.trim() === '' ? 'the document is empty' : 'the document is not valid JSON');
  }
}

/** The kubelet brings a changed Secret into a pod within its sync period (60 s) and its cache's time (60 s); and a margin. */
const FILE_LAG_MS = 180_000;
/** Replaced configurations remembered at most. */
const MAX_REPLACED = 64;

/** What a listener is told after a swap. */
export type ConfigListener = (config: NodeConfig, previous: NodeConfig) => void;

/** The last configuration that was refused while the store kept the one in force. */
export interface RejectedConfig {
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/**
 * The configuration in force. A swap is whole or not at all: what is refused leaves everything as it was. Listeners run
 * synchronously, in the order they subscribed, and see the new configuration already in force.
 */
export class ConfigStore {
  #config: NodeConfig;
  #hash: string;
  #vhosts: VhostTable;
  #rejected: RejectedConfig | undefined;
  #rejections = 0;
  /** Hash → when a push replaced it, oldest first. */
  readonly #replacedByPush = new Map<string, number>();
  readonly #listeners = new Set<ConfigListener>();
  readonly #now: () => number;

  /** Throws ConfigError when the initial configuration is wrong: a node never starts on one. */
  constructor(initial: unknown, now: () => number = Date.now) {
    this.#now = now;
    this.#config = validateNodeConfig(initial);
    this.#hash = nodeConfigHash(this.#config);
    this.#vhosts = VhostTable.from(this.#config.vhosts);
  }

  get config(): NodeConfig {
    return this.#config;
  }

  /** Identity of the configuration in force, as the renderer computes it. */
  get hash(): string {
    return this.#hash;
  }

  get vhosts(): VhostTable {
    return this.#vhosts;
  }

  /** Undefined once a later configuration was accepted. */
  get rejected(): RejectedConfig | undefined {
    return this.#rejected;
  }

  /** Configurations refused so far. */
  get rejections(): number {
    return this.#rejections;
  }

  /**
   * Puts a configuration in force. Answers whether it differs from the one before; the same one again tells no
   * listener. Throws ConfigError, keeping the old one and remembering the reason.
   */
  swap(json: unknown): boolean {
    let config: NodeConfig;
    try {
      config = validateNodeConfig(json);
    } catch (cause) {
      this.reject((cause as Error).message);
      throw cause;
    }
    this.#rejected = undefined;
    const hash = nodeConfigHash(config);
    if (hash === this.#hash) return false;
    const previous = this.#config;
    this.#config = config;
    this.#hash = hash;
    this.#vhosts = VhostTable.from(config.vhosts);
    for (const listener of this.#listeners) listener(config, previous);
    return true;
  }

  /** As {@link swap}, from text. */
  swapText(text: string): boolean {
    let json: unknown;
    try {
      json = parseJson(text);
    } catch (cause) {
      this.reject((cause as Error).message);
      throw cause;
    }
    return this.swap(json);
  }

  /**
   * As {@link swapText}, for a configuration that came by the admin port. The mounted file may go on showing the one
   * before for up to two minutes, which {@link offerFile} then knows to be old.
   */
  push(text: string): boolean {
    const replaced = this.#hash;
    const changed = this.swapText(text);
    if (changed) {
      this.#replacedByPush.delete(this.#hash);
      this.#replacedByPush.set(replaced, this.#now());
      for (const oldest of this.#replacedByPush.keys()) {
        if (this.#replacedByPush.size <= MAX_REPLACED) break;
        this.#replacedByPush.delete(oldest);
      }
    }
    return changed;
  }

  /**
   * As {@link swapText}, for the text of the mounted file: `stale` when a push has replaced that very configuration a
   * short time ago, which changes nothing; offer it again later.
   */
  offerFile(text: string): 'changed' | 'same' | 'stale' {
    let config: NodeConfig;
    try {
      config = parseNodeConfig(text);
    } catch (cause) {
      this.reject((cause as Error).message);
      throw cause;
    }
    const replacedAtMs = this.#replacedByPush.get(nodeConfigHash(config));
    if (replacedAtMs !== undefined && this.#now() - replacedAtMs < FILE_LAG_MS) return 'stale';
    return this.swap(config) ? 'changed' : 'same';
  }

  /** Remembers that a configuration could not be taken, such as a file that could not be read. */
  reject(reason: string): void {
    this.#rejections += 1;
    this.#rejected = { reason, atMs: this.#now() };
  }

  /** Calls `listener` after each change; the returned function ends that, idempotently. */
  subscribe(listener: ConfigListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

function fieldPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'configuration';
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
}
