// Ids of channels and streams: two dense tables, one a side (spec/4-channels.md). An id that is in no table is not in use.

import { Code, ProtocolError } from './codes.js';

export class Ids {
  constructor(dialer) {
    this.ownOffset = dialer ? 2 : 1;
    this.own = [];
    /** Free slots of ours, the lowest last. */
    this.free = [];
    /** By slot; null: not in use. */
    this.theirs = [];
  }

  #isOwn(id) {
    return id % 2 === this.ownOffset % 2;
  }

  #slot(id) {
    return (id - (id % 2 === 0 ? 2 : 1)) / 2;
  }

  /** A free id of ours for what `make` makes of it. */
  insertOwn(make) {
    const slot = this.free.pop() ?? this.own.length;
    const entry = make(2 * slot + this.ownOffset);
    this.own[slot] = entry;
    return entry;
  }

  /** Enters what the peer has opened under an id of its own: CH-01 to CH-03. */
  insertTheirs(id, entry, maxChannels) {
    if (id === 0 || this.#isOwn(id)) throw new ProtocolError(`the id ${id} is not the peer's to give`);
    const slot = this.#slot(id);
    if (slot >= maxChannels) throw new ProtocolError(`the id ${id} is out of range`);
    if (this.theirs[slot]) throw new ProtocolError(`the id ${id} is in use`);
    while (this.theirs.length < slot) this.theirs.push(null);
    this.theirs[slot] = entry;
    return entry;
  }

  #get(id) {
    if (id === 0) return null;
    const entry = (this.#isOwn(id) ? this.own : this.theirs)[this.#slot(id)];
    return entry?.announced ? entry : null;
  }

  /** What an id names. One that is not in use is a broken rule (FR-09). */
  find(id) {
    const entry = this.#get(id);
    if (!entry) throw new ProtocolError(`the id ${id} is not in use`, Code.UNKNOWN_ID);
    return entry;
  }

  /** Whether a CREDIT or CANCEL for the id has crossed our CLOSE: the peer gave the id, and it is not in use (FR-10). */
  hasCrossed(id) {
    return id !== 0 && !this.#isOwn(id) && !this.#get(id);
  }

  /** The id is finished and may be given again. */
  remove(entry) {
    const slot = this.#slot(entry.id);
    if (this.#isOwn(entry.id)) {
      this.own[slot] = null;
      this.#release(slot);
    } else {
      this.theirs[slot] = null;
    }
  }

  #release(slot) {
    let [low, high] = [0, this.free.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.free[middle] > slot) low = middle + 1;
      else high = middle;
    }
    this.free.splice(low, 0, slot);
  }

  /** All that is not finished. */
  all() {
    return [...this.own, ...this.theirs].filter((entry) => entry);
  }
}
