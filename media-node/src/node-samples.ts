import type { NodeState } from '#contract/admin-api.ts';
import type { Role } from '#contract/names.ts';
import type { MetricSample } from './admin/node-metrics.ts';
import type { SharedState } from './cluster/shared-state.ts';
import { packagedSamples } from './cluster-side.ts';
import type { ClusterSide } from './cluster-side.ts';
import type { ConfigStore } from './config/config-store.ts';
import type { HttpServer } from './http/http-server.ts';
import type { ConnectionLimit } from './lib/connection-limit.ts';
import type { TlsIdentity } from './lib/tls-identity.ts';
import type { Packagings } from './packaging/packagings.ts';
import type { PackagedHttp } from './protocols/packaged/packaged-http.ts';
import type { RtmpServer } from './protocols/rtmp/server.ts';
import type { RecordingSide } from './recording-side.ts';
import type { LimitGate } from './stream/limit-gate.ts';
import type { StreamRegistry } from './stream/stream-registry.ts';

/** What of a node is measured. */
export interface MeasuredParts {
  readonly role: Role;
  readonly version: string;
  readonly state: () => NodeState;
  readonly config: ConfigStore;
  readonly streams: StreamRegistry;
  readonly limit: ConnectionLimit;
  readonly limits: LimitGate;
  readonly tls: TlsIdentity;
  readonly rtmp: RtmpServer;
  readonly rtmps: RtmpServer;
  readonly http: HttpServer;
  readonly viewers: PackagedHttp['viewers'];
  readonly packagings: Packagings;
  readonly recording: RecordingSide;
  readonly shared: SharedState | undefined;
  /** Undefined until the node has entered its cluster. */
  readonly side: () => ClusterSide | undefined;
}

/** The figures of a node's parts as they are now, but those of its streams. */
export function* nodeSamples(parts: MeasuredParts): Iterable<MetricSample> {
  yield { metric: 'info', labels: { role: parts.role, version: parts.version }, value: 1 };
  yield { metric: 'configInfo', labels: { hash: parts.config.hash }, value: 1 };
  yield { metric: 'configRejected', value: parts.config.rejections };
  yield { metric: 'ready', value: parts.state() === 'ready' ? 1 : 0 };
  yield { metric: 'draining', value: parts.state() === 'draining' ? 1 : 0 };
  const http = parts.http.stats();
  const ends = new Map<string, number>();
  const ignored = new Map<string, number>();
  let httpNow = parts.limit.used;
  for (const [protocol, server] of [
    ['rtmp', parts.rtmp],
    ['rtmps', parts.rtmps],
  ] as const) {
    const stats = server.stats();
    httpNow -= server.sessions.size;
    yield { metric: 'connections', labels: { protocol }, value: server.sessions.size };
    yield { metric: 'connectionsAccepted', labels: { protocol }, value: stats.accepted };
    for (const [code, count] of stats.ends) ends.set(code, (ends.get(code) ?? 0) + count);
    for (const [reason, count] of Object.entries(stats.ignored))
      ignored.set(reason, (ignored.get(reason) ?? 0) + count);
  }
  yield { metric: 'connections', labels: { protocol: 'http' }, value: Math.max(0, httpNow) };
  yield { metric: 'connectionsAccepted', labels: { protocol: 'http' }, value: http.accepted };
  yield { metric: 'connectionsRefused', value: parts.limit.refused };
  for (const [limit, value] of Object.entries(parts.limits.reached)) {
    yield { metric: 'limitsReached', labels: { limit }, value };
  }
  for (const [code, value] of ends) yield { metric: 'rtmpConnectionsEnded', labels: { code }, value };
  for (const [reason, value] of ignored) yield { metric: 'mediaIgnored', labels: { reason }, value };
  const { validUntilMs } = parts.tls;
  if (validUntilMs !== undefined) yield { metric: 'certificateNotAfter', value: validUntilMs / 1_000 };
  const byClass = new Map<string, number>();
  for (const [status, count] of http.statuses) {
    const label = `${Math.floor(status / 100)}xx`;
    byClass.set(label, (byClass.get(label) ?? 0) + count);
  }
  for (const [status, value] of byClass) yield { metric: 'httpResponses', labels: { status }, value };
  const recording = parts.recording.stats();
  yield { metric: 'recordings', value: recording.recordings };
  yield { metric: 'recordedBytes', value: recording.bytes };
  yield { metric: 'recordedFiles', value: recording.files };
  yield { metric: 'recordingErrors', value: recording.errors };
  yield { metric: 'recordingDroppedFrames', value: recording.droppedFrames };
  yield { metric: 'recordingWaiting', value: recording.waitingBytes };
  yield { metric: 'sentBytes', value: parts.viewers.sentToNobody };
  const packaging = parts.packagings.stats();
  yield { metric: 'packagings', value: packaging.packagings };
  yield { metric: 'packagedSegments', value: packaging.segments };
  yield { metric: 'packagedBytes', value: packaging.bytes };
  yield { metric: 'packagedForcedCuts', value: packaging.forcedCuts };
  yield { metric: 'packagedDropped', value: packaging.droppedSegments };
  yield { metric: 'packagedDiskErrors', value: packaging.diskErrors };
  yield { metric: 'packagedFramesDropped', value: packaging.droppedFrames };
  yield { metric: 'packagingTakeovers', value: packaging.takeOvers };
  yield { metric: 'autoWindow', value: parts.streams.autoWindowMs / 1_000 };
  const side = parts.side()?.stats();
  if (side === undefined) return;
  yield { metric: 'pulls', value: side.pulls };
  yield { metric: 'pullsStarted', value: side.pullsStarted };
  yield { metric: 'forwards', value: side.forwards };
  yield { metric: 'takeovers', value: side.takeovers };
  yield { metric: 'publishersAwaited', value: side.awaited };
  yield { metric: 'publishersResumed', value: side.resumed };
  yield { metric: 'claims', value: side.directory.claims };
  yield { metric: 'fences', value: side.directory.fences };
  yield { metric: 'directoryHeals', value: side.directory.heals };
  yield { metric: 'directoryMalformed', value: side.directory.malformed };
  yield { metric: 'directoryUp', value: side.directoryUp ? 1 : 0 };
  yield* packagedSamples(side);
  if (parts.shared !== undefined) yield { metric: 'sharedFailures', value: parts.shared.failures };
}
