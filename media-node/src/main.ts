import { enableCompileCache } from 'node:module';
import type { NodeEnv } from '#contract/node-env.ts';
import type { MediaNodeOptions } from './node-options.ts';
import type { MediaNode } from './node.ts';
import type { RecordingPlace } from './recording-side.ts';

/*
 * The media node's process: who it is by environment (contract/node-env.ts), what it does by the files of its
 * configuration folder. SIGTERM drains and exits 0; SIGINT ends at once.
 */

// The first process of a container never gets a signal that it has no handler for: one that came while the modules load
// would be lost, and the pod would stay for its whole grace period.
const stopEarly = (): never => process.exit(0);
process.on('SIGTERM', stopEarly);

// Before anything else is loaded; NODE_COMPILE_CACHE names the folder, which the image has filled.
enableCompileCache();

// What a start needs is loaded at once and in parallel, after the cache is there to speed it up.
const [
  { parseNodeEnv },
  { letHeapGrow },
  { switchedLogger },
  { TlsIdentity },
  folder,
  { createNode },
  { createRedisDirectory },
  { createRedisSharedState },
] = await Promise.all([
  import('#contract/node-env.ts'),
  import('./lib/heap-growth.ts'),
  import('./lib/switched-logger.ts'),
  import('./lib/tls-identity.ts'),
  import('./config/config-folder.ts'),
  import('./node.ts'),
  import('./cluster/redis-directory.ts'),
  import('./cluster/redis-shared-store.ts'),
]);
const { parseNodeConfig } = await import('./config/config-store.ts');

const { logger, setLevel } = switchedLogger('info', { pod: process.env['LIVECLUSTER_POD_NAME'] });

process.on('uncaughtException', (err, origin) => {
  // A broken invariant: what state the process is in nobody knows, the kubelet starts a new one.
  logger.fatal({ err, origin }, 'uncaught error, the process exits');
  process.exit(1);
});

/** How long a node that was told to close waits for the signal to stop. */
const CLOSED_SECONDS = 5;

/** Log files and termination messages show this one line: what is wrong, where, and how to mend it. */
function fail(error: unknown): never {
  const { name, message, code } = error as Error & { code?: string };
  const isForeseen = ['ConfigError', 'DirectoryError', 'NodeStartError'].includes(name) || code === undefined;
  logger.fatal(isForeseen ? { code } : { err: error }, `the media node cannot start: ${message}`);
  process.exit(1);
}

async function start(): Promise<void> {
  letHeapGrow();
  const env = parseNodeEnv(process.env);
  const dir = env.LIVECLUSTER_CONFIG_DIR;
  const hasTls = env.LIVECLUSTER_RTMPS_PORT !== undefined;
  const [config, adminToken, secrets, certificates] = await Promise.all([
    folder.readConfigText(dir),
    folder.readAdminToken(dir),
    folder.readSecrets(dir),
    hasTls ? folder.readTlsText(dir) : '',
  ]);
  const tls = new TlsIdentity();
  // Whatever is wrong with them, plain RTMP is served.
  if (hasTls) takeCertificates(tls, certificates);
  const token = { text: adminToken };
  const node = createNode({
    identity: {
      role: env.LIVECLUSTER_ROLE,
      namespace: env.LIVECLUSTER_NAMESPACE,
      cluster: env.LIVECLUSTER_CLUSTER,
      podName: env.LIVECLUSTER_POD_NAME,
      podUid: env.LIVECLUSTER_POD_UID,
      host: env.LIVECLUSTER_POD_IP,
      ordinal: ordinalOf(env.LIVECLUSTER_POD_NAME),
    },
    ports: {
      rtmp: env.LIVECLUSTER_RTMP_PORT,
      ...(env.LIVECLUSTER_RTMPS_PORT !== undefined && { rtmps: env.LIVECLUSTER_RTMPS_PORT }),
      http: env.LIVECLUSTER_HTTP_PORT,
      api: env.LIVECLUSTER_API_PORT,
      admin: env.LIVECLUSTER_ADMIN_PORT,
    },
    config: parseNodeConfig(config),
    tls,
    adminToken: () => token.text,
    relayKey: secrets.relayKey,
    ...inRedis(env, secrets.redisUrl),
    ...(env.LIVECLUSTER_DVR_FOLDER !== undefined && { recording: recordingPlace(env, env.LIVECLUSTER_DVR_FOLDER) }),
    originsDns: { host: env.LIVECLUSTER_ORIGINS_HOST, adminPort: env.LIVECLUSTER_ADMIN_PORT },
    ...(env.LIVECLUSTER_EDGES_HOST !== undefined && {
      edgesDns: { host: env.LIVECLUSTER_EDGES_HOST, adminPort: env.LIVECLUSTER_ADMIN_PORT },
    }),
    hlsFolder: env.LIVECLUSTER_HLS_FOLDER,
    hlsMostBytes: env.LIVECLUSTER_HLS_MOST_BYTES,
    logger,
    setLogLevel: setLevel,
    processMetrics: true,
  });
  stopOnSignals(node);
  await node.start();
  followConfig(dir, config, node);
  if (hasTls) followCertificates(dir, certificates, tls);
  followToken(dir, token);
}

/** Directory and shared state, both in the cluster's Redis. */
function inRedis(env: NodeEnv, url: string): Required<Pick<MediaNodeOptions, 'directory' | 'shared'>> {
  const place = { url, namespace: env.LIVECLUSTER_NAMESPACE, cluster: env.LIVECLUSTER_CLUSTER };
  return {
    directory: (request) => createRedisDirectory({ ...request, ...place }),
    shared: (request) => createRedisSharedState(request, place),
  };
}

/** Where recordings go: a folder, from which they are uploaded where a bucket is named. */
function recordingPlace(env: NodeEnv, path: string): RecordingPlace {
  const bucket = env.LIVECLUSTER_DVR_S3_BUCKET;
  return {
    folder: path,
    mostBytes: env.LIVECLUSTER_DVR_MOST_BYTES,
    ...(bucket !== undefined && {
      s3: {
        bucket,
        endpoint: env.LIVECLUSTER_DVR_S3_ENDPOINT,
        region: env.LIVECLUSTER_DVR_S3_REGION ?? 'us-east-1',
        pathStyle: env.LIVECLUSTER_DVR_S3_PATH_STYLE === true,
        prefix: env.LIVECLUSTER_DVR_S3_PREFIX ?? '',
        owner: env.LIVECLUSTER_POD_UID,
        credentials: () => folder.readS3Credentials(env.LIVECLUSTER_CONFIG_DIR),
      },
    }),
  };
}

/** SIGTERM drains, SIGINT does not. */
function stopOnSignals(node: MediaNode): void {
  let isStopping = false;
  const stop = async (reason: string, isQuick: boolean): Promise<void> => {
    if (isQuick) node.endSessions(reason);
    if (isStopping) return;
    isStopping = true;
    if (!isQuick) await node.drain();
    await node.close(reason);
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop('the pod is being stopped', false));
  process.off('SIGTERM', stopEarly);
  // Told to close by the operator, its pod is about to be stopped. A signal lost before this module's first line was run is
  // never repeated by the kubelet: then it ends by itself.
  let closedLooks = 0;
  const closedTimer = setInterval(() => {
    closedLooks = node.status().state === 'closed' ? closedLooks + 1 : 0;
    if (closedLooks > CLOSED_SECONDS) void stop('closed, and no signal to stop came', true);
  }, 1_000);
  closedTimer.unref();
  process.on('SIGINT', () => void stop('interrupted', true));
}

function followConfig(dir: string, first: string, node: MediaNode): void {
  const file = `${dir}/config.json`;
  folder.pollText(
    () => folder.readConfigText(dir),
    first,
    {
      onText: (text) => {
        try {
          return node.config.offerFile(text) === 'stale';
        } catch (error) {
          const fault = (error as Error).message;
          logger.error({ file, fault }, 'configuration refused, the one before stays in force');
          return false;
        }
      },
      onError: (error) =>
        logger.error({ fault: error.message }, 'configuration cannot be read, the one before stays in force'),
    },
    { mayDiffer: folder.changeOf(dir, 'config') },
  );
}

function takeCertificates(tls: InstanceType<typeof TlsIdentity>, text: string): void {
  try {
    tls.set(folder.parseTlsText(text));
    const until = tls.validUntilMs === undefined ? undefined : new Date(tls.validUntilMs).toISOString();
    if (until === undefined) logger.warn('RTMPS has no certificate and refuses clients; plain RTMP is served');
    else logger.info({ until }, 'certificates of RTMPS in force');
  } catch (error) {
    logger.error({ fault: (error as Error).message }, 'certificates refused, RTMPS goes on with those it has');
  }
}

function followCertificates(dir: string, first: string, tls: InstanceType<typeof TlsIdentity>): void {
  folder.pollText(
    () => folder.readTlsText(dir),
    first,
    {
      onText: (text) => takeCertificates(tls, text),
      onError: (error) =>
        logger.error({ fault: error.message }, 'certificates cannot be read, RTMPS goes on with those it has'),
    },
    { mayDiffer: folder.changeOf(dir, 'tls') },
  );
}

/** Keeps `token` as the file has it. */
function followToken(dir: string, token: { text: string }): void {
  folder.pollText(
    () => folder.readAdminToken(dir),
    token.text,
    {
      onText: (text) => {
        token.text = text;
        logger.info('admin token changed');
      },
      onError: (error) =>
        logger.error({ fault: error.message }, 'admin token cannot be read, the one before stays in force'),
    },
    { mayDiffer: folder.changeOf(dir, 'adminToken') },
  );
}

/** Number at the end of a StatefulSet pod's name; 0 where there is none. */
function ordinalOf(podName: string): number {
  return Number(/-(\d{1,6})$/.exec(podName)?.[1] ?? 0);
}

await start().catch(fail);
