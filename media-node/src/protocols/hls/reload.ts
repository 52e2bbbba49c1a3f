import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import { isLowLatency, lastOf } from '../../formats/hls-playlist.ts';
import { HttpError } from '../../http/http-error.ts';

/*
 * Delivery directives of a request for a media playlist (draft-pantos-hls-rfc8216bis-16 §6.2.5).
 */

/** What a player asks of a playlist's reload (RFC 8216bis §6.2.5). */
export interface Directives {
  /** `_HLS_msn`: answer when the playlist has this segment, or its part `part`. */
  readonly msn: number | undefined;
  /** `_HLS_part` */
  readonly part: number | undefined;
  /** `_HLS_skip`: YES or v2, the same without EXT-X-DATERANGE. Other values ask for nothing that is known here. */
  readonly isDelta: boolean;
}

/** Reads the directives; those that are not known are ignored. Throws HttpError 400. */
export function readDirectives(query: URLSearchParams): Directives {
  const msn = number(query, '_HLS_msn');
  const part = number(query, '_HLS_part');
  if (part !== undefined && msn === undefined) {
    throw new HttpError(400, '_HLS_part needs _HLS_msn, the number of the segment that the part belongs to');
  }
  const skip = query.get('_HLS_skip');
  return { msn, part, isDelta: skip === 'YES' || skip === 'v2' };
}

function number(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new HttpError(400, `${name} is a whole number from 0, such as ${name}=12`);
  }
  return value;
}

/** `too-far`: further ahead than a client that knows the playlist can ask. */
export type Reach = 'there' | 'awaited' | 'too-far';

/** Whether a playlist has come as far as a blocking request asks; one without low latency never lets anybody wait. */
export function reachOf(snapshot: PackagingSnapshot, rendition: RenditionName, { msn, part }: Directives): Reach {
  if (msn === undefined || !isLowLatency(snapshot) || snapshot.isEnded) return 'there';
  const end = lastOf(snapshot, rendition);
  if (end === undefined) return 'awaited';
  if (end.msn > msn) return 'there';
  if (msn > end.msn + 2) return 'too-far';
  let nextPart = 0;
  if (end.msn === msn) {
    // A part beyond the last one of a complete segment is the first of the next segment (§6.2.5.2).
    if (end.isComplete) return part === undefined || end.part === undefined || part <= end.part ? 'there' : 'awaited';
    nextPart = (end.part ?? -1) + 1;
    if (part !== undefined && part < nextPart) return 'there';
  }
  return part !== undefined && part >= nextPart + advanceLimit(snapshot.partTargetMs) ? 'too-far' : 'awaited';
}

/** §6.2.5.2: how many parts ahead of the last one a client may ask. */
function advanceLimit(partTargetMs: number): number {
  return partTargetMs < 1_000 ? Math.ceil(3_000 / partTargetMs) : 3;
}
