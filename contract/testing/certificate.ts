import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A self-signed certificate for tests, as PEM. */
export interface TestCertificate {
  readonly certificate: string;
  readonly key: string;
}

/** Makes one with the openssl program, for two days: node reads X.509 and writes none. */
export function makeCertificate(...hosts: readonly string[]): TestCertificate {
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-certificate-'));
  try {
    const [keyFile, certificateFile] = [join(folder, 'tls.key'), join(folder, 'tls.crt')];
    const names = hosts.map((host) => `DNS:${host}`).join(',');
    execFileSync(
      'openssl',
      [
        ...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 2'.split(' '),
        ...['-keyout', keyFile, '-out', certificateFile, '-subj', `/CN=${hosts[0]}`],
        ...['-addext', `subjectAltName=${names},IP:127.0.0.1`],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    return { certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
