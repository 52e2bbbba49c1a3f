import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { WorkQueueObserver } from './work-queue.ts';

/** How a reconcile ended; controller-runtime's values of the label `result`. */
export type ReconcileResult = 'success' | 'error' | 'requeue_after';

const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The metrics of all controllers of a process, under controller-runtime's names. Make one a registry. */
export class ControllerMetrics {
  readonly #total: Counter<'controller' | 'result'>;
  readonly #errors: Counter<'controller'>;
  readonly #seconds: Histogram<'controller'>;
  readonly #depth: Gauge<'name'>;
  readonly #adds: Counter<'name'>;
  readonly #retries: Counter<'name'>;
  readonly #queueSeconds: Histogram<'name'>;
  readonly #workSeconds: Histogram<'name'>;

  constructor(registry: Registry) {
    const registers = [registry];
    const buckets = SECONDS_BUCKETS;
    this.#total = new Counter({
      name: 'controller_runtime_reconcile_total',
      help: 'Reconciliations per controller, by how they ended.',
      labelNames: ['controller', 'result'],
      registers,
    });
    this.#errors = new Counter({
      name: 'controller_runtime_reconcile_errors_total',
      help: 'Reconciliations per controller that failed.',
      labelNames: ['controller'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'controller_runtime_reconcile_time_seconds',
      help: 'Duration of a reconciliation per controller.',
      labelNames: ['controller'],
      buckets,
      registers,
    });
    this.#depth = new Gauge({
      name: 'workqueue_depth',
      help: 'Keys that wait in the queue.',
      labelNames: ['name'],
      registers,
    });
    this.#adds = new Counter({
      name: 'workqueue_adds_total',
      help: 'Keys put in the queue.',
      labelNames: ['name'],
      registers,
    });
    this.#retries = new Counter({
      name: 'workqueue_retries_total',
      help: 'Keys put back after a failure.',
      labelNames: ['name'],
      registers,
    });
    this.#queueSeconds = new Histogram({
      name: 'workqueue_queue_duration_seconds',
      help: 'Time a key waits in the queue.',
      labelNames: ['name'],
      buckets,
      registers,
    });
    this.#workSeconds = new Histogram({
      name: 'workqueue_work_duration_seconds',
      help: 'Time the work on a key takes.',
      labelNames: ['name'],
      buckets,
      registers,
    });
  }

  /** Makes the controller's series exist at 0, so that a rate over them has a start. */
  declare(controller: string): void {
    for (const result of ['success', 'error', 'requeue_after'] as const) this.#total.inc({ controller, result }, 0);
    this.#errors.inc({ controller }, 0);
    this.#depth.set({ name: controller }, 0);
    this.#adds.inc({ name: controller }, 0);
    this.#retries.inc({ name: controller }, 0);
  }

  /** Counts a reconciliation. */
  reconciled(controller: string, result: ReconcileResult, durationMs: number): void {
    this.#total.inc({ controller, result });
    if (result === 'error') this.#errors.inc({ controller });
    this.#seconds.observe({ controller }, durationMs / 1000);
  }

  /** The observer for a controller's queue. */
  queueObserver(controller: string): WorkQueueObserver {
    const name = { name: controller };
    return {
      onDepth: (depth) => this.#depth.set(name, depth),
      onAdd: () => this.#adds.inc(name),
      onRetry: () => this.#retries.inc(name),
      onTaken: (queuedMs) => this.#queueSeconds.observe(name, queuedMs / 1000),
      onDone: (workedMs) => this.#workSeconds.observe(name, workedMs / 1000),
    };
  }
}
