import { z } from 'zod';
import { LOG_LEVELS } from '#contract/names.ts';

/** What the operator's process is told by its environment. */
export interface OperatorEnv {
  readonly image: string;
  readonly redisImage: string;
  /** Empty: all namespaces. */
  readonly watchNamespaces: readonly string[];
  readonly podName: string;
  readonly podNamespace: string;
  /** Whether the pod's namespace was told: outside Kubernetes it is not. */
  readonly isInCluster: boolean;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly adminPort: number;
}

const DEFAULT_REDIS_IMAGE = 'docker.io/library/redis:7.2';

// An empty variable is one that was not set: charts write them so.
const optional = <S extends z.ZodType>(schema: S) =>
  z.preprocess((value) => (value === '' ? undefined : value), schema);
const namespace = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, { error: 'must be names of namespaces' });

const Env = z.object({
  /** Image of the media nodes: the one that the operator itself runs. */
  OPERATOR_IMAGE: z.string().min(1, { error: 'must be the image that the operator runs' }),
  REDIS_IMAGE: optional(z.string().default(DEFAULT_REDIS_IMAGE)),
  /** Separated by commas. */
  WATCH_NAMESPACES: optional(
    z
      .string()
      .default('')
      .transform((list) =>
        list
          .split(',')
          .map((each) => each.trim())
          .filter(Boolean),
      )
      .pipe(z.array(namespace).max(100)),
  ),
  POD_NAME: optional(z.string().max(253).optional()),
  POD_NAMESPACE: optional(namespace.optional()),
  LOG_LEVEL: optional(z.enum(LOG_LEVELS).default('info')),
  /** 0: any free port. */
  ADMIN_PORT: optional(z.coerce.number().int().min(0).max(65_535).optional()),
});

/** Reads the environment. Throws an Error whose message names every wrong variable and its fault. */
export function parseOperatorEnv(
  env: Readonly<Record<string, string | undefined>>,
  defaults: { readonly hostname: string; readonly adminPort: number },
): OperatorEnv {
  const parsed = Env.safeParse(env);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => {
      const name = String(path[0]);
      return env[name] === undefined ? `${name} is not set` : `${name}: ${message}`;
    });
    throw new Error(`The environment of the operator is wrong: ${faults.join('; ')}. Set them as the chart does.`);
  }
  const { data } = parsed;
  return {
    image: data.OPERATOR_IMAGE,
    redisImage: data.REDIS_IMAGE,
    watchNamespaces: [...new Set(data.WATCH_NAMESPACES)],
    podName: data.POD_NAME ?? defaults.hostname,
    podNamespace: data.POD_NAMESPACE ?? 'default',
    isInCluster: data.POD_NAMESPACE !== undefined,
    logLevel: data.LOG_LEVEL,
    adminPort: data.ADMIN_PORT ?? defaults.adminPort,
  };
}
