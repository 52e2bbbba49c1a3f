import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { StreamError } from '../../stream/errors.ts';
import type { Playback } from '../../stream/player.ts';
import { nodeCapabilities } from './capabilities.ts';
import type { ClientListener, ClientTarget } from './client.ts';
import { RtmpClient } from './client.ts';
import type { RelayGrant } from './relay-credential.ts';
import { clockOf, RELAY_CLOCK, RELAY_PROPERTY, signRelay } from './relay-credential.ts';
import type { RelayEnd, RelayListener, RelayRequest, RelaySession } from '../../stream/relay.ts';
import { relayEnd } from './relay-end.ts';
import type { RtmpForm } from './rtmp-encoder.ts';
import { RtmpEncoder } from './rtmp-encoder.ts';
import { RELAY_PLAY_OPTIONS, RtmpPlayer } from './rtmp-player.ts';
import { RtmpPublisher } from './rtmp-publisher.ts';

export interface RelayClientOptions {
  /** The cluster's shared secret. */
  readonly relayKey: Buffer;
  readonly log: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** The cluster's PullClient: plays a stream from another node and attaches to it here as a relay. */
export class RtmpPullClient {
  readonly #options: RelayClientOptions;

  constructor(options: RelayClientOptions) {
    this.#options = options;
  }

  pull(request: RelayRequest, listener: RelayListener): RelaySession {
    const { log } = this.#options;
    const target = relayTarget(request, 'play', this.#options);
    let publisher: RtmpPublisher | undefined;
    const session = open(target, log, {
      onStart: (_, info) => {
        publisher = new RtmpPublisher(request.stream, {
          id: randomBytes(6).toString('hex'),
          kind: 'relay',
          ip: request.target.host,
          tcUrl: '',
          clock: clockOf(info[RELAY_CLOCK]),
          tap: session.client.connection.tap,
          bytesIn: () => session.client.connection.bytesRead,
          close: (reason) => session.client.close(reason),
          onIgnored: (reason) => log.warn({ reason }, 'part of the pulled media is not carried on'),
        });
        listener.onStart();
      },
      onMessage: (message) => publisher?.push(message),
      onEnd: (end) => {
        publisher?.detach();
        listener.onEnd(end);
      },
    });
    return {
      get frames(): number {
        return publisher?.frames ?? 0;
      },
      get bytesIn(): number {
        return session.client.connection.bytesRead;
      },
      ping: () => session.client.ping(),
      close: (reason) => session.client.close(reason),
    };
  }
}

/** The cluster's PushClient: publishes to another node what an encoder sends here. */
export class RtmpPushClient {
  readonly #options: RelayClientOptions;

  constructor(options: RelayClientOptions) {
    this.#options = options;
  }

  push(request: RelayRequest, listener: RelayListener): RelaySession {
    const { log } = this.#options;
    const target = relayTarget(request, 'publish', this.#options);
    let playback: Playback | undefined;
    const count = { frames: 0 };
    const session = open(target, log, {
      onStart: (messageStreamId) => {
        // An id of its own: another's count must not share its bytes.
        const id = `rtmp/${messageStreamId}/push-${randomBytes(6).toString('hex')}`;
        const multitrack = new FrameCounter(count, messageStreamId, { id: `${id}/multitrack` });
        const about = { id: randomBytes(6).toString('hex'), ip: request.target.host, isRelay: true };
        const encoder = new FrameCounter(count, messageStreamId, { id, multitrack });
        const player = new RtmpPlayer(
          session.client.connection,
          { ...about, options: RELAY_PLAY_OPTIONS, encoder },
          (reason) => session.client.close(reason),
        );
        playback = request.stream.play(player);
        listener.onStart();
      },
      onMessage: () => undefined,
      onEnd: (end) => {
        playback?.leave();
        listener.onEnd(end);
      },
    });
    return {
      get frames(): number {
        return count.frames;
      },
      get bytesIn(): number {
        return session.client.connection.bytesRead;
      },
      ping: () => session.client.ping(),
      close: (reason) => session.client.close(reason),
    };
  }
}

/** Counts what goes to the other node. */
class FrameCounter extends RtmpEncoder {
  readonly #count: { frames: number };

  constructor(count: { frames: number }, messageStreamId: number, form: RtmpForm) {
    super(messageStreamId, form);
    this.#count = count;
  }

  override encode(frame: Parameters<RtmpEncoder['encode']>[0]): Buffer {
    this.#count.frames++;
    return super.encode(frame);
  }
}

interface RelayHandlers {
  onStart(messageStreamId: number, info: Readonly<Record<string, unknown>>): void;
  onMessage: ClientListener['onMessage'];
  onEnd(end: RelayEnd): void;
}

/** Opens the connection; a stream that cannot be attached to ends it. */
function open(target: ClientTarget, log: Logger, handlers: RelayHandlers): { readonly client: RtmpClient } {
  let failure: StreamError | undefined;
  const client = new RtmpClient(
    target,
    {
      onStart: (messageStreamId, info) => {
        try {
          handlers.onStart(messageStreamId, info);
        } catch (error) {
          if (!(error instanceof StreamError)) throw error;
          failure = error;
          client.close(error.message);
        }
      },
      onMessage: (message) => handlers.onMessage(message),
      onEnd: (end, refusal) => {
        if (failure?.code === 'busy') handlers.onEnd({ code: 'busy', message: failure.message });
        else handlers.onEnd(relayEnd(end, refusal));
      },
    },
    log,
  );
  return { client };
}

function relayTarget(
  { key, target, path, stream }: RelayRequest,
  action: RelayGrant['action'],
  { relayKey, now = Date.now }: RelayClientOptions,
): ClientTarget {
  const credential = signRelay(relayKey, { action, key, path }, target.nodeId, now());
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  return {
    host: target.host,
    port: target.rtmpPort,
    app: key.app,
    tcUrl: `rtmp://${host}:${target.rtmpPort}/${key.app}`,
    streamName: key.stream,
    action,
    connectExtra: {
      ...nodeCapabilities(),
      [RELAY_PROPERTY]: { ...credential },
      ...(action === 'publish' && { [RELAY_CLOCK]: stream.clock }),
    },
  };
}
