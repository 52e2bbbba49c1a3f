import { readFile } from 'node:fs/promises';
import { pollText } from '../media-node/src/config/config-folder.ts';
import { TlsIdentity } from '../media-node/src/lib/tls-identity.ts';
import { PlanError } from './plan.ts';

/**
 * The certificate of RTMPS from the PEM files that TLS_CERT and TLS_KEY name, followed until `stop`: without Kubernetes
 * there are no Secrets. Throws PlanError when it cannot be used at the start; later the one before stays.
 */
export async function followCertificate(
  env: Readonly<Record<string, string | undefined>>,
  note: (line: string) => void,
  stop: AbortSignal,
): Promise<TlsIdentity> {
  const { TLS_CERT: certificateFile, TLS_KEY: keyFile } = env;
  if (!certificateFile || !keyFile) {
    throw new PlanError([
      'spec.protocols.rtmps is enabled, but make run reads no Secrets: name PEM files, make run TLS_CERT=tls.crt ' +
        'TLS_KEY=tls.key, or disable it',
    ]);
  }
  const read = async () =>
    JSON.stringify(await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')]));
  const identity = new TlsIdentity();
  const take = (text: string): void => {
    const [certificate, key] = JSON.parse(text) as [string, string];
    identity.set([{ certificate, key }]);
  };
  const first = await read()
    .then((text) => (take(text), text))
    .catch(({ message }: Error) => {
      throw new PlanError([`TLS_CERT=${certificateFile} and TLS_KEY=${keyFile} cannot be used: ${message}`]);
    });
  const stopPolling = pollText(read, first, {
    onText: (text) => {
      try {
        take(text);
        note(`${certificateFile} changed and is in force for RTMPS`);
      } catch (error) {
        note(`${certificateFile} changed and cannot be used: ${(error as Error).message}; the one before stays`);
      }
    },
    onError: ({ message }) => note(`the certificate cannot be read: ${message}; the one before stays`),
  });
  stop.addEventListener('abort', stopPolling, { once: true });
  return identity;
}
