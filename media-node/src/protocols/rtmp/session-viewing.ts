import type { Logger } from 'pino';
import { USER_STREAM_BEGIN, USER_STREAM_EOF } from '../../formats/rtmp-control.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { Viewing } from '../../stream/gate.ts';
import type { Playback, PlayOptions } from '../../stream/player.ts';
import type { RtmpConnection } from './connection.ts';
import { RELAY_CLOCK } from './relay-credential.ts';
import type { Wish } from './rtmp-player.ts';
import { encoderOf, RELAY_PLAY_OPTIONS, RtmpPlayer, WISH_ALL } from './rtmp-player.ts';
import type { SessionReplies } from './session-replies.ts';
import { status } from './session-replies.ts';

/** The session that plays. */
export interface SessionViewingOptions {
  readonly id: string;
  readonly ip: string;
  readonly connection: RtmpConnection;
  readonly replies: SessionReplies;
  readonly log: Logger;
  /** Ends the session. */
  close(reason: string): void;
}

/**
 * A client's play of a stream, from Play.Start to its end, any number of times one after the other: pausing, and the forms of
 * the stream that it asks for.
 */
export class SessionViewing {
  readonly #options: SessionViewingOptions;
  #viewing: Viewing | undefined;
  #playback: Playback | undefined;
  #isRelay = false;
  #isMultitrack = false;
  /** What the client wants of the stream; what it has got until now, while it pauses. */
  #wish = WISH_ALL;
  #servedWish = WISH_ALL;
  #isPaused = false;

  constructor(options: SessionViewingOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#playback !== undefined;
  }

  /**
   * Plays what the gate has given; it owns that from here on. `isMultitrack`: the client takes several tracks of a kind. Throws
   * StreamError.
   */
  begin(viewing: Viewing, { isRelay, isMultitrack }: { isRelay: boolean; isMultitrack: boolean }): void {
    const { replies } = this.#options;
    const { stream, vhost } = viewing;
    this.#viewing = viewing;
    this.#isRelay = isRelay;
    this.#isMultitrack = isMultitrack;
    // Not SRS's |RtmpSampleAccess and NetStream.Data.Start: only Flash read them, and ffmpeg makes a data track of them.
    replies.userControl(USER_STREAM_BEGIN);
    replies.status(status('status', 'NetStream.Play.Reset', 'Playing and resetting stream.'));
    const start = status('status', 'NetStream.Play.Start', 'Started playing stream.');
    replies.status(isRelay ? { ...start, [RELAY_CLOCK]: stream.clock } : start);
    this.#isPaused = false;
    this.#playback = this.#join(viewing, isRelay ? RELAY_PLAY_OPTIONS : vhost.play);
  }

  /** Ends the play, if there is one; idempotent. */
  end(reason: string): void {
    this.#viewing?.close?.();
    this.#viewing = undefined;
    const playback = this.#playback;
    if (playback === undefined) return;
    this.#playback = undefined;
    playback.leave();
    this.#options.log.info({ reason, ...playback.stats() }, 'play ended');
  }

  /** receiveAudio, receiveVideo: another wish is another form of the stream, which the next play begins with as well. */
  receive(wish: Partial<Wish>): void {
    this.#wish = { ...this.#wish, ...wish };
    if (!this.#isPaused) this.#serveWish();
  }

  pause(isPaused: boolean): void {
    if (this.#playback === undefined) return;
    const { replies } = this.#options;
    this.#isPaused = isPaused;
    if (isPaused) {
      this.#playback.pause();
      replies.status(status('status', 'NetStream.Pause.Notify', 'Paused stream.'));
      replies.userControl(USER_STREAM_EOF);
    } else {
      replies.userControl(USER_STREAM_BEGIN);
      replies.status(status('status', 'NetStream.Unpause.Notify', 'Unpaused stream.'));
      if (!this.#serveWish()) this.#playback.resume();
    }
  }

  /** A live stream has no other place. Clients take nothing more of it until they hear that they are there. */
  seek(): void {
    if (this.#playback === undefined) return;
    this.#options.replies.status(status('status', 'NetStream.Seek.Notify', 'A live stream goes on where it is.'));
  }

  /** Takes a place in the stream, in the form that the client wants. */
  #join({ stream }: Viewing, options: PlayOptions): Playback {
    const { id, ip, connection } = this.#options;
    this.#servedWish = this.#wish;
    const about = { id, ip, isRelay: this.#isRelay, options, encoder: this.#encoderOf(this.#wish) };
    return stream.play(new RtmpPlayer(connection, about, (reason) => this.#options.close(reason)));
  }

  /** Changes the form at the next key frame, as what was sent is not sent again; false where it is the right one. */
  #serveWish(): boolean {
    const viewing = this.#viewing;
    const before = this.#playback;
    if (viewing === undefined || before === undefined) return false;
    if (this.#encoderOf(this.#wish) === this.#encoderOf(this.#servedWish)) return false;
    this.#playback = this.#join(viewing, { ...viewing.vhost.play, gopCache: false });
    before.leave();
    return true;
  }

  #encoderOf(wish: Wish): FrameEncoder {
    return encoderOf(wish, this.#isMultitrack);
  }
}
