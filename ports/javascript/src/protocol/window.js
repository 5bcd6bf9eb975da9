// What a receiver has granted in bytes, and what a session may hold (spec/6-credit.md).

/** Windows below this grow with the first half that was taken: small messages then cost a grant every seventy. */
const EAGER = 16_384;

/** The byte window of a receiving end, or of one direction of a stream. At all times `left + held <= size + extra`. */
export class Window {
  /** `floor`: with less than this left a sender may stand still. */
  constructor(size, floor) {
    /** What it may hold. */
    this.size = size;
    this.floor = floor;
    /** What the sender has left, as far as this side knows. */
    this.left = size;
    /** What has arrived and was not taken. */
    this.held = 0;
    /** Added for the one large message that is arriving. */
    this.extra = 0;
    /** The sender has run out since the window last grew. */
    this.exhausted = false;
  }

  /** So many bytes have arrived. False: they were not granted. */
  arrive(bytes) {
    if (bytes > this.left) return false;
    this.left -= bytes;
    this.held += bytes;
    this.exhausted ||= this.left < this.floor;
    return true;
  }

  /** So many bytes were taken. Gives what was added for them and is free again. */
  take(bytes) {
    this.held -= bytes;
    const freed = this.left + this.held <= this.size ? this.extra : 0;
    this.extra -= freed;
    return freed;
  }

  get owed() {
    return Math.max(this.size + this.extra - this.left - this.held, 0);
  }

  /** Whether a grant is due: half of the window is owed, or any and the sender may stand still (CR-10). */
  get isDue() {
    return this.owed > 0 && (this.owed >= Math.floor(this.size / 2) || this.left < this.floor);
  }

  /** Grants what is owed and says how much. */
  grant() {
    const owed = this.owed;
    this.left += owed;
    return owed;
  }

  /** Whether the reader keeps up with a sender for which the window is small. */
  get wantsGrowth() {
    const small = this.size < EAGER && this.owed >= this.size / 2;
    return (this.exhausted || small) && this.held <= this.size / 2;
  }

  /** Grows fourfold, up to `max` and what the pool gives. */
  growFrom(pool, max) {
    if (!this.wantsGrowth) return;
    const grown = pool.grow(Math.max(Math.min(4 * this.size, max) - this.size, 0));
    if (grown === 0) return;
    this.size += grown;
    this.exhausted = false;
  }

  /** Nothing more is kept: gives back to the pool what it has beyond its first size. */
  releaseTo(pool, first) {
    pool.growth -= this.size - first;
    pool.extra -= this.extra;
    this.size = first;
    this.extra = 0;
  }
}

/** What one side has opened and is not finished. Both sides count both, and check exactly these numbers (CH-05). */
export class Opened {
  count = 0;
  bytes = 0;

  add(charge) {
    this.count++;
    this.bytes += charge;
  }

  remove(charge) {
    this.count--;
    this.bytes -= charge;
  }

  hasMemory(charge, { session_memory }) {
    return this.bytes + charge <= Math.floor(session_memory / 4);
  }
}

/** What this side holds beyond first windows: a quarter of the memory for grown ones, a quarter for large messages. */
export class Pool {
  constructor(limit) {
    this.quarter = Math.floor(limit / 4);
    this.growth = 0;
    this.extra = 0;
  }

  /** Gives at most `wanted`, and at most half of what is free. */
  grow(wanted) {
    const free = Math.max(this.quarter - this.growth, 0);
    const grown = Math.min(wanted, Math.floor(free / 2));
    this.growth += grown;
    return grown;
  }

  /** Adds to the window of a large message, if there is room. One alone always fits: the first window covers its fixed part. */
  reserve(bytes) {
    if (this.extra + bytes > this.quarter) return false;
    this.extra += bytes;
    return true;
  }
}
