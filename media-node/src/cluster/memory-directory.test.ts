import { pino } from 'pino';
import { createMemoryDirectory, MemoryDirectoryBackend } from './memory-directory.ts';
import { directoryConformance } from './testing/directory.conformance.ts';

const logger = pino({ level: 'silent' });

directoryConformance('memory', async () => {
  const backend = new MemoryDirectoryBackend();
  return {
    create: (options) => createMemoryDirectory(backend, { logger, ...options }),
    goAway: async () => backend.setAway(true),
    comeBack: async ({ empty }) => {
      if (empty) backend.empty();
      backend.setAway(false);
    },
    empty: async () => backend.empty(),
    reset: async () => {
      backend.empty();
      backend.setAway(false);
    },
    close: async () => {},
  };
});
