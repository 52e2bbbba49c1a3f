import { createHash } from 'node:crypto';

/*
 * What the pods of every component have in common. Restricted: the strictest of Kubernetes' pod security standards.
 */

/** User and group of every container; the image has files readable by all and writes nowhere but to volumes. */
const UID = 1000;

export const POD_SECURITY_CONTEXT = {
  runAsNonRoot: true,
  runAsUser: UID,
  runAsGroup: UID,
  fsGroup: UID,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

export const CONTAINER_SECURITY_CONTEXT = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  privileged: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
} as const;

/** Owner and group may read the files of a mounted Secret; as a number, JSON has no octal. */
export const SECRET_FILE_MODE = 0o440;

interface ResourceSettings {
  readonly requests?: Readonly<Record<string, number | string>> | undefined;
  readonly limits?: Readonly<Record<string, number | string>> | undefined;
}

/**
 * Resources with default requests filled in, one by one. A default that is above the limit given for it would be refused
 * by the API server: then the limit is the request, as Kubernetes itself does when there is no request.
 */
export function withDefaultRequests(
  given: ResourceSettings,
  defaults: Readonly<Record<string, string>>,
): { requests: Record<string, number | string>; limits?: Record<string, number | string> } {
  const { requests = {}, limits = {} } = given;
  const filled = Object.fromEntries(
    Object.entries(defaults)
      .filter(([name]) => !(name in requests) && !(name in limits))
      .map(([name, value]): [string, number | string] => [name, value]),
  );
  return {
    requests: { ...filled, ...requests },
    ...(Object.keys(limits).length > 0 ? { limits: { ...limits } } : {}),
  };
}

/** A short hash that changes with its input, for annotations that make a controller roll pods. */
export function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
