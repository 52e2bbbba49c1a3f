import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { KubeConfig } from '@kubernetes/client-node';
import { pino } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { OPERATOR_ADMIN_PORT } from '#contract/names.ts';
import { LEASE_NAME } from './kube-rbac.ts';
import { createKubeClient } from './kube/client.ts';
import { KubeLeaseStore } from './kube/lease-store.ts';
import { parseOperatorEnv } from './operator-env.ts';
import type { OperatorEnv } from './operator-env.ts';
import { createNodeAdmin } from './reconcile/node-admin.ts';
import { Operator } from './reconcile/operator.ts';
import { startHealthServer } from './runtime/health-server.ts';
import { LeaderLease } from './runtime/leader-lease.ts';
import { runAsLeader } from './runtime/run-as-leader.ts';

/*
 * The operator's process: only here are its parts put together. Exit codes: 0 after SIGTERM, 1 when the lease was lost or
 * the work could not begin, 2 when the environment is wrong.
 */

async function main(env: OperatorEnv): Promise<number> {
  const log = pino({ level: env.logLevel, base: { component: 'operator', pod: env.podName } });
  const shutdown = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'shutting down');
      shutdown.abort();
    });
  }

  const config = new KubeConfig();
  config.loadFromDefault();
  const client = createKubeClient({ config });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const lease = new LeaderLease({
    // Its own writes decide who leads: they can't wait for leave.
    store: new KubeLeaseStore(client, env.podNamespace, LEASE_NAME),
    identity: `${env.podName}_${randomBytes(8).toString('hex')}`,
    log,
    registry,
  });
  const admin = createNodeAdmin();
  const operator = new Operator({
    client: client.withWriteGuard(() => lease.isWriteAllowed()),
    admin,
    settings: {
      image: env.image,
      redisImage: env.redisImage,
      ...(env.isInCluster ? { namespace: env.podNamespace } : {}),
    },
    namespaces: env.watchNamespaces,
    instance: env.podName,
    registry,
    log,
  });
  const health = await startHealthServer({
    port: env.adminPort,
    registry,
    log,
    // A replica that stands by is ready to take over.
    isReady: () => !lease.isLeader || operator.isSynced,
  });
  log.info({ port: health.port, namespaces: env.watchNamespaces, image: env.image }, 'operator started');

  const code = await runAsLeader({
    lease,
    shutdown: shutdown.signal,
    lead: () => operator.start(),
    stop: (reason) => operator.stop(reason),
    log,
  });
  await health.close();
  await admin.close();
  client.close('the operator ends');
  log.info({ code }, 'operator ended');
  return code;
}

let env: OperatorEnv | undefined;
try {
  env = parseOperatorEnv(process.env, { hostname: hostname(), adminPort: OPERATOR_ADMIN_PORT });
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
}
process.exit(env ? await main(env) : 2);
