// Ids of channels and streams: two dense tables, one a side (spec/4-channels.md).

import { Code, ProtocolError } from './codes.js';

export class Ids {
  /** `parity`: 0 for the dialer's even ids, 1 for the acceptor's odd ones. */
  constructor(dialer) {
    this.ownOffset = dialer ? 2 : 1;
    this.own = [];
    /** Free slots of ours, the lowest last. */
    this.free = [];
    /** Slots of ours that the peer has ever been told of. */
    this.announced = 0;
    /** By slot; null: finished. What lies beyond was never announced. */
    this.theirs = [];
    /** Channels and streams of both sides that are not finished. */
    this.open = 0;
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
    this.open++;
    return entry;
  }

  noteAnnounced(id) {
    this.announced = Math.max(this.announced, this.#slot(id) + 1);
  }

  /** Enters what the peer has opened under an id of its own. */
  insertTheirs(id, entry, maxChannels) {
    if (id === 0 || this.#isOwn(id)) throw new ProtocolError(`the id ${id} is not the peer's to give`);
    const slot = this.#slot(id);
    if (slot >= 2 * Math.max(maxChannels, 1)) throw new ProtocolError(`the id ${id} is out of range`);
    if (this.theirs[slot]) throw new ProtocolError(`the id ${id} is in use`);
    while (this.theirs.length < slot) this.theirs.push(null);
    this.theirs[slot] = entry;
    this.open++;
    return entry;
  }

  /** What an id names; null if it is finished. */
  find(id) {
    if (id !== 0 && this.#isOwn(id)) {
      const slot = this.#slot(id);
      if (slot < this.announced) return this.own[slot]?.announced ? this.own[slot] : null;
    } else if (id !== 0) {
      const slot = this.#slot(id);
      if (slot < this.theirs.length) return this.theirs[slot];
    }
    throw new ProtocolError(`nothing ever had the id ${id}`, Code.UNKNOWN_ID);
  }

  /** The id is finished and may be given again. */
  remove(entry) {
    const slot = this.#slot(entry.id);
    this.open--;
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
