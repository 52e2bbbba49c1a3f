import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg, networkInterfaces, totalmem, uptime } from 'node:os';

/** Counts that only rise, and when they were read. */
interface Sample {
  readonly atMs: number;
  /** Of this process, in microseconds of CPU. */
  readonly selfUs: number;
  /** Of the machine, in ticks. */
  readonly busy: number;
  readonly total: number;
  readonly readSectors: number;
  readonly writtenSectors: number;
  readonly diskBusyMs: number;
}

export interface SystemFiguresOptions {
  /** Default: read `/proc`. Undefined: there is no such file. */
  readonly read?: (path: string) => Promise<string | undefined>;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** What the node tells of itself beside the figures of machine and process. */
export interface NodeFigures {
  readonly version: string;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly connections: number;
}

/** Rates are taken between readings at least so far apart. */
const MIN_SPAN_MS = 1_000;
const SECTOR_BYTES = 512;

/**
 * Figures of machine and process for `/api/v1/summaries`, read from Linux' /proc when they are asked for: rates stand for
 * the time since the reading before, at first since the start. Where a file is missing, its figures are 0.
 */
export class SystemFigures {
  readonly #read: (path: string) => Promise<string | undefined>;
  readonly #now: () => number;
  #before: Sample;
  #latest: Sample;

  constructor(options: SystemFiguresOptions = {}) {
    this.#read = options.read ?? readProc;
    this.#now = options.now ?? Date.now;
    const atMs = this.#now() - process.uptime() * 1_000;
    this.#before = { atMs, selfUs: 0, busy: 0, total: 0, readSectors: 0, writtenSectors: 0, diskBusyMs: 0 };
    this.#latest = this.#before;
  }

  /** The `data` of SRS's summaries. Never rejects. */
  async summaries({ version, receivedBytes, sentBytes, connections }: NodeFigures): Promise<object> {
    const paths = ['stat', 'meminfo', 'diskstats', 'net/dev', 'net/sockstat', 'net/snmp'];
    const texts = await Promise.all(paths.map((path) => this.#read(`/proc/${path}`).catch(() => undefined)));
    const [stat = '', meminfo = '', diskstats = '', netDev = '', sockstat = '', snmp = ''] = texts;
    const nowMs = this.#now();
    const cpu = cpuTicks(stat);
    const { user, system } = process.cpuUsage();
    const sample: Sample = { atMs: nowMs, selfUs: user + system, ...cpu, ...disks(diskstats) };
    if (nowMs - this.#latest.atMs >= MIN_SPAN_MS) this.#before = this.#latest;
    const before = this.#before;
    this.#latest = sample;
    const spanMs = Math.max(1, nowMs - before.atMs);
    const memory = kilobytes(meminfo);
    const ramKb = memory['MemTotal'] ?? Math.round(totalmem() / 1_024);
    const rssKb = Math.round(process.memoryUsage.rss() / 1_024);
    const perSecond = (sectors: number): number => Math.round((sectors * SECTOR_BYTES) / 1_024 / (spanMs / 1_000));
    const [load1 = 0, load5 = 0, load15 = 0] = loadavg();
    const cpus = availableParallelism();
    const swapKb = memory['SwapTotal'] ?? 0;
    const net = interfaces(netDev, innerInterfaces());
    const sockets = sockstatOf(sockstat);
    return {
      ok: texts[0] !== undefined && texts[1] !== undefined,
      now_ms: nowMs,
      self: {
        version,
        pid: process.pid,
        ppid: process.ppid,
        argv: process.argv.join(' '),
        cwd: process.cwd(),
        mem_kbyte: rssKb,
        mem_percent: fraction(rssKb, ramKb),
        cpu_percent: fraction(sample.selfUs - before.selfUs, spanMs * 1_000),
        srs_uptime: Math.floor(process.uptime()),
      },
      system: {
        cpu_percent: fraction(sample.busy - before.busy, sample.total - before.total),
        disk_read_KBps: perSecond(sample.readSectors - before.readSectors),
        disk_write_KBps: perSecond(sample.writtenSectors - before.writtenSectors),
        disk_busy_percent: fraction(sample.diskBusyMs - before.diskBusyMs, spanMs),
        mem_ram_kbyte: ramKb,
        mem_ram_percent: fraction(ramKb - (memory['MemAvailable'] ?? ramKb), ramKb),
        mem_swap_kbyte: swapKb,
        mem_swap_percent: fraction(swapKb - (memory['SwapFree'] ?? swapKb), swapKb),
        cpus,
        cpus_online: cpus,
        uptime: Math.floor(uptime()),
        ilde_time: Math.floor((sample.total - sample.busy) / TICKS_A_SECOND),
        load_1m: load1,
        load_5m: load5,
        load_15m: load15,
        net_sample_time: nowMs,
        net_recv_bytes: net.received,
        net_send_bytes: net.sent,
        net_recvi_bytes: net.innerReceived,
        net_sendi_bytes: net.innerSent,
        srs_sample_time: nowMs,
        srs_recv_bytes: receivedBytes,
        srs_send_bytes: sentBytes,
        conn_sys: sockets.tcp,
        conn_sys_et: established(snmp),
        conn_sys_tw: sockets.timeWait,
        conn_sys_udp: sockets.udp,
        conn_srs: connections,
      },
    };
  }
}

/** USER_HZ, which Linux has on every architecture that Node runs on. */
const TICKS_A_SECOND = 100;

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Of one, in hundredths at most; 0 where there is nothing to divide by. */
function fraction(part: number, whole: number): number {
  return whole > 0 ? Math.max(0, Math.round((part / whole) * 10_000) / 10_000) : 0;
}

/** proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. */
function cpuTicks(stat: string): { busy: number; total: number } {
  const line = /^cpu +(.*)$/m.exec(stat)?.[1] ?? '';
  const ticks = line.split(/\s+/).slice(0, 8).map(Number);
  const total = ticks.reduce((sum, each) => sum + (each || 0), 0);
  return { total, busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0) };
}

/** /proc/meminfo: name → kB. */
function kilobytes(meminfo: string): Record<string, number> {
  return Object.fromEntries([...meminfo.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name, kb]) => [name, Number(kb)]));
}

/** Whole disks of /proc/diskstats: sectors read and written, milliseconds busy; of the busiest one. */
function disks(diskstats: string): Pick<Sample, 'readSectors' | 'writtenSectors' | 'diskBusyMs'> {
  const sums = { readSectors: 0, writtenSectors: 0, diskBusyMs: 0 };
  for (const line of diskstats.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (!/^(sd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/.test(fields[2] ?? '')) continue;
    sums.readSectors += Number(fields[5]) || 0;
    sums.writtenSectors += Number(fields[9]) || 0;
    sums.diskBusyMs = Math.max(sums.diskBusyMs, Number(fields[12]) || 0);
  }
  return sums;
}

/** /proc/net/dev: bytes in and out; `inner` of interfaces whose addresses no router of the internet knows. */
function interfaces(
  netDev: string,
  inner: ReadonlySet<string>,
): { received: number; sent: number; innerReceived: number; innerSent: number } {
  const sums = { received: 0, sent: 0, innerReceived: 0, innerSent: 0 };
  for (const [, name = '', rest = ''] of netDev.matchAll(/^\s*([^\s:]+):\s*(.*)$/gm)) {
    const fields = rest.split(/\s+/).map(Number);
    const [received = 0, sent = 0] = [fields[0], fields[8]];
    if (inner.has(name)) {
      sums.innerReceived += received;
      sums.innerSent += sent;
    } else {
      sums.received += received;
      sums.sent += sent;
    }
  }
  return sums;
}

/** RFC 1918, RFC 6598, loopback, link-local. */
const PRIVATE = /^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/;

function innerInterfaces(): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    const v4 = addresses.filter(({ family }) => family === 'IPv4');
    if (v4.length > 0 && v4.every(({ address }) => PRIVATE.test(address))) names.add(name);
  }
  return names;
}

/** /proc/net/sockstat. */
function sockstatOf(text: string): { tcp: number; timeWait: number; udp: number } {
  const tcp = /^TCP: inuse (\d+) orphan \d+ tw (\d+)/m.exec(text);
  const udp = /^UDP: inuse (\d+)/m.exec(text);
  return { tcp: Number(tcp?.[1] ?? 0), timeWait: Number(tcp?.[2] ?? 0), udp: Number(udp?.[1] ?? 0) };
}

/** CurrEstab of /proc/net/snmp, whose lines come in pairs of names and values. */
function established(snmp: string): number {
  const [names = '', values = ''] = snmp.split('\n').filter((line) => line.startsWith('Tcp:'));
  const index = names.split(' ').indexOf('CurrEstab');
  return index < 0 ? 0 : Number(values.split(' ')[index]) || 0;
}
