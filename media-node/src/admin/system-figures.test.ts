import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemFigures } from './system-figures.ts';

const NODE = { version: '1.2.3', receivedBytes: 10, sentBytes: 20, connections: 3 };

function procOf(seconds: number): Record<string, string> {
  return {
    '/proc/stat': `cpu  ${seconds * 50} 0 ${seconds * 50} ${seconds * 290} ${seconds * 10} 0 0 0 0 0\ncpu0 1 1 1 1\n`,
    '/proc/meminfo':
      'MemTotal:       8000 kB\nMemAvailable:   6000 kB\nSwapTotal:      1000 kB\nSwapFree:        750 kB\n',
    '/proc/diskstats': [
      `   8       0 sda 9 0 ${seconds * 2_048} 9 9 0 ${seconds * 4_096} 9 0 ${seconds * 500} 9`,
      `   8       1 sda1 9 0 ${seconds * 9_999} 9 9 0 ${seconds * 9_999} 9 0 ${seconds * 999} 9`,
    ].join('\n'),
    '/proc/net/dev': 'Inter-|   Receive\n face |bytes\n  wan0: 700 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n',
    '/proc/net/sockstat': 'sockets: used 50\nTCP: inuse 12 orphan 0 tw 4 alloc 13 mem 2\nUDP: inuse 6 mem 1\n',
    '/proc/net/snmp': 'Tcp: RtoAlgorithm CurrEstab InSegs\nTcp: 1 9 100\n',
  };
}

type Summary = { ok: boolean; self: Record<string, unknown>; system: Record<string, number> };

test("the figures are /proc's, rates those since the reading before", async () => {
  const clock = { ms: 1_000_000 };
  let seconds = 100;
  const figures = new SystemFigures({ now: () => clock.ms, read: async (path) => procOf(seconds)[path] });
  await figures.summaries(NODE);
  clock.ms += 10_000;
  seconds += 10;
  const { ok, self, system } = (await figures.summaries(NODE)) as Summary;
  assert.equal(ok, true);
  assert.deepEqual([self['version'], self['pid'], self['ppid']], ['1.2.3', process.pid, process.ppid]);
  assert.deepEqual(
    { ...system, cpus: 0, cpus_online: 0, uptime: 0, load_1m: 0, load_5m: 0, load_15m: 0 },
    {
      cpu_percent: 0.25,
      disk_read_KBps: 1_024,
      disk_write_KBps: 2_048,
      disk_busy_percent: 0.5,
      mem_ram_kbyte: 8_000,
      mem_ram_percent: 0.25,
      mem_swap_kbyte: 1_000,
      mem_swap_percent: 0.25,
      cpus: 0,
      cpus_online: 0,
      uptime: 0,
      ilde_time: 330,
      load_1m: 0,
      load_5m: 0,
      load_15m: 0,
      net_sample_time: clock.ms,
      net_recv_bytes: 700,
      net_send_bytes: 900,
      net_recvi_bytes: 0,
      net_sendi_bytes: 0,
      srs_sample_time: clock.ms,
      srs_recv_bytes: 10,
      srs_send_bytes: 20,
      conn_sys: 12,
      conn_sys_et: 9,
      conn_sys_tw: 4,
      conn_sys_udp: 6,
      conn_srs: 3,
    },
  );
});

test('two readings in a moment share their span, and files that are missing leave zeros', async () => {
  const clock = { ms: 1_000_000 };
  let seconds = 100;
  const figures = new SystemFigures({ now: () => clock.ms, read: async (path) => procOf(seconds)[path] });
  await figures.summaries(NODE);
  clock.ms += 10_000;
  seconds += 10;
  await figures.summaries(NODE);
  clock.ms += 1;
  assert.equal(((await figures.summaries(NODE)) as Summary).system['disk_busy_percent'], 0.5);

  const none = new SystemFigures({ read: async () => undefined });
  const { ok, system } = (await none.summaries(NODE)) as Summary;
  assert.equal(ok, false);
  assert.deepEqual([system['cpu_percent'], system['conn_sys'], system['mem_swap_percent']], [0, 0, 0]);
  assert.ok(Object.values(system).every((value) => Number.isFinite(value)));
});

test('on this machine every figure is a number', async () => {
  const { self, system } = (await new SystemFigures().summaries(NODE)) as Summary;
  assert.ok(Object.values(system).every((value) => Number.isFinite(value)));
  assert.ok((self['mem_kbyte'] as number) > 1_000);
});
