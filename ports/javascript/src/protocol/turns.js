// Whose turn it is to write: what several channels and streams have ready leaves in turns by bytes (MO-05).
//
// There is one line of those that have something to send and could not write it at once. A turn is TURN bytes, whatever is
// sent: small messages, fragments, DATA. One that stands alone may go on until the output is full. What has not written since
// the last round goes before those that have.

import { Queue } from './queue.js';

/** What one may write before it is another's turn, in bytes. */
export const TURN = 16_384;
/** Output from which on everybody waits for a turn, in bytes. */
export const FILL = 65_536;

/** Where a writer stands. */
export class Turn {
  /** What is left of its turn in the round that it wrote last, in bytes; below 0 after a message that was longer. */
  left = 0;
  round = -1;
  /** It stands in line. */
  waits = false;
  /** When it was told that its turn has come. */
  told = -1;
}

export class Turns {
  /** Those that have not written in this round, and the others. */
  #first = new Queue();
  #rest = new Queue();
  #round = 0;
  /** Turns until the next round. */
  #left = 0;
  /** How often turns were given, and whether more than one waited then. */
  #fills = 0;
  #contended = false;

  get length() {
    return this.#first.length + this.#rest.length;
  }

  clear() {
    this.#first.drain();
    this.#rest.drain();
    this.#left = 0;
  }

  /** Whether it may write, with so many bytes of output waiting. False: it stands in line, and its turn comes. */
  mayWrite(writer, outBytes) {
    const { turn } = writer;
    if (turn.waits) return false;
    const allowed = this.#allowance(turn) > 0;
    if (outBytes < FILL && (allowed || !this.#contended)) return true;
    if (allowed && turn.told === this.#fills) return true;
    this.#add(writer);
    return false;
  }

  #allowance(turn) {
    return turn.round === this.#round ? turn.left : Math.min(TURN, turn.left + TURN);
  }

  /** How many bytes a frame may have, once `mayWrite` allows one. */
  most(writer) {
    return this.#contended ? Math.max(this.#allowance(writer.turn), 1) : FILL;
  }

  /** It has written so many bytes. */
  note({ turn }, bytes) {
    const left = this.#allowance(turn) - bytes;
    // What one alone has written is not held against it when others come.
    turn.left = this.#contended ? left : Math.max(left, 0);
    turn.round = this.#round;
  }

  #add(writer) {
    writer.turn.waits = true;
    (writer.turn.round === this.#round ? this.#rest : this.#first).push(writer);
  }

  /**
   * Fills the output from the line. A writer goes on by itself in its `takeTurn()`, or says by true that its application was told
   * that its turn has come: it writes before the next output, so room is kept for it, and nobody has a second turn meanwhile.
   */
  fill(machine) {
    this.#contended = this.length > 1;
    this.#fills++;
    let told = 0;
    const hasRoom = () => machine.outBytes + told * TURN < FILL;
    while (this.#first.length > 0 && hasRoom()) told += this.#give(this.#first.shift());
    const newcomers = told > 0;
    while (!newcomers && hasRoom()) {
      const writer = this.#next(told > 0);
      if (!writer) break;
      told += this.#give(writer);
    }
    if (this.#rest.length === 0) {
      this.#round++;
      this.#left = 0;
    }
  }

  #next(sameRound) {
    if (this.#left === 0) {
      if (sameRound || this.#rest.length === 0) return null;
      this.#round++;
      this.#left = this.#rest.length;
    }
    this.#left--;
    return this.#rest.shift();
  }

  #give(writer) {
    const { turn } = writer;
    turn.waits = false;
    turn.left = this.#allowance(turn);
    turn.round = this.#round;
    if (turn.left <= 0) {
      this.#add(writer);
      return 0;
    }
    if (!writer.takeTurn()) return 0;
    turn.told = this.#fills;
    return 1;
  }
}
