import { isDeepStrictEqual } from 'node:util';
import { STATUS_FIELD_MANAGER } from '#contract/names.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/kube-error.ts';
import type { KubeObject } from '../kube/object.ts';
import { keyOf } from '../kube/object.ts';
import { isOlder } from './freshness.ts';

/** Writes status subresources, and only what differs from what is there. One for each kind. */
export class StatusWriter {
  readonly #client: KubeClient;
  /** What was last written, by key: the cache can be behind it. */
  readonly #written = new Map<string, KubeObject>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** The newest state known of an object whose cached state is at hand. */
  newest<T extends KubeObject>(cached: T): T {
    const written = this.#written.get(keyOf(cached));
    return written && isOlder(cached, written) ? (written as T) : cached;
  }

  /** Writes the status; an object that was deleted meanwhile is no error. Returns whether it had to be written. */
  async write(object: KubeObject, status: unknown): Promise<boolean> {
    if (isDeepStrictEqual(this.newest(object).status, status)) return false;
    const { apiVersion, kind, metadata } = object;
    const { name, namespace } = metadata;
    try {
      const written = await this.#client.applyStatus(
        { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}) }, status },
        { fieldManager: STATUS_FIELD_MANAGER },
      );
      this.#written.set(keyOf(object), written);
      return true;
    } catch (error) {
      if (isKubeError(error, 'not-found')) return false;
      throw error;
    }
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}
