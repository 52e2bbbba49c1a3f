import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import { RtmpPeer } from '../../media-node/src/protocols/testing/rtmp-peer.ts';

/*
 * What the soak's nodes serve. Everything is held as shortly as it may be, so that much comes and goes in minutes, and so that
 * a node is soon at rest.
 */

const HLS = { ...VHOST_DEFAULTS.hls, fragmentMs: 1_000, windowMs: 4_000, disposeMs: 3_000 };

function vhost(name: string, more: Partial<VhostConfig>): VhostConfig {
  const publish = { ...VHOST_DEFAULTS.publish, graceMs: 2_000 };
  return VhostConfig.parse({ name, hosts: [name], ...VHOST_DEFAULTS, publish, hls: HLS, ...more });
}

/** MPEG-TS with a context for each viewer. Files are recorded of some streams. */
const PLAIN = vhost('plain.soak', {
  dvr: { ...VHOST_DEFAULTS.dvr, enabled: true, plan: 'Segment', durationMs: 5_000, applyTo: ['live/soak1*'] },
});
/** Encrypted MPEG-TS, one address for all viewers; the second publisher of a name takes the first one's place. */
const KEYS = vhost('keys.soak', {
  hls: { ...HLS, ctx: false, keys: { ...HLS.keys, enabled: true, fragmentsPerKey: 2 } },
  publish: { ...PLAIN.publish, takeover: 'Replace' },
});
/** Fragmented MP4 for HLS and DASH. */
const DASH = vhost('dash.soak', {
  hls: { ...HLS, container: 'fmp4' },
  dash: { ...VHOST_DEFAULTS.dash, enabled: true },
});
const LOW = vhost('low.soak', {
  hls: { ...HLS, container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } },
  dash: { ...VHOST_DEFAULTS.dash, enabled: true },
  play: { ...VHOST_DEFAULTS.play, mwLatency: 'realtime' },
});

export const VHOSTS = [PLAIN, KEYS, DASH, LOW] as const;
/** Pulls, and what is fetched of packaged streams, go on for so long without a viewer. */
export const PULL_HOLD_MS = 3_000;

/** A stream that somebody may publish, or play. */
export interface SoakStream {
  readonly vhost: VhostConfig;
  /** Without the app, which is `live`. */
  readonly name: string;
}

/** Path of a stream on the HTTP port, with the query that names its Vhost. `ending` as `.m3u8`. */
export function pathOf({ vhost: { name: host }, name }: SoakStream, ending: string): string {
  return `/live/${name}${ending}?vhost=${host}`;
}

/** A connection for the streams of a Vhost: RTMP names it in the app. */
export function connected(port: number, { name }: VhostConfig): Promise<RtmpPeer> {
  return RtmpPeer.connected(port, `live?vhost=${name}`);
}
