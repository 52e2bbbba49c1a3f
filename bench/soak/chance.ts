/** A whole number from 0, below `bound`. */
export const pick = (bound: number): number => Math.floor(Math.random() * bound);

export const pickOf = <T>(all: readonly T[]): T => all[pick(all.length)]!;
