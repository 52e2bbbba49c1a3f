import { directoryKeys, DirectoryChange, NodeLease, parseJson, StreamRecord } from '#contract/directory-keys.ts';
import type { DirectoryKeys } from '#contract/directory-keys.ts';
import { DirectoryError } from './directory.ts';
import type {
  BeatReply,
  DirectoryStore,
  ScanPage,
  StoreClaim,
  StoreClaimResult,
  StoreEntry,
  StoreListener,
} from './directory-store.ts';
import { ASSERT, BEAT, CLAIM, DROP, LIVE_NODES, RELEASE } from './redis-scripts.ts';
import { RedisLink, strings } from './redis-link.ts';
import type { RedisLinkOptions } from './redis-link.ts';

export interface RedisStoreOptions extends Pick<
  RedisLinkOptions,
  'address' | 'commandTimeoutMs' | 'maxReconnectMs' | 'pingMs'
> {
  readonly namespace: string;
  readonly cluster: string;
}

/** The directory's state in Redis or a Redis Cluster. */
export class RedisStore implements DirectoryStore {
  readonly #keys: DirectoryKeys;
  readonly #link: RedisLink;
  #listener: StoreListener | undefined;

  constructor(options: RedisStoreOptions) {
    const { namespace, cluster, ...link } = options;
    this.#keys = directoryKeys(namespace, cluster);
    this.#link = new RedisLink({ ...link, name: 'livecluster', channel: this.#keys.changes });
  }

  start(listener: StoreListener): void {
    this.#listener = listener;
    this.#link.start({
      onConnected: () => listener.onConnected(),
      onDisconnected: () => listener.onDisconnected(),
      onMessage: (message) => this.#received(message),
      onSubscribed: (isAgain) => {
        if (isAgain) listener.onGap();
      },
    });
  }

  #received(message: string): void {
    const change = parseJson(DirectoryChange, message);
    if (change === undefined) this.#listener?.onMalformed('a message on the change channel');
    else this.#listener?.onChange(change);
  }

  async beat(lease: NodeLease, leaseMs: number): Promise<BeatReply> {
    const { nodePrefix, nodes, born } = this.#keys;
    const args = [JSON.stringify(lease), String(Math.round(leaseMs)), lease.nodeId];
    const reply = await this.#run(BEAT, [`${nodePrefix}${lease.nodeId}`, nodes, born], args);
    const [former, time] = strings(reply);
    const timeMs = Number(time);
    if (former === undefined || !Number.isFinite(timeMs)) throw this.#senseless('the answer to a heartbeat');
    return { previousBeat: former === '' ? undefined : parseJson(NodeLease, former)?.beat, timeMs };
  }

  async claim(claim: StoreClaim): Promise<StoreClaimResult> {
    const { streams, epoch, born, changes } = this.#keys;
    const args = [
      claim.field,
      claim.claimant.nodeId,
      JSON.stringify(claim.claimant),
      claim.expected?.nodeId ?? '',
      String(claim.expected?.epoch ?? 0),
      String(claim.floorEpoch),
      claim.settledAgeMs === undefined ? '' : String(claim.settledAgeMs),
      String(claim.notAfterMs),
      changes,
    ];
    // Once more at most, after a record that makes no sense was removed.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const [kind, value] = strings(await this.#run(CLAIM, [streams, epoch, born], args));
      if (kind === 'ok' && Number.isSafeInteger(Number(value))) return { kind, epoch: Number(value) };
      if (kind === 'unsettled' || kind === 'late') return { kind };
      if (kind !== 'busy' || value === undefined) break;
      const record = await this.#recordOrDrop(claim.field, value);
      if (record !== undefined) {
        return { kind: 'busy', record, alive: (await this.alive([record.nodeId])).has(record.nodeId) };
      }
    }
    throw this.#senseless('the answer to a claim');
  }

  async assertRecords(entries: readonly StoreEntry[]): Promise<readonly (StreamRecord | undefined)[]> {
    const { streams, epoch, changes } = this.#keys;
    const nodeId = entries[0]?.record.nodeId;
    if (nodeId === undefined) return [];
    const pairs = entries.flatMap(({ field, record }) => [field, JSON.stringify(record)]);
    const answers = strings(await this.#run(ASSERT, [streams, epoch], [nodeId, changes, ...pairs]));
    if (answers.length !== entries.length) throw this.#senseless('the answer to a check of records');
    const higher: (StreamRecord | undefined)[] = [];
    for (const [index, { field }] of entries.entries()) {
      const raw = answers[index] ?? '';
      // A broken one is removed; the next check writes ours.
      higher.push(raw === '' ? undefined : await this.#recordOrDrop(field, raw));
    }
    return higher;
  }

  async release(
    nodeId: string,
    entries: readonly { readonly field: string; readonly epoch: number | null }[],
  ): Promise<void> {
    const pairs = entries.flatMap(({ field, epoch }) => [field, epoch === null ? '' : String(epoch)]);
    await this.#run(RELEASE, [this.#keys.streams], [nodeId, this.#keys.changes, ...pairs]);
  }

  async lookup(field: string): Promise<{ readonly record: StreamRecord; readonly alive: boolean } | undefined> {
    const raw = await this.#link.call((redis) => redis.hget(this.#keys.streams, field));
    if (raw === null) return undefined;
    const record = await this.#recordOrDrop(field, raw);
    if (record === undefined) return undefined;
    return { record, alive: (await this.alive([record.nodeId])).has(record.nodeId) };
  }

  async alive(nodeIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (nodeIds.length === 0) return new Set();
    const leases = await this.#leases(nodeIds);
    return new Set(nodeIds.filter((_, index) => leases[index] !== null));
  }

  async nodes(): Promise<readonly NodeLease[]> {
    const ids = strings(await this.#run(LIVE_NODES, [this.#keys.nodes], []));
    if (ids.length === 0) return [];
    const found: NodeLease[] = [];
    for (const raw of await this.#leases(ids)) {
      if (typeof raw !== 'string') continue;
      const lease = parseJson(NodeLease, raw);
      if (lease === undefined) this.#listener?.onMalformed('a node’s lease');
      else found.push(lease);
    }
    return found;
  }

  #leases(nodeIds: readonly string[]): Promise<(string | null)[]> {
    return this.#link.call((redis) => redis.mget(nodeIds.map((id) => `${this.#keys.nodePrefix}${id}`)));
  }

  async scan(cursor: string, count: number): Promise<ScanPage> {
    const [next, flat] = await this.#link.call((redis) => redis.hscan(this.#keys.streams, cursor, 'COUNT', count));
    const entries: StoreEntry[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const [field, raw] = [flat[at] ?? '', flat[at + 1] ?? ''];
      const record = await this.#recordOrDrop(field, raw);
      if (record !== undefined) entries.push({ field, record });
    }
    return { cursor: next, entries };
  }

  async leave(nodeId: string): Promise<void> {
    await this.#link.call((redis) => redis.del(`${this.#keys.nodePrefix}${nodeId}`));
    await this.#link.call((redis) => redis.zrem(this.#keys.nodes, nodeId));
  }

  close(): void {
    this.#link.close();
  }

  /** A record that another process wrote; one that makes no sense is deleted, or its stream could never be claimed. */
  async #recordOrDrop(field: string, raw: string): Promise<StreamRecord | undefined> {
    const record = parseJson(StreamRecord, raw);
    if (record !== undefined) return record;
    this.#listener?.onMalformed('a stream’s record');
    await this.#run(DROP, [this.#keys.streams], [field, raw]);
    return undefined;
  }

  #senseless(what: string): DirectoryError {
    this.#listener?.onMalformed(what);
    return new DirectoryError('away', `${what} makes no sense; is the address that of a Redis server?`);
  }

  #run(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#link.run(script, keys, args);
  }
}
