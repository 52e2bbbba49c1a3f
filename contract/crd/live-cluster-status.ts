import { z } from 'zod';
import { Conditions } from './schema.ts';

const roleStatus = {
  replicas: z.int().min(0).describe('Pods that exist.'),
  ready: z.int().min(0).describe('Pods that are ready.'),
  updated: z.int().min(0).describe('Pods that run the present specification.'),
};

/** The status of a LiveCluster, which the operator writes. */
export const LiveClusterStatus = z.strictObject({
  observedGeneration: z.int().min(0).optional().describe('Generation of the spec that this status speaks of.'),
  conditions: Conditions.optional().describe(
    'Ready, Progressing, Degraded and one for each thing that can hold the cluster up.',
  ),
  origin: z.strictObject(roleStatus).optional().describe('The origin pods.'),
  edge: z
    .strictObject({
      ...roleStatus,
      selector: z.string().max(4096).describe('Label selector of the edge pods, for autoscalers.'),
    })
    .optional()
    .describe('The edge pods.'),
  endpoints: z
    .strictObject({
      rtmp: z.string().max(2048).optional().describe('Where encoders push to.'),
      rtmpPlay: z.string().max(2048).optional().describe('Where RTMP players play from.'),
      rtmps: z.string().max(2048).optional().describe('Where encoders push to by RTMPS.'),
      rtmpsPlay: z.string().max(2048).optional().describe('Where RTMPS players play from.'),
      flv: z.string().max(2048).optional().describe('Where players play from over HTTP: HLS, DASH, HTTP-FLV.'),
    })
    .optional()
    .describe('Addresses as clients use them.'),
  address: z.string().max(2048).optional().describe('Ingest address for the ADDRESS column.'),
  pods: z
    .array(
      z.strictObject({
        name: z.string().max(253).describe('Name of the pod.'),
        role: z.enum(['origin', 'edge']).describe('What it does.'),
        state: z.enum(['Pending', 'Starting', 'Ready', 'Draining', 'Unreachable']).describe('Where it is in its life.'),
        sessions: z.int().min(0).optional().describe('Publishers and viewers on it.'),
        configHash: z.string().max(64).optional().describe('Hash of the configuration in force on it.'),
      }),
    )
    .max(1200)
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
    .optional()
    .describe('Each media pod.'),
  streams: z.int().min(0).optional().describe('Streams that have a publisher.'),
  viewers: z.int().min(0).optional().describe('Viewers of all streams on all pods.'),
});
export type LiveClusterStatus = z.infer<typeof LiveClusterStatus>;
