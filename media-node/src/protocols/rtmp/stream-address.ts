import { isStreamName } from '../../stream/stream-key.ts';

/** SRS's name for an app that was left out. */
const DEFAULT_APP = '__defaultApp__';
/** Wowza's and FMS's name of the default instance of an application; SRS drops it. */
const DEFAULT_INSTANCE = '_definst_';

/** What a client asked for, as far as names go. */
export interface StreamAddress {
  /** The host that selects the vhost, without a port; empty where the client named none. */
  readonly host: string;
  /** May hold `/`. */
  readonly app: string;
  /** Never holds `/`. */
  readonly stream: string;
  /** Query of the stream name with its leading `?`, else of the app or the tcUrl; or empty. */
  readonly param: string;
}

/**
 * Takes apart what `connect` and `publish` or `play` said, as SRS does: vhost from `?vhost=` or `?domain=` of the stream name,
 * the app or the tcUrl, else the tcUrl's host; `_definst_` dropped; an empty app is `__defaultApp__`. The last part of
 * app and stream name together is the stream, so `live` + `eu/a` and `live/eu` + `a` are one, as HTTP paths have them.
 * Undefined for names that are empty, too long or hold control characters.
 */
export function parseStreamAddress(tcUrl: string, app: string, streamName: string): StreamAddress | undefined {
  const url = /^[a-z][a-z0-9+.-]*:\/\/(?<authority>[^/?]*)(?<path>[^?]*)(?<query>\?.*)?$/is.exec(tcUrl)?.groups;
  // The old way to say ?vhost= where a client drops queries: live...vhost...example.com
  const [appName, appQuery] = splitQuery((app || (url?.['path'] ?? '')).replace(/\.{3}vhost\.{3}/, '?vhost='));
  const [name, param] = splitQuery(streamName);
  const host =
    vhostOf(param) ?? vhostOf(appQuery) ?? vhostOf(url?.['query'] ?? '') ?? withoutPort(url?.['authority'] ?? '');
  const parts = `${appName}/${name}`.split('/').filter((part) => part !== '' && part !== DEFAULT_INSTANCE);
  if (name === '' && parts.length < 2) return undefined;
  const stream = parts.pop();
  if (stream === undefined || parts.some(isDots) || isDots(stream)) return undefined;
  const query = param || appQuery || (url?.['query'] ?? '').slice(1);
  const address = { host, app: parts.join('/') || DEFAULT_APP, stream, param: query === '' ? query : `?${query}` };
  return [address.app, stream, host || '-'].every(isStreamName) ? address : undefined;
}

/** The host that a connection is for, before a stream is named. */
export function connectHost(tcUrl: string, app: string): string {
  return parseStreamAddress(tcUrl, app, '-')?.host ?? '';
}

function splitQuery(text: string): [name: string, query: string] {
  const mark = text.indexOf('?');
  return mark < 0 ? [text, ''] : [text.slice(0, mark), text.slice(mark + 1)];
}

function vhostOf(query: string): string | undefined {
  if (query === '') return undefined;
  const params = new URLSearchParams(query.replaceAll('?', '&'));
  const host = params.get('vhost') || params.get('domain');
  return host ? withoutPort(host) : undefined;
}

function withoutPort(authority: string): string {
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (host.startsWith('[')) return host.slice(1, host.indexOf(']'));
  return host.replace(/:\d*$/, '');
}

/** Parts that file paths and URLs would take for folders. */
function isDots(part: string): boolean {
  return part === '.' || part === '..';
}
