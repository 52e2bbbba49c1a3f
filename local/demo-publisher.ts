import type { Logger } from 'pino';
import { FLV_TAG_AUDIO, FLV_TAG_VIDEO } from '../media-node/src/formats/flv-file.ts';
import { encodeRtmpMessage, RTMP_OUT_CHUNK_SIZE } from '../media-node/src/formats/rtmp-chunk-writer.ts';
import { CSID_AUDIO, CSID_DATA, CSID_VIDEO } from '../media-node/src/formats/rtmp-message.ts';
import { encodeAmf0 } from '../media-node/src/formats/amf0.ts';
import { RtmpClient } from '../media-node/src/protocols/rtmp/client.ts';
import type { DemoLoop, LoopTag } from './demo-loop.ts';

const TICK_MS = 20;
/** A process that was stopped (Ctrl-Z, sleep) goes on from now instead of sending what it missed. */
const MOST_BEHIND_MS = 2_000;
const RETRY_MS = 1_000;

export interface DemoPublisherOptions {
  readonly loop: DemoLoop;
  readonly host: string;
  /** Asked at each connection. */
  readonly port: () => number;
  readonly app: string;
  readonly stream: string;
  readonly log: Logger;
}

/** Publishes the loop without end over RTMP, as an encoder does: its clock never goes back, and it comes again when it is cut off. */
export class DemoPublisher {
  readonly #options: DemoPublisherOptions;
  #client: RtmpClient | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: DemoPublisherOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Idempotent. */
  close(reason: string): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#client?.close(reason);
  }

  #connect(): void {
    const { host, port, app, stream, log } = this.#options;
    const tcUrl = `rtmp://${host}:${port()}/${app}`;
    const client = new RtmpClient(
      { host, port: port(), app, tcUrl, streamName: stream, action: 'publish' },
      {
        onStart: (messageStreamId) => this.#play(client, messageStreamId),
        onMessage: () => undefined,
        onEnd: ({ message }) => {
          clearTimeout(this.#timer);
          if (this.#isClosed) return;
          log.warn({ cause: message }, 'the test picture is cut off, it comes again');
          this.#timer = setTimeout(() => this.#connect(), RETRY_MS);
        },
      },
      log,
    );
    this.#client = client;
  }

  #play(client: RtmpClient, messageStreamId: number): void {
    const { loop } = this.#options;
    const send = (tag: LoopTag, timestampMs: number) => {
      const { type, payload } = tag;
      const csid = type === FLV_TAG_VIDEO ? CSID_VIDEO : type === FLV_TAG_AUDIO ? CSID_AUDIO : CSID_DATA;
      // Encoders mark their metadata for servers with this name before it (RTMP 1.0 leaves it open; FMLE began it).
      const head = csid === CSID_DATA ? encodeAmf0('@setDataFrame') : Buffer.alloc(0);
      client.connection.write(
        encodeRtmpMessage(RTMP_OUT_CHUNK_SIZE, csid, type, messageStreamId, timestampMs, head, payload),
      );
    };
    for (const header of loop.headers) send(header, 0);
    let startMs = performance.now();
    let round = 0;
    let next = 0;
    const tick = () => {
      const nowMs = performance.now() - startMs;
      let dueMs = round * loop.lengthMs + (loop.frames[next]?.atMs ?? 0);
      if (nowMs - dueMs > MOST_BEHIND_MS) startMs += nowMs - dueMs;
      while (dueMs <= performance.now() - startMs) {
        const tag = loop.frames[next];
        if (tag === undefined) return;
        send(tag, dueMs);
        next += 1;
        if (next === loop.frames.length) {
          next = 0;
          round += 1;
        }
        dueMs = round * loop.lengthMs + (loop.frames[next]?.atMs ?? 0);
      }
      this.#timer = setTimeout(tick, TICK_MS);
    };
    tick();
  }
}
