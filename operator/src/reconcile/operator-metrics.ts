import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

const PUSH_RESULTS = ['accepted', 'refused', 'failed'] as const;

/** The operator's own metrics, beside those of controllers and leader election. Make one a registry. */
export class OperatorMetrics {
  readonly #ready: Gauge<'namespace' | 'cluster'>;
  readonly #pushes: Counter<'result'>;
  readonly #repairs: Counter<'kind'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#ready = new Gauge({
      name: 'livecluster_cluster_ready',
      help: '1 when the condition Ready of a LiveCluster is true, else 0.',
      labelNames: ['namespace', 'cluster'],
      registers,
    });
    this.#pushes = new Counter({
      name: 'livecluster_config_pushes_total',
      help: 'Configurations pushed to media nodes, by what came of it.',
      labelNames: ['result'],
      registers,
    });
    for (const result of PUSH_RESULTS) this.#pushes.inc({ result }, 0);
    this.#repairs = new Counter({
      name: 'livecluster_drift_repaired_total',
      help: 'Objects that were edited or deleted by hand and brought back, by kind.',
      labelNames: ['kind'],
      registers,
    });
  }

  setReady(namespace: string, cluster: string, isReady: boolean): void {
    this.#ready.set({ namespace, cluster }, isReady ? 1 : 0);
  }

  /** The LiveCluster is gone: so is its series. */
  forget(namespace: string, cluster: string): void {
    this.#ready.remove({ namespace, cluster });
  }

  pushed(result: (typeof PUSH_RESULTS)[number]): void {
    this.#pushes.inc({ result });
  }

  repaired(kind: string): void {
    this.#repairs.inc({ kind });
  }
}
