// `flush`: waits until the peer's library has all that was accepted before. A ping behind it, answered, says so.
//
// One ping is on its way at a time, however many calls wait, and only so many in a while: a peer ends the session of who
// floods it with pings.

import { PING_PERIOD } from './protocol/clock.js';

export class Flush {
  #machine;
  /** Calls that no ping is on its way for, and those that the ping on its way is for. */
  #asked = [];
  #pinged = [];
  #number = null;
  #pings = 0;
  #since = -Infinity;

  constructor(machine) {
    this.#machine = machine;
  }

  /** A call: resolves when the peer has all that was accepted by now. */
  ask() {
    return new Promise((resolve, reject) => { this.#asked.push({ resolve, reject }); });
  }

  /** Whether a call waits for a ping that may go as soon as nothing stands before it. */
  get isAsked() {
    return this.#asked.length > 0 && this.#number === null;
  }

  /** Nothing that was accepted waits any more: the ping may go, unless there were too many lately. */
  ping(now) {
    if (now - this.#since >= PING_PERIOD) {
      this.#since = now;
      this.#pings = 0;
    }
    // Half of what a peer takes by default: the others are the session's own.
    if (this.#pings >= Math.max(Math.floor(this.#machine.local.max_pings / 2), 1)) return;
    this.#pings++;
    this.#number = this.#machine.ping();
    this.#pinged = this.#asked.splice(0);
  }

  /** The peer has answered a ping. */
  onPong(number) {
    if (number !== this.#number) return;
    this.#number = null;
    for (const { resolve } of this.#pinged.splice(0)) resolve();
  }

  /** The session is over. */
  fail(error) {
    for (const { reject } of [...this.#pinged.splice(0), ...this.#asked.splice(0)]) reject(error);
  }
}
