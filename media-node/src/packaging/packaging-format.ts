import type { VhostConfig } from '#contract/node-config.ts';
import { pathSettingsId } from './vhost-paths.ts';

/** What a Vhost says of its streams' segments. A change of it begins another playlist. */
export interface PackagingFormat {
  /** Two formats of the same id give files of the same shape and names. */
  readonly id: string;
  /** MPEG-TS segments. */
  readonly hasTs: boolean;
  /** CMAF segments, each track's its own. */
  readonly hasCmaf: boolean;
  readonly fragmentMs: number;
  /** Wished length of parts; undefined without low latency. */
  readonly partMs: number | undefined;
  readonly isEncrypted: boolean;
}

/** Undefined where the Vhost packages nothing. */
export function formatOf(vhost: VhostConfig): PackagingFormat | undefined {
  const { hls, dash } = vhost;
  const hasTs = hls.enabled && hls.container === 'ts';
  const hasCmaf = (hls.enabled && hls.container === 'fmp4') || dash.enabled;
  if (!hasTs && !hasCmaf) return undefined;
  const isLowLatency = hls.enabled && hls.container === 'fmp4' && hls.lowLatency.enabled;
  const format = {
    hasTs,
    hasCmaf,
    fragmentMs: hls.fragmentMs,
    partMs: isLowLatency ? hls.lowLatency.partMs : undefined,
    isEncrypted: hasTs && hls.keys.enabled,
  };
  return { id: JSON.stringify([format, pathSettingsId(vhost)]), ...format };
}
