import type { LeaseCall, LeaseRecord, LeaseStore, StoredLease } from '../runtime/leader-lease.ts';
import type { KubeClient } from './client.ts';
import { isKubeError, isRecord } from './kube-error.ts';
import type { KubeObject, ObjectRef } from './object.ts';

/** Keeps a LeaderLease's record in a coordination.k8s.io/v1 Lease. Give it the client without write guard. */
export class KubeLeaseStore implements LeaseStore {
  readonly #client: KubeClient;
  readonly #ref: ObjectRef;
  /** The object as last seen: others' labels and annotations on it are kept. */
  #last: KubeObject | undefined;

  constructor(client: KubeClient, namespace: string, name: string) {
    this.#client = client;
    this.#ref = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name };
  }

  async read(call: LeaseCall): Promise<StoredLease | undefined> {
    this.#last = await this.#client.find(this.#ref, call);
    return this.#last && storedOf(this.#last);
  }

  async write(record: LeaseRecord, version: string | undefined, call: LeaseCall): Promise<StoredLease | 'conflict'> {
    const { apiVersion, kind, namespace = '', name } = this.#ref;
    try {
      if (version === undefined) {
        this.#last = await this.#client.create({ apiVersion, kind, metadata: { namespace, name }, spec: record }, call);
      } else {
        const metadata = { ...this.#last?.metadata, namespace, name, resourceVersion: version };
        const spec = { ...(isRecord(this.#last?.spec) ? this.#last.spec : {}), ...record };
        this.#last = await this.#client.replace({ apiVersion, kind, metadata, spec }, call);
      }
      return storedOf(this.#last);
    } catch (error) {
      // not-found: deleted since it was read.
      if (isKubeError(error, 'conflict', 'already-exists', 'not-found')) return 'conflict';
      throw error;
    }
  }
}

function storedOf(object: KubeObject): StoredLease {
  const spec = isRecord(object.spec) ? object.spec : {};
  const text = (field: string) => (typeof spec[field] === 'string' ? spec[field] : '');
  const number = (field: string) => (typeof spec[field] === 'number' ? spec[field] : 0);
  return {
    version: object.metadata.resourceVersion ?? '',
    record: {
      holderIdentity: text('holderIdentity'),
      leaseDurationSeconds: number('leaseDurationSeconds'),
      acquireTime: text('acquireTime'),
      renewTime: text('renewTime'),
      leaseTransitions: number('leaseTransitions'),
    },
  };
}
