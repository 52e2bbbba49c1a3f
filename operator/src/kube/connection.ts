import type { AgentOptions, RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { Agent, ProxyAgent } from 'undici';
import type { Dispatcher } from 'undici';
import type { Clock } from '../runtime/clock.ts';
import { KubeError } from './kube-error.ts';

/** What a request needs to get through. */
export interface Credentials {
  /** Server's address without a slash at its end; it can have a path. */
  readonly server: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher;
}

// A service account's token on disk changes about hourly, long before the old one expires.
const FRESH_MS = 10_000;

// Dials per API server; ours are one a watch and a few calls at a time.
const MOST_CONNECTIONS = 64;

/**
 * A kubeconfig's credentials and connections. client-node's `applySecurityAuthentication` makes a new undici Agent for
 * every request, which then keeps a socket of its own: here there is one dispatcher, renewed only after a 401.
 */
export class Connection {
  readonly #config: KubeConfig;
  readonly #clock: Clock;
  #current: Promise<Credentials> | undefined;
  #readMs = 0;
  #dispatcher: Dispatcher | undefined;
  /** When the dispatcher was made. */
  #renewedMs = 0;
  #isClosed = false;

  constructor(config: KubeConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }

  /** Credentials at most 10 s old. Throws KubeError `unauthorized`: the kubeconfig can't be used. */
  credentials(): Promise<Credentials> {
    if (this.#isClosed) return Promise.reject(new KubeError('aborted', 'The Kubernetes client is closed'));
    const nowMs = this.#clock.monotonicMs();
    if (!this.#current || nowMs - this.#readMs > FRESH_MS) {
      this.#readMs = nowMs;
      const reading = this.#read();
      // A failure is not kept: the next call tries again.
      reading.catch(() => {
        if (this.#current === reading) this.#current = undefined;
      });
      this.#current = reading;
    }
    return this.#current;
  }

  /**
   * After a 401: takes credentials, and the TLS settings, anew. Returns whether a retry makes sense: false when that was
   * done just now already.
   */
  renew(): boolean {
    if (this.#isClosed || this.#clock.monotonicMs() - this.#renewedMs < FRESH_MS) return false;
    this.#current = undefined;
    // close() lets the watches that are running on it end by themselves.
    void this.#dispatcher?.close();
    this.#dispatcher = undefined;
    return true;
  }

  /** Cuts every connection. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#current = undefined;
    void this.#dispatcher?.destroy();
    this.#dispatcher = undefined;
  }

  async #read(): Promise<Credentials> {
    const cluster = this.#config.getCurrentCluster();
    if (!cluster?.server) {
      throw new KubeError('unauthorized', 'The kubeconfig names no server: set its current-context and cluster');
    }
    const options: RequestOptions = {};
    try {
      await this.#config.applyToHTTPSOptions(options);
      if (!this.#dispatcher && !this.#isClosed) {
        this.#dispatcher = this.#dispatcherFor(options);
        this.#renewedMs = this.#clock.monotonicMs();
      }
    } catch (cause) {
      throw new KubeError('unauthorized', `The kubeconfig's user or cluster can't be used: ${String(cause)}`, {
        cause,
      });
    }
    if (!this.#dispatcher) throw new KubeError('aborted', 'The Kubernetes client is closed');
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value);
    if (options.auth) headers['authorization'] ??= `Basic ${Buffer.from(options.auth).toString('base64')}`;
    return { server: cluster.server.replace(/\/+$/, ''), headers, dispatcher: this.#dispatcher };
  }

  #dispatcherFor(options: RequestOptions): Dispatcher {
    const tlsOrProxy = this.#config.createDispatcherOptions(this.#config.getCurrentCluster(), options as AgentOptions);
    /*
     * HTTP/1.1: a connection a watch, so that one broken connection is one broken watch. bodyTimeout 0: undici cuts a
     * body after 300 s without a byte, and a quiet watch is just that; every call has a deadline of its own instead.
     */
    const shared = { allowH2: false, connections: MOST_CONNECTIONS, bodyTimeout: 0, headersTimeout: 0 };
    switch (tlsOrProxy.type) {
      case 'proxy':
        return new ProxyAgent({
          ...shared,
          uri: tlsOrProxy.uri,
          requestTls: tlsOrProxy.requestTls as NonNullable<ProxyAgent.Options['requestTls']>,
        });
      case 'socks':
        throw new Error(`SOCKS proxies are not supported: give ${tlsOrProxy.uri} as an http:// proxy-url`);
      case 'agent':
        return new Agent({ ...shared, connect: tlsOrProxy.connect as NonNullable<Agent.Options['connect']> });
      case 'none':
        return new Agent({ ...shared, connect: { keepAlive: true, keepAliveInitialDelay: 30_000 } });
    }
  }
}
