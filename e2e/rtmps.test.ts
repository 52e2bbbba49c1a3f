import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { makeCertificate } from '../contract/testing/certificate.ts';
import { Encoder } from './lib/encoder.ts';
import { apply, condition, get, kubectl, list } from './lib/kubectl.ts';
import type { KubeObject } from './lib/kubectl.ts';
import { installOperator, makeNamespace, uninstallOperator } from './lib/operator.ts';
import { until } from './lib/until.ts';
import { Viewer } from './lib/viewer.ts';

/* RTMPS and a Vhost's limits on a real Kubernetes: one origin, one edge, a certificate that comes late and is renewed. */

const NAMESPACE = 'live-rtmps';
const CLUSTER = `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec:
  origin: {replicas: 1}
  edge: {replicas: 1}
  protocols: {rtmps: {enabled: true, port: 443}}
  tls: {certificateRefs: [{name: live-tls}]}
`;
const vhost = (limits: string) => `
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: all}
spec: {clusterRef: {name: live}, hosts: [__defaultVhost__], limits: ${limits}}
`;

let encoder: Encoder | undefined;
let viewer: Viewer | undefined;

const cluster = () => get('livecluster', 'live', NAMESPACE);
const messageOf = ({ status }: KubeObject, type: string) =>
  ((status?.conditions ?? []) as { type: string; message: string }[]).find((each) => each.type === type)?.message ?? '';
const pods = async () => (await list('pods', NAMESPACE)).map(({ metadata }) => metadata.uid).sort();

const putCertificate = (host: string) => {
  const { certificate, key } = makeCertificate(host);
  const data = { 'tls.crt': btoa(certificate), 'tls.key': btoa(key) };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'live-tls' }, type: 'kubernetes.io/tls', data };
  return apply(JSON.stringify(secret), NAMESPACE);
};

/** Waits until an address shows the certificate of a host. The kubelet looks at Secrets sooner when a pod changes. */
async function untilShown(url: string, host: string): Promise<void> {
  const { hostname, port } = new URL(url.replace('rtmps:', 'https:'));
  const shown = () =>
    new Promise<string | undefined>((resolve) => {
      const socket = connect({ host: hostname, port: Number(port || 443), rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once('error', () => resolve(undefined));
    });
  await until(
    `${url} shows the certificate of ${host}`,
    async () => {
      await kubectl(['annotate', 'pods', '--all', '-n', NAMESPACE, '--overwrite', `looked-at=${Date.now()}`]);
      return (await shown()) === host;
    },
    { withinMs: 300_000, everyMs: 1_000 },
  );
}

before(async () => {
  await makeNamespace(NAMESPACE);
  await installOperator();
});
after(async () => {
  await viewer?.stop();
  await encoder?.stop();
  // While the operator is there: it tells the pods to close, else they would drain for an hour.
  await kubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=true']);
  await uninstallOperator();
});

test('without its Secret the cluster says what to do, and takes it up when it comes', async () => {
  await apply(CLUSTER, NAMESPACE);
  await until('the pods are up', async () => condition(await cluster(), 'EdgesReady') === 'True');
  assert.match(
    messageOf(await cluster(), 'CertificatesReady'),
    /Secret live-tls does not exist: create it in namespace/,
  );
  await putCertificate('one.example');
  await until('the certificate is known', async () => condition(await cluster(), 'Ready') === 'True');
  const { rtmps, rtmpsPlay } = (await cluster()).status.endpoints as Record<string, string>;
  assert.match(rtmps ?? '', /^rtmps:\/\/.+:443$/);
  for (const url of [rtmps, rtmpsPlay]) await untilShown(url ?? '', 'one.example');
});

test('ffmpeg publishes and plays by RTMPS, and a renewed certificate cuts neither and replaces no pod', async () => {
  const { rtmps, rtmpsPlay } = (await cluster()).status.endpoints as Record<string, string>;
  encoder = new Encoder(`${rtmps}/live/stream01`);
  viewer = new Viewer(`${rtmpsPlay}/live/stream01`);
  await viewer.moreFrames(100);
  const before = await pods();
  await putCertificate('two.example');
  for (const url of [rtmps, rtmpsPlay]) await untilShown(url ?? '', 'two.example');
  await viewer.moreFrames(100);
  viewer.assertSound();
  viewer.assertHas('video', 'audio');
  assert.equal(encoder.starts, 1);
  assert.deepEqual(await pods(), before);
});

test('limits of a Vhost are in force on running pods, and their end too', async () => {
  const before = await pods();
  const { flv } = (await cluster()).status.endpoints as Record<string, string>;
  const status = async () => {
    const abort = new AbortController();
    const response = await fetch(`${flv}/live/stream01.flv`, { signal: abort.signal });
    abort.abort();
    return response.status;
  };
  await apply(vhost('{maxViewersPerStream: 1}'), NAMESPACE);
  await until('a second viewer is refused', async () => (await status()) === 503);
  assert.equal(viewer?.connected, true);
  await apply(vhost('{}'), NAMESPACE);
  await until('a second viewer is served', async () => (await status()) === 200);
  await viewer?.moreFrames(50);
  assert.deepEqual(await pods(), before);
});
