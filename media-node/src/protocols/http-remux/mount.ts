import type { StreamKey } from '../../stream/stream-key.ts';

/** What a path names: app and stream, and the host where the template has it in the path. */
export interface MountMatch extends Omit<StreamKey, 'vhost'> {
  readonly host: string | undefined;
}

/**
 * A Vhost's mount such as `[vhost]/[app]/[stream].flv`. As in SRS, a template that begins with a host (no leading slash)
 * selects by the Host header, so `[vhost]/` at its head is no part of the path; elsewhere `[vhost]` is.
 */
export class Mount {
  readonly template: string;
  readonly #pattern: RegExp;

  constructor(template: string) {
    this.template = template;
    const path = template.startsWith('/') ? template.slice(1) : template.slice(template.indexOf('/') + 1);
    const source = path
      .split(/(\[vhost\]|\[app\]|\[stream\])/)
      .map((part, index, all) => {
        // The same variable twice can't be two groups: the second has to say the same.
        if (index % 2 === 0) return RegExp.escape(part);
        const name = part.slice(1, -1);
        if (all.indexOf(part) < index) return String.raw`\k<${name}>`;
        return name === 'app' ? '(?<app>.+)' : `(?<${name}>[^/]+)`;
      })
      .join('');
    this.#pattern = new RegExp(`^${source}$`, 'u');
  }

  /** `path` is decoded, without its leading slash. */
  match(path: string): MountMatch | undefined {
    const groups = this.#pattern.exec(path)?.groups;
    const stream = groups?.['stream'];
    if (stream === undefined) return undefined;
    return { app: groups?.['app'] ?? '__defaultApp__', stream, host: groups?.['vhost'] };
  }
}
