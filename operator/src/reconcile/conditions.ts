/** A condition as builders of a status make it; the rest of it follows from the object and from what it was. */
export interface ConditionDraft {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** One word in UpperCamelCase. */
  readonly reason: string;
  /** What it means and, unless all is well, what to do. */
  readonly message: string;
}

/** A condition as it stands in a status (meta/v1 Condition). */
export interface Condition extends ConditionDraft {
  readonly observedGeneration?: number | undefined;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
}

const LONGEST_MESSAGE = 2_048;

/** Makes conditions of drafts: the time stands still while the status of a condition does. */
export function conditionsOf(
  drafts: readonly ConditionDraft[],
  previous: readonly Condition[] | undefined,
  generation: number | undefined,
  nowMs: number,
): Condition[] {
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  return drafts.map((draft) => {
    const before = findCondition(previous, draft.type);
    return {
      type: draft.type,
      status: draft.status,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: before?.status === draft.status ? before.lastTransitionTime : now,
      reason: draft.reason,
      message: draft.message.slice(0, LONGEST_MESSAGE),
    };
  });
}

/** The condition of that type, if there is one. */
export function findCondition<C extends { readonly type: string }>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((each) => each.type === type);
}

/** True or False by a verdict, each with its reason and message. */
export function verdict(
  type: string,
  isTrue: boolean,
  good: readonly [reason: string, message: string],
  bad: readonly [reason: string, message: string],
): ConditionDraft {
  const [reason, message] = isTrue ? good : bad;
  return { type, status: isTrue ? 'True' : 'False', reason, message };
}
