import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { ChainedHandler } from './chain.ts';
import { chain } from './chain.ts';
import type { HttpRequest } from './http-request.ts';

test('the first handler that knows a request gets it, at once or later; the last takes the rest', async () => {
  const asked: string[] = [];
  const handler =
    (name: string, answer: boolean | Promise<boolean>): ChainedHandler =>
    () => {
      asked.push(name);
      return answer;
    };
  const run = async (...handlers: ChainedHandler[]): Promise<string> => {
    asked.length = 0;
    const last = (): void => void asked.push('last');
    await chain(handlers, last)({} as HttpRequest, {} as ServerResponse);
    return asked.join(' ');
  };
  const no = Promise.resolve(false);
  assert.equal(await run(handler('a', false), handler('b', true), handler('c', true)), 'a b');
  assert.equal(await run(handler('a', no), handler('b', Promise.resolve(true)), handler('c', true)), 'a b');
  assert.equal(await run(handler('a', no), handler('b', false), handler('c', no)), 'a b c last');
  assert.equal(await run(), 'last');
  await assert.rejects(run(handler('a', Promise.reject(new Error('broken')))), /broken/);
});
