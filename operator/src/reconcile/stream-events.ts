import { CodecLeftOut, KeyFramesTooFar, MOST_NOTICES } from '#contract/admin-api.ts';
import type { StreamNotice } from '#contract/admin-api.ts';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { vhostName } from '../desired/node-config.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeObject } from '../kube/object.ts';
import { splitKey } from '../kube/object.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigRenderer } from './config-renderer.ts';
import type { Watches } from './watches.ts';

export interface StreamEventsOptions {
  readonly watches: Pick<Watches, 'get'>;
  readonly renderer: Pick<ConfigRenderer, 'render'>;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly clock: Clock;
}

/** Said again after so long, if it is still so: the API server keeps events for an hour. */
const TOLD_MS = 3_600_000;
/** Streams of one cluster that are told of within TOLD_MS; names of streams are their publishers' to choose. */
const MOST_TOLD = 64;
/** Longer names are cut in notes, which have 1 KiB; in characters. */
const LONGEST_NAME = 100;

/** Makes what nodes notice of streams events of the Vhost, or of the LiveCluster where its built-in catch-all has them. */
export class StreamEvents {
  readonly #options: StreamEventsOptions;
  /** By the cluster's key; then by stream, code and codec, oldest first: when it was told. */
  readonly #told = new Map<string, Map<string, number>>();

  constructor(options: StreamEventsOptions) {
    this.#options = options;
  }

  /** What a node of the cluster with this key lists; each is told of once, whichever nodes list it how often. */
  tell(key: string, notices: readonly StreamNotice[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    const told = this.#told.get(key) ?? new Map<string, number>();
    for (const [id, toldMs] of told) if (nowMs - toldMs >= TOLD_MS) told.delete(id);
    for (const notice of notices.slice(-MOST_NOTICES)) {
      const { vhost, app, stream, code, codec = '' } = notice;
      const id = JSON.stringify([code, vhost, app, stream, codec]);
      if (told.size >= MOST_TOLD || told.has(id)) continue;
      const regarding = this.#objectOf(key, vhost);
      const note = regarding && noteOf(notice, regarding.kind === 'LiveCluster');
      if (regarding === undefined || note === undefined) continue;
      told.set(id, nowMs);
      this.#options.events.record(regarding, { type: 'Warning', reason: code, action: 'Package', note });
    }
    if (told.size > 0) this.#told.set(key, told);
    else this.#told.delete(key);
  }

  /** The LiveCluster with this key is gone. */
  forget(key: string): void {
    this.#told.delete(key);
  }

  /** Who says how the streams are packaged; undefined if that has gone in the meantime. */
  #objectOf(key: string, vhost: string): KubeObject | undefined {
    const { watches, renderer } = this.#options;
    const accepted = renderer.render(key)?.verdicts.accepted;
    const own = accepted?.find(({ metadata, spec }) => vhostName(metadata.name, spec.hosts) === vhost);
    if (own !== undefined) return watches.get('Vhost', `${splitKey(key).namespace ?? ''}/${own.metadata.name}`);
    return accepted !== undefined && vhost === DEFAULT_VHOST ? watches.get('LiveCluster', key) : undefined;
  }
}

/** Undefined for what this operator does not know: the node is newer. */
function noteOf(notice: StreamNotice, isBuiltIn: boolean): string | undefined {
  const { app, stream } = notice;
  const said = saidOf(notice, isBuiltIn ? `, in a Vhost with the host ${DEFAULT_VHOST}` : '');
  return said && `stream ${shown(app)}/${shown(stream)}: ${said}`;
}

/** `where`: what follows the name of a Vhost's field. */
function saidOf({ code, detail, codec }: StreamNotice, where: string): string | undefined {
  if (code === 'CodecLeftOut') return leftOut(detail, codec, where);
  if (code !== 'KeyFramesTooFar') return undefined;
  const read = KeyFramesTooFar.safeParse(detail);
  if (!read.success) return undefined;
  const { keyFrameDistanceMs, targetDurationMs, fragmentMs } = read.data;
  return (
    `its key frames are ${seconds(keyFrameDistanceMs)} apart or more and the target duration is ` +
    `${seconds(targetDurationMs)}, so segments are cut without a key frame and players cannot begin at them: ` +
    `set the encoder's key frame interval to at most ${seconds(fragmentMs)}, or raise hls.fragment${where}`
  );
}

function leftOut(detail: StreamNotice['detail'], codec: string | undefined, where: string): string | undefined {
  const read = CodecLeftOut.safeParse(detail);
  if (!read.success || codec === undefined) return undefined;
  if (read.data.inMp4 === 0) {
    return `HLS and DASH leave its ${codec} out, which they do not carry: publish another codec, such as H.264 and AAC`;
  }
  return `HLS leaves its ${codec} out, which MPEG-TS does not carry: set hls.container to fmp4${where}, or publish another codec`;
}

const shown = (name: string) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name);
const seconds = (ms: number) => `${Math.round(ms / 100) / 10} s`;
