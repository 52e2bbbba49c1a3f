import { directoryKeys, parseJson, SessionsEnded } from '#contract/directory-keys.ts';
import type { DirectoryKeys } from '#contract/directory-keys.ts';
import { RedisLink, strings } from './redis-link.ts';
import { CLAIM_SESSIONS, END_SESSIONS, ENDED_SESSIONS, RELEASE_SESSIONS } from './redis-scripts.ts';
import type { RedisStoreOptions } from './redis-store.ts';
import { parseRedisUrl } from './redis-url.ts';
import { SharedState } from './shared-state.ts';
import type { SharedStateOptions } from './shared-state.ts';
import { MAX_ENDED } from './shared-store.ts';
import type { SavedState, SessionTime, SharedStore, SharedStoreListener } from './shared-store.ts';

/**
 * In Redis or a Redis Cluster, over connections of its own: what is large or comes from viewers must not hold up the
 * directory's heartbeats.
 */
export class RedisSharedStore implements SharedStore {
  readonly #keys: DirectoryKeys;
  readonly #link: RedisLink;

  constructor(options: RedisStoreOptions) {
    const { namespace, cluster, ...link } = options;
    this.#keys = directoryKeys(namespace, cluster);
    this.#link = new RedisLink({ ...link, name: 'livecluster-shared', channel: this.#keys.endings });
  }

  start(listener: SharedStoreListener): void {
    this.#link.start({
      onConnected: () => listener.onConnected(),
      onDisconnected: () => undefined,
      onMessage: (message) => {
        const ended = parseJson(SessionsEnded, message);
        if (ended === undefined) listener.onMalformed('a message on the channel of endings');
        else listener.onEnded(ended.sessions);
      },
      onSubscribed: () => listener.onConnected(),
    });
  }

  async saveStates(states: readonly SavedState[]): Promise<void> {
    await this.#link.call(async (redis) => {
      const replies = states.map(({ field, state, keepMs }) =>
        redis.set(`${this.#keys.packagingPrefix}${field}`, state, 'PX', Math.max(1, Math.round(keepMs))),
      );
      await Promise.all(replies);
    });
  }

  async loadState(field: string): Promise<string | undefined> {
    return (await this.#link.call((redis) => redis.get(`${this.#keys.packagingPrefix}${field}`))) ?? undefined;
  }

  async claimSessions(nodeId: string, sessions: readonly SessionTime[]): Promise<readonly boolean[]> {
    const times = sessions.map(({ keepMs }) => String(Math.max(1, Math.round(keepMs))));
    const reply = await this.#link.run(CLAIM_SESSIONS, this.#sessionKeys(sessions.map(({ id }) => id)), [
      nodeId,
      ...times,
    ]);
    return strings(reply).map((answer) => answer === '1');
  }

  async releaseSessions(nodeId: string, ids: readonly string[]): Promise<void> {
    await this.#link.run(RELEASE_SESSIONS, this.#sessionKeys(ids), [nodeId]);
  }

  async endSessions(sessions: readonly SessionTime[]): Promise<void> {
    const message: SessionsEnded = { version: 1, sessions: [...sessions] };
    const pairs = sessions.flatMap(({ id, keepMs }) => [id, String(Math.round(keepMs))]);
    const { ended, endings } = this.#keys;
    await this.#link.run(END_SESSIONS, [ended], [String(MAX_ENDED), endings, JSON.stringify(message), ...pairs]);
  }

  async endedSessions(): Promise<readonly SessionTime[]> {
    const flat = strings(await this.#link.run(ENDED_SESSIONS, [this.#keys.ended], [String(MAX_ENDED)]));
    const found: SessionTime[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) found.push({ id: flat[at] ?? '', keepMs: Number(flat[at + 1]) });
    return found;
  }

  close(): void {
    this.#link.close();
  }

  #sessionKeys(ids: readonly string[]): readonly string[] {
    return ids.map((id) => `${this.#keys.sessionPrefix}${id}`);
  }
}

/** Where it is; `url` as in parseRedisUrl: it holds a password and is never logged. */
export interface RedisPlace {
  readonly url: string;
  readonly namespace: string;
  readonly cluster: string;
}

/** What nodes share, in Redis. Connects in `start`. Throws DirectoryError `bad-url`. */
export function createRedisSharedState(options: SharedStateOptions, { url, ...names }: RedisPlace): SharedState {
  return new SharedState(new RedisSharedStore({ address: parseRedisUrl(url), ...names }), options);
}
