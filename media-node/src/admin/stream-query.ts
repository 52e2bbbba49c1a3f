import { PeerStreamQuery } from '#contract/peer-api.ts';
import { AdminRequestError } from './admin-error.ts';

/** The stream that a request of another node is about. Throws AdminRequestError `bad-request`. */
export function streamQuery(url: URL): PeerStreamQuery {
  const query = PeerStreamQuery.safeParse(Object.fromEntries(url.searchParams));
  if (!query.success) throw new AdminRequestError('bad-request', 'the query needs vhost, app and stream');
  return query.data;
}
