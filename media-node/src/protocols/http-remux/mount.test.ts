import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mount } from './mount.ts';

test('a mount finds app and stream in a path', () => {
  const table: [template: string, path: string, expected: object | undefined][] = [
    ['[vhost]/[app]/[stream].flv', 'live/s.flv', { app: 'live', stream: 's', host: undefined }],
    ['[vhost]/[app]/[stream].flv', 'live/eu/s.flv', { app: 'live/eu', stream: 's', host: undefined }],
    ['[vhost]/[app]/[stream].flv', 'live/s.1.flv', { app: 'live', stream: 's.1', host: undefined }],
    ['[vhost]/[app]/[stream].flv', 'live/s.mp4', undefined],
    ['[vhost]/[app]/[stream].flv', 's.flv', undefined],
    ['/[vhost]/[app]/[stream].flv', 'a.example/live/s.flv', { app: 'live', stream: 's', host: 'a.example' }],
    ['[vhost]/hdl/[app]/[stream].flv', 'hdl/live/s.flv', { app: 'live', stream: 's', host: undefined }],
    ['[vhost]/[stream].flv', 's.flv', { app: '__defaultApp__', stream: 's', host: undefined }],
    ['[vhost]/[app]/[stream]/[stream].flv', 'live/s/s.flv', { app: 'live', stream: 's', host: undefined }],
    ['[vhost]/[app]/[stream]/[stream].flv', 'live/s/t.flv', undefined],
    ['[vhost]/(+)/[app]/[stream].flv', '(+)/live/s.flv', { app: 'live', stream: 's', host: undefined }],
  ];
  for (const [template, path, expected] of table) {
    assert.deepEqual(new Mount(template).match(path), expected, `${template} ${path}`);
  }
});
