import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';

/** A logger whose level can be changed while it runs, for all its children at once: pino's own reaches only new ones. */
export interface SwitchedLogger {
  readonly logger: Logger;
  readonly setLevel: (level: string) => void;
}

/** Writes JSON lines to the destination; default standard output, synchronously, so that a crash loses none. */
export function switchedLogger(
  level: string,
  bindings: Readonly<Record<string, unknown>>,
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): SwitchedLogger {
  const { values } = pino.levels;
  let least = values[level] ?? 30;
  const logger = pino(
    {
      level: 'trace',
      base: { ...bindings },
      hooks: {
        logMethod(args, method, lineLevel) {
          if (lineLevel >= least) method.apply(this, args);
        },
      },
    },
    destination,
  );
  return { logger, setLevel: (next) => void (least = values[next] ?? least) };
}
