import { z } from 'zod';
import { DURATION_PATTERN, Duration, durationMs } from '../duration.ts';

/*
 * Building blocks of the CRDs' schemas. Each must give the API server (structural schema and CEL) and zod the same
 * verdict; to-crd.ts turns them into the former.
 */

/** A CEL rule and the same check in JavaScript, told with one message that says how to mend. */
export interface Rule<T> {
  /** CEL over `self`; see Kubernetes' x-kubernetes-validations. */
  readonly rule: string;
  readonly message: string;
  readonly check: (value: T) => boolean;
}

/** Adds rules to a schema, for both readers. The checks run even where other fields of the object are wrong. */
export function withRules<S extends z.ZodType>(schema: S, ...rules: Rule<z.output<S>>[]): S {
  let result: S = schema;
  for (const { message, check } of rules) {
    result = result.refine((value) => check(value), { error: message });
  }
  return result.meta({
    ...schema.meta(),
    'x-kubernetes-validations': [
      ...((schema.meta()?.['x-kubernetes-validations'] as object[] | undefined) ?? []),
      ...rules.map(({ rule, message }) => ({ rule, message })),
    ],
  });
}

/** A rule of the API server alone, such as one on the old value: zod has no counterpart. */
export function withServerRule<S extends z.ZodType>(schema: S, rule: string, message: string): S {
  return withRules(schema, { rule, message, check: () => true });
}

/** An object of Kubernetes' own API that is handed on to the pod as it stands; the API server of the pod judges it. */
export const passThrough = () => z.looseObject({}).meta({ 'x-kubernetes-preserve-unknown-fields': true });

/**
 * A duration of at least `min` (nothing at all counts as 0s) and at most `max`, or a week, which is what a node's
 * configuration takes.
 */
export function boundedDuration(min?: string, max?: string) {
  const isDuration = new RegExp(DURATION_PATTERN);
  const most = max ?? '168h';
  const atMost = max === undefined ? 'at most 168h (a week)' : `at most ${max}`;
  const text = min === undefined ? atMost : `at least ${min} and ${atMost}`;
  return withRules(Duration, {
    rule: `duration(self) <= duration('${most}')${min === undefined ? '' : ` && duration(self) >= duration('${min}')`}`,
    message: `must be ${text}: write for example ${max === undefined ? '30s' : max}`,
    // What isn't a duration has been told by the pattern already.
    check: (value) =>
      !isDuration.test(value) ||
      (durationMs(value) <= durationMs(most) && (min === undefined || durationMs(value) >= durationMs(min))),
  });
}

const QUANTITY = /^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/;

const quantityError = 'must be a quantity such as 500m, 1 or 2Gi; quote one with a point, as in "0.5"';

/** A quantity such as 500m, 1 or 2Gi. A number must be whole, as in every int-or-string of Kubernetes. */
export const Quantity = z
  .union([z.int().min(0, { error: quantityError }), z.string().regex(QUANTITY, { error: quantityError })], {
    error: quantityError,
  })
  .meta({ 'x-kubernetes-int-or-string': true, minimum: 0, pattern: QUANTITY.source, maxLength: 32 });

/** A map whose number of entries both readers bound; a structural schema can't bound its keys. */
const boundedRecord = <V extends z.ZodType>(value: V, most: number) =>
  z
    .record(z.string(), value)
    .refine((map) => Object.keys(map).length <= most, { error: `has more than ${most} entries: remove some` })
    .meta({ maxProperties: most });

/** What Kubernetes takes as a label's value. */
export const LabelValue = z
  .string()
  .max(63)
  .regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/, {
    error: 'must be a label value: up to 63 of A-Z, a-z, 0-9, -, _ and ., beginning and ending with a letter or digit',
  });
export const Labels = boundedRecord(LabelValue, 64);
export const Annotations = boundedRecord(z.string().max(4096), 64);

export const Resources = z.strictObject({
  requests: boundedRecord(Quantity, 16).optional().describe('Least resources the scheduler keeps for it.'),
  limits: boundedRecord(Quantity, 16).optional().describe('Most resources it may use.'),
});

export const LocalObjectReference = z.strictObject({
  name: z.string().min(1).max(253).describe('Name of the object, in the same namespace.'),
});

export const SecretKeyRef = z.strictObject({
  name: z.string().min(1).max(253).describe('Name of the Secret, in the same namespace.'),
  key: z.string().min(1).max(253).describe('Key inside the Secret.'),
});

export const Port = z.int().min(1).max(65_535);

/** `status.conditions`: the same in both resources. */
export const Conditions = z
  .array(
    z.strictObject({
      type: z.string().min(1).max(316).describe('Name of the condition.'),
      status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
      observedGeneration: z.int().min(0).optional().describe('Generation of the resource that this speaks of.'),
      lastTransitionTime: z.string().meta({ format: 'date-time' }).describe('When the status last changed.'),
      reason: z.string().min(1).max(1024).describe('One word for machines.'),
      message: z.string().max(32_768).describe('What it means and what to do, for people.'),
    }),
  )
  .max(32)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });
