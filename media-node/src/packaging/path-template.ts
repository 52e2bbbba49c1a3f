export * from '../lib/path-template.ts';
