import { NodeConfig, nodeConfigHash } from '#contract/node-config.ts';
import { ConfigError } from './config-error.ts';
import { VhostTable } from './vhost-table.ts';

/** Faults named in one message; the rest is counted. */
const MAX_FAULTS_NAMED = 5;

/** Validates a parsed JSON value as a whole NodeConfig. Throws ConfigError. */
export function validateNodeConfig(json: unknown): NodeConfig {
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

  /** Remembers that a configuration could not be taken, such as a file that could not be read. */
  reject(reason: string): void {
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
