/**
 * Gives Services of type LoadBalancer their addresses, as a cloud would: one of the rig's range each, kept as long as the Service
 * lives. kube-proxy does the rest. Runs as a process inside the cluster's network namespace, started by `up`.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { certificates, tokenFileOf } from './credentials.ts';
import { addresses, apiUrl } from './rig.ts';

const POLL_INTERVAL_MS = 200;

/** As much of a Service as counts here. */
export interface BalancedService {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly type?: string; readonly loadBalancerClass?: string; readonly loadBalancerIP?: string };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
}

/** What to write into a Service's status. */
export interface Assignment {
  readonly namespace: string;
  readonly name: string;
  /** Undefined takes the address away. */
  readonly address: string | undefined;
}

/**
 * Which Services' addresses have to change: a LoadBalancer without one gets the first that no other has (the one that its spec names,
 * when that is of the range and free), a Service that is none any more loses its. With the range used up a Service stays pending.
 */
export function assign(services: readonly BalancedService[], prefix: string): Assignment[] {
  const isOurs = ({ spec }: BalancedService) => spec.type === 'LoadBalancer' && spec.loadBalancerClass === undefined;
  const addressOf = (service: BalancedService) => service.status?.loadBalancer?.ingress?.[0]?.ip;
  const range = Array.from({ length: 254 }, (_, index) => `${prefix}${index + 1}`);
  const free = new Set(range);
  for (const service of services) {
    const address = addressOf(service);
    if (isOurs(service) && address !== undefined) free.delete(address);
  }
  const assignments: Assignment[] = [];
  for (const service of services) {
    const { name, namespace, deletionTimestamp } = service.metadata;
    const current = addressOf(service);
    if (!isOurs(service)) {
      if (current?.startsWith(prefix)) assignments.push({ namespace, name, address: undefined });
      continue;
    }
    if (current !== undefined || deletionTimestamp !== undefined) continue;
    const wanted = service.spec.loadBalancerIP;
    const [first] = free;
    const address = wanted !== undefined && free.has(wanted) ? wanted : first;
    if (address === undefined) continue;
    free.delete(address);
    assignments.push({ namespace, name, address });
  }
  return assignments;
}

async function serve(): Promise<never> {
  const agent = new Agent({ keepAlive: true, ca: readFileSync(certificates.ca) });
  const authorization = `Bearer ${readFileSync(tokenFileOf('load-balancer'), 'utf8')}`;

  const call = (method: string, path: string, body?: object) =>
    new Promise<unknown>((resolve, reject) => {
      const headers = { authorization, 'content-type': 'application/merge-patch+json' };
      const outgoing = request(`${apiUrl}${path}`, { method, agent, headers, timeout: 5000 }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
        });
      });
      outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer`)));
      outgoing.on('error', reject);
      outgoing.end(body && JSON.stringify(body));
    });

  for (;;) {
    try {
      const { items } = (await call('GET', '/api/v1/services')) as { items: BalancedService[] };
      for (const { namespace, name, address } of assign(items, addresses.loadBalancerPrefix)) {
        const ingress = address === undefined ? null : [{ ip: address, ipMode: 'VIP' }];
        await call('PATCH', `/api/v1/namespaces/${namespace}/services/${name}/status`, {
          status: { loadBalancer: { ingress } },
        });
        console.log(`${namespace}/${name}: ${address ?? 'released'}`);
      }
    } catch (error) {
      console.error(String(error));
    }
    await delay(POLL_INTERVAL_MS);
  }
}

if (import.meta.main) await serve();
