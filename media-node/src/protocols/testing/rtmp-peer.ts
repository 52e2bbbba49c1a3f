import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { until } from '#contract/testing/until.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import { ChunkReader } from '../../formats/rtmp-chunk-reader.ts';
import type { RtmpCommand } from '../../formats/rtmp-command.ts';
import { decodeCommand, encodeCommand } from '../../formats/rtmp-command.ts';
import { ClientHandshake } from '../../formats/rtmp-handshake.ts';
import type { RtmpMessage } from '../../formats/rtmp-message.ts';
import { CSID_COMMAND, RTMP_AUDIO, RTMP_COMMAND, RTMP_VIDEO } from '../../formats/rtmp-message.ts';

/** AVC sequence header of a 64 by 64 picture (libx264, baseline), a key frame and a frame; pictures of no meaning. */
export const AVC_HEADER = Buffer.from(
  '17000000000142c00affe100166742c00ada109b011000000300100000030320f1226a01000468ce0fc8',
  'hex',
);
export const AVC_KEY = Buffer.from('17010000000000000265aa', 'hex');
export const AVC_FRAME = Buffer.from('27010000000000000241aa', 'hex');
/** AAC, 44.1 kHz stereo: AudioSpecificConfig and a frame. */
export const AAC_HEADER = Buffer.from('af001210', 'hex');
export const AAC_FRAME = Buffer.from('af012110', 'hex');

/** A client written for tests: says exactly what it is told to, keeps all that it hears. */
export class RtmpPeer {
  readonly socket: Socket;
  readonly messages: RtmpMessage[] = [];
  readonly commands: RtmpCommand[] = [];
  isClosed = false;
  readonly #reader: ChunkReader;
  #transaction = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#reader = new ChunkReader((message) => {
      this.messages.push(message);
      if (message.type === RTMP_COMMAND) this.commands.push(decodeCommand(message));
    });
    socket.on('close', () => (this.isClosed = true));
    socket.on('error', () => undefined);
  }

  /** Connects, unless it is given a socket that is connected, and shakes hands. */
  static async open(port: number, socket: Socket = connect(port, '127.0.0.1')): Promise<RtmpPeer> {
    const peer = new RtmpPeer(socket);
    const handshake = new ClientHandshake();
    socket.write(handshake.start());
    let isDone = false;
    socket.on('data', (bytes) => {
      if (isDone) {
        peer.#reader.push(bytes);
        return;
      }
      const step = handshake.push(bytes);
      socket.write(step.output);
      isDone = step.done;
      if (isDone) peer.#reader.push(step.rest);
    });
    await until('the handshake', () => isDone);
    return peer;
  }

  /** Connects, shakes hands, and is told that it is connected. */
  static async connected(port: number, app = 'live', object: object = {}, socket?: Socket): Promise<RtmpPeer> {
    const peer = await RtmpPeer.open(port, socket);
    const tcUrl = `rtmp://127.0.0.1:${port}/${app}`;
    peer.call('connect', { app, tcUrl, ...object });
    await peer.status('NetConnection.Connect.Success');
    return peer;
  }

  /** A command's bytes as this peer sends them. */
  command(name: string, object: unknown, ...args: readonly unknown[]): Buffer {
    const payload = encodeCommand(name, ++this.#transaction, object, ...args);
    return encodeRtmpMessage(128, CSID_COMMAND, RTMP_COMMAND, 1, 0, payload);
  }

  /** Sends a command; gives its transaction id. */
  call(name: string, object: unknown, ...args: readonly unknown[]): number {
    this.socket.write(this.command(name, object, ...args));
    return this.#transaction;
  }

  send(type: number, payload: Buffer, timestampMs = 0, streamId = 1): void {
    this.socket.write(encodeRtmpMessage(128, type === RTMP_AUDIO ? 4 : 6, type, streamId, timestampMs, payload));
  }

  /** Sends both sequence headers and a key frame. */
  sendMedia(timestampMs = 0): void {
    this.send(RTMP_VIDEO, AVC_HEADER, timestampMs);
    this.send(RTMP_AUDIO, AAC_HEADER, timestampMs);
    this.send(RTMP_VIDEO, AVC_KEY, timestampMs);
  }

  async publish(stream: string): Promise<void> {
    this.call('publish', null, stream, 'live');
    await this.status('NetStream.Publish.Start');
  }

  async play(stream: string): Promise<void> {
    this.call('play', null, stream, -2000);
    await this.status('NetStream.Play.Start');
  }

  /** Waits for an answer or status with this code; gives its information object. */
  async status(code: string): Promise<Record<string, unknown>> {
    return until(code, () => {
      if (this.isClosed && !this.codes().includes(code)) {
        throw new Error(`closed instead of ${code}, after ${this.codes().join(', ')}`);
      }
      return this.infos().find((info) => info['code'] === code);
    });
  }

  /** Waits for the `_result` of a call. */
  async result(transactionId: number): Promise<RtmpCommand> {
    return until(`the result of ${transactionId}`, () =>
      this.commands.find((command) => command.name === '_result' && command.transactionId === transactionId),
    );
  }

  infos(): Record<string, unknown>[] {
    return this.commands.map(({ args }) => (args[0] ?? {}) as Record<string, unknown>);
  }

  codes(): unknown[] {
    return this.infos().flatMap(({ code }) => (code === undefined ? [] : [code]));
  }

  /** Messages of audio and video so far. */
  media(): RtmpMessage[] {
    return this.messages.filter(({ type }) => type === RTMP_AUDIO || type === RTMP_VIDEO);
  }

  async closed(): Promise<void> {
    await until('the server to close', () => this.isClosed);
  }

  close(): void {
    this.socket.destroy();
  }
}
