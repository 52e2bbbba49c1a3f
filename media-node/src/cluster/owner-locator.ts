import type { StreamKey } from '../stream/stream-key.ts';
import type { Directory, OwnerRecord } from './directory.ts';
import { Limiter } from './limiter.ts';
import type { OriginFinder } from './ports.ts';

/** Questions to the directory at once, when it comes back and everybody looks again. */
const LOOKUPS_AT_ONCE = 32;

/** Finds who has a stream: in the directory, and by asking the origins while that is away. */
export class OwnerLocator {
  readonly #directory: Directory;
  readonly #finder: OriginFinder;
  readonly #lookups = new Limiter(LOOKUPS_AT_ONCE);

  constructor(directory: Directory, finder: OriginFinder) {
    this.#directory = directory;
    this.#finder = finder;
  }

  /** Undefined: nobody that could be found. Never rejects. */
  locate(key: StreamKey): Promise<OwnerRecord | undefined> {
    return this.#lookups.run(() => this.#locate(key));
  }

  async #locate(key: StreamKey): Promise<OwnerRecord | undefined> {
    try {
      return (await this.#directory.lookup(key))?.owner;
    } catch {
      return (await this.#finder.find(key)).owner;
    }
  }
}
