import { FormatError } from '../lib/format-error.ts';
import type { AmfLimits } from './amf-value.ts';

/** Counts depth and values of one decoding, across AMF0 and the AMF3 within it. */
export class AmfBudget {
  readonly #limits: AmfLimits;
  #depth = 0;
  #values = 0;

  constructor(limits: AmfLimits) {
    this.#limits = limits;
  }

  /** Values counted so far. */
  get values(): number {
    return this.#values;
  }

  count(values: number): void {
    this.#values += values;
    if (this.#values > this.#limits.maxValues) {
      throw new FormatError('amf', `AMF holds over ${this.#limits.maxValues} values`);
    }
  }

  enter(): void {
    this.#depth += 1;
    if (this.#depth > this.#limits.maxDepth) {
      throw new FormatError('amf', `AMF is nested over ${this.#limits.maxDepth} deep`);
    }
  }

  leave(): void {
    this.#depth -= 1;
  }
}

/**
 * The objects that references name. A reference counts as all that its object holds, so that a few bytes cannot stand for
 * endless data, and must not name an object around itself, so that no value holds itself.
 */
export class AmfReferences<T> {
  readonly #budget: AmfBudget;
  readonly #entries: { value: T; begun: number; size: number }[] = [];

  constructor(budget: AmfBudget) {
    this.#budget = budget;
  }

  /** Adds an object whose content comes next; returns its index. */
  open(value: T): number {
    return this.#entries.push({ value, begun: this.#budget.values, size: -1 }) - 1;
  }

  /** The object is whole; `value` replaces it where it could not be made before. */
  close(index: number, value?: T): void {
    const entry = this.#entries[index]!;
    if (value !== undefined) entry.value = value;
    entry.size = this.#budget.values - entry.begun;
  }

  /** The value a reference names. Throws FormatError 'amf'. */
  resolve(index: number): T {
    const entry = this.#entries[index];
    if (entry === undefined) {
      throw new FormatError(
        'amf',
        `AMF reference ${index} names none of the ${this.#entries.length} objects before it`,
      );
    }
    if (entry.size < 0) throw new FormatError('amf', `AMF reference ${index} names an object that it stands in`);
    this.#budget.count(entry.size);
    return entry.value;
  }
}
