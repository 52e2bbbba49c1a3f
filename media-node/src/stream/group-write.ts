import type { SendToAll } from '../lib/send-to-all.ts';
import type { Player } from './player.ts';
import { GROUP_PLAYERS } from './player-group.ts';

/**
 * One write of the same bytes to many players' sockets, collected player by player and then done in one call; what a socket
 * did not take goes the player's own way, as do its errors. All of it within one synchronous piece of work, so that no socket
 * is closed between.
 */
export class GroupWrite {
  readonly #sendToAll: SendToAll;
  readonly #players: Player[] = [];
  readonly #descriptors = new Int32Array(GROUP_PLAYERS);
  readonly #sent = new Int32Array(GROUP_PLAYERS);

  constructor(sendToAll: SendToAll) {
    this.#sendToAll = sendToAll;
  }

  /** False where the player has to be written to by itself. */
  add(player: Player, bytes: Buffer): boolean {
    const { descriptor } = player;
    if (descriptor < 0) return false;
    if (this.#players.length === GROUP_PLAYERS) this.write(bytes);
    this.#descriptors[this.#players.length] = descriptor;
    this.#players.push(player);
    return true;
  }

  /** Writes to those added since the last time. */
  write(bytes: Buffer): void {
    const players = this.#players;
    if (players.length === 0) return;
    let unfinished = this.#sendToAll(this.#descriptors, players.length, bytes, this.#sent);
    for (let index = 0; unfinished > 0; index++) {
      const sent = this.#sent[index]!;
      if (sent === bytes.length) continue;
      unfinished--;
      players[index]!.write(sent > 0 ? bytes.subarray(sent) : bytes);
    }
    players.length = 0;
  }
}
