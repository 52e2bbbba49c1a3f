import { z } from 'zod';
import { DURATION_PATTERN, durationMs } from '../duration.ts';
import { DashSpec, HlsSpec } from './packaging.ts';
import { DvrSpec } from './recording.ts';
import { Conditions, LocalObjectReference, boundedDuration, withRules, withServerRule } from './schema.ts';

/*
 * Vhost: the rules for streams under some host names of one LiveCluster. All of it reloads live. A field is here only
 * when something works by it.
 */

const HOST_PATTERN = /^(__defaultVhost__|[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?)$/;

const isWindow = new RegExp(`^(auto|realtime|${DURATION_PATTERN.slice(1, -1)})$`);

/** `auto`, `realtime`, or 10ms to 2s. */
const MwLatency = withRules(
  z.string().max(28).regex(isWindow, { error: 'must be auto, realtime, or a duration such as 350ms' }),
  {
    rule: "self in ['auto', 'realtime'] || (duration(self) >= duration('10ms') && duration(self) <= duration('2s'))",
    message: 'must be auto, realtime, or a duration of at least 10ms and at most 2s, such as 350ms',
    check: (value) =>
      value === 'auto' ||
      value === 'realtime' ||
      !isWindow.test(value) ||
      (durationMs(value) >= 10 && durationMs(value) <= 2_000),
  },
);

const limit = () => z.int().min(1).max(10_000_000).optional();

export const VhostSpec = z.strictObject({
  clusterRef: withServerRule(
    LocalObjectReference.describe('The LiveCluster it belongs to, in the same namespace.'),
    'self == oldSelf',
    'clusterRef cannot change: delete the Vhost and create it for the other cluster',
  ),
  hosts: z
    .array(
      z
        .string()
        .max(253)
        .regex(HOST_PATTERN, { error: 'must be a host name or an IP address without port, or __defaultVhost__' }),
    )
    .min(1)
    .max(64)
    .meta({ 'x-kubernetes-list-type': 'set' })
    .refine((hosts) => new Set(hosts).size === hosts.length, { error: 'names a host twice: remove one' })
    .describe('Host names it answers to. __defaultVhost__ catches every name that no other Vhost has.'),
  enabled: z.boolean().default(true).describe('False refuses every session under its hosts.'),
  publish: z
    .strictObject({
      takeover: z
        .enum(['Reject', 'Replace'])
        .default('Reject')
        .describe(
          'What a second publisher of a live stream gets: NetStream.Publish.BadName, or the place of the first.',
        ),
      firstPacketTimeout: boundedDuration('100ms')
        .default('20s')
        .describe("How long an encoder may wait before its first media; SRS's firstpkt_timeout."),
      idleTimeout: boundedDuration('100ms')
        .default('5s')
        .describe("How long it may stay silent afterwards; SRS's normal_timeout."),
      grace: boundedDuration()
        .default('10s')
        .describe(
          'How long a stream whose publisher is gone waits for the next one, with its place in the cluster and the pulls of other pods kept; 0s ends it at once.',
        ),
    })
    .prefault({})
    .describe('Rules for publishers.'),
  play: z
    .strictObject({
      gopCache: z
        .boolean()
        .default(true)
        .describe("Begin a new player at the last key frame, for a picture at once; SRS's gop_cache."),
      queueLength: boundedDuration('100ms')
        .default('10s')
        .describe("Media a slow player's queue may hold before it skips to the next key frame; SRS's queue_length."),
      mwLatency: MwLatency.default('auto').describe(
        "How long media is collected until it is written to players; SRS's mw_latency. A longer window costs less CPU a player and adds half of itself to the latency. realtime: each video frame at once. auto: realtime while the node has CPU to spare, then in steps up to 350ms.",
      ),
      atc: z
        .boolean()
        .default(false)
        .describe(
          "Give players the publisher's own timestamps, jumps and all, instead of ones that always go on; SRS's atc. In force from the next publisher on.",
        ),
      mixCorrect: z
        .boolean()
        .default(false)
        .describe(
          "Put audio and video in the order of their timestamps, for encoders that send one ahead of the other; SRS's mix_correct. Costs a frame of latency. In force from the next publisher on.",
        ),
    })
    .prefault({})
    .describe('Rules for players.'),
  httpRemux: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Serve HTTP-FLV, HTTP-TS, HTTP-AAC and HTTP-MP3.'),
      mount: withRules(
        z
          .string()
          .min(1)
          .max(512)
          .regex(/^[A-Za-z0-9/_.[\]-]+\.flv$/, {
            error: 'must be a path that ends in .flv, such as [vhost]/[app]/[stream].flv',
          })
          .meta({
            description:
              "Path template of HTTP-FLV; SRS's http_remux mount. [vhost] is a host of the Vhost, in the Host header where the template begins with it, else in the path; in the templates of hls, dash and dvr, whose files all hosts share, it is the Vhost's name. With .ts, .aac or .mp3 in the place of .flv it is the path of HTTP-TS, HTTP-AAC and HTTP-MP3.",
          }),
        {
          rule: "self.contains('[app]') && self.contains('[stream]')",
          message: 'mount must hold [app] and [stream], such as [vhost]/[app]/[stream].flv',
          check: (mount) => mount.includes('[app]') && mount.includes('[stream]'),
        },
      ).default('[vhost]/[app]/[stream].flv'),
    })
    .prefault({})
    .describe('Playback as endless files over HTTP: .flv, .ts, .aac, .mp3.'),
  hls: HlsSpec,
  dash: DashSpec,
  dvr: DvrSpec,
  security: z
    .strictObject({
      cors: z
        .strictObject({
          allowOrigins: z
            .array(z.string().min(1).max(253))
            .max(64)
            .default(['*'])
            .describe('Web origins, such as https://tv.example.com, whose pages may play; * for all.'),
        })
        .prefault({})
        .describe('Cross-origin rules of HTTP playback.'),
    })
    .prefault({})
    .describe('Who may do what.'),
  limits: z
    .strictObject({
      maxPublishers: limit().describe(
        'Streams that may be published on one pod; one that an edge hands on counts on the edge and on the origin. The next publisher gets NetStream.Publish.Denied.',
      ),
      maxViewers: limit().describe(
        'Viewers that one pod serves. The next one gets NetStream.Play.Failed, or HTTP 503.',
      ),
      maxViewersPerStream: limit().describe(
        'Viewers of one stream that one pod serves. The next one gets NetStream.Play.Failed, or HTTP 503.',
      ),
      maxIngestKbps: limit().describe(
        'Bit rate of one encoder in kbit/s, audio, video and overhead together. What goes over it for a moment is let through; at twice the limit an encoder is ended after 5 seconds.',
      ),
    })
    .prefault({})
    .describe(
      'What one pod takes, apart from origin.maxConnections and edge.maxConnections of the LiveCluster. Left out: no limit. Reloads live; lower numbers of publishers and viewers end nobody who is there.',
    ),
  cluster: z
    .strictObject({
      edgePublish: z
        .enum(['Forward', 'Deny'])
        .default('Forward')
        .describe('What an edge does with a publish: hand it on to an origin, or refuse it.'),
    })
    .prefault({})
    .describe('How the pods of the cluster treat its streams.'),
});
export type VhostSpec = z.infer<typeof VhostSpec>;

export const VhostStatus = z.strictObject({
  observedGeneration: z.int().min(0).optional().describe('Generation of the spec that this status speaks of.'),
  conditions: Conditions.optional().describe('Accepted, ResolvedRefs and Programmed; with dvr.enabled also DvrReady.'),
  podsProgrammed: z.int().min(0).optional().describe('Pods that run this configuration.'),
  podsTotal: z.int().min(0).optional().describe('Pods of the cluster.'),
  configHash: z.string().max(64).optional().describe('Hash of the configuration that the pods are to run.'),
});
export type VhostStatus = z.infer<typeof VhostStatus>;
