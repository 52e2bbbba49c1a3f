import { z } from 'zod';
import { MAX_EPOCH, NodeId } from './directory-keys.ts';

/*
 * What media nodes of one cluster ask each other on the admin port, with `Authorization: Bearer <admin token>`.
 *
 *   GET  /cluster/publisher?vhost=…&app=…&stream=…   Has this node the stream's publisher (a local encoder, not a relay)?
 *                                                    200, PeerPublisher. `published` false is an answer, not a 404.
 *                                                    What its socket holds unread is read first: it may be its end.
 *   POST /cluster/publisher/yield?vhost=…&app=…&stream=…
 *        body: PeerYield (JSON, at most 4 KiB)       End that publisher if its epoch is the one given, and release the
 *                                                    stream. 200, PeerPublisher as it is afterwards.
 *
 * Wrong or missing token: 401. A missing parameter or a body that doesn't fit: 400 with a line of text. The names stand
 * in the query because a path segment `..` would be folded away by URL parsers.
 */

export const PEER_PATHS = { publisher: '/cluster/publisher', yield: '/cluster/publisher/yield' } as const;

/** Who answers and whether it has the publisher. */
export const PeerPublisher = z.object({
  version: z.literal(1),
  /** Of the node that answers: another one than the record's means that the owner is gone and its address was reused. */
  nodeId: NodeId,
  host: z.string().min(1).max(253),
  rtmpPort: z.int().min(0).max(65_535),
  adminPort: z.int().min(0).max(65_535),
  /** It has the publisher, or is just claiming the stream for one. */
  published: z.boolean(),
  /** The claim's epoch; null without one, and while it is being claimed. */
  epoch: z.int().min(1).max(MAX_EPOCH).nullable(),
});
export type PeerPublisher = z.infer<typeof PeerPublisher>;

/** Body of a yield. */
export const PeerYield = z.object({
  version: z.literal(1),
  /** The epoch that the asking node saw: a newer publisher stays. */
  epoch: z.int().min(1).max(MAX_EPOCH),
  /** The asking node, for the log line. */
  by: NodeId,
});
export type PeerYield = z.infer<typeof PeerYield>;

/** Query parameters of both requests. */
export const PeerStreamQuery = z.object({
  vhost: z.string().min(1).max(1_024),
  app: z.string().max(1_024),
  stream: z.string().max(1_024),
});
export type PeerStreamQuery = z.infer<typeof PeerStreamQuery>;
