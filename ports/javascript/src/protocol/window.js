// What a receiver has granted in bytes, and what it owes (spec/6-credit.md).

/** Windows below this grow with the first half that was taken: small messages then cost a grant every seventy. */
const EAGER = 16_384;

/** The byte window of a receiving end, or of one direction of a stream. */
export class Window {
  constructor(size) {
    /** What it may hold. */
    this.size = size;
    /** What the sender has left, as far as this side knows; may be below 0. */
    this.left = size;
    /** What has arrived and was not taken. */
    this.held = 0;
    /** Granted beyond the window, for a large message. */
    this.extra = 0;
    /** The sender has run out since the window last grew. */
    this.exhausted = false;
  }

  /** So many bytes have arrived. False: they were not granted. `overshoot`: a whole message may pass the end. */
  arrive(bytes, overshoot = false) {
    if (overshoot ? this.left <= 0 : this.left < bytes) return false;
    this.left -= bytes;
    this.held += bytes;
    this.exhausted ||= this.left <= 0;
    return true;
  }

  /** So many bytes were taken. Gives what of the extra grant is no longer needed. */
  take(bytes) {
    this.held -= bytes;
    const over = Math.max(this.left + this.held - this.size, 0);
    const freed = Math.max(this.extra - over, 0);
    this.extra -= freed;
    return freed;
  }

  /** What the sender lacks for `remaining` bytes. */
  missing(remaining) {
    return Math.max(remaining - this.left, 0);
  }

  grantExtra(bytes) {
    this.extra += bytes;
    this.left += bytes;
  }

  get owed() {
    return Math.max(this.size - this.left - this.held, 0);
  }

  /** Whether a grant is due: half of the window is owed, or any and the sender has none left. */
  get isDue() {
    return this.owed > 0 && (this.owed >= this.size / 2 || this.left <= 0);
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
}

/** The memory of one side: half for first windows, a quarter for growth, a quarter for announced messages. */
export class Pool {
  constructor(limit, largest) {
    this.limit = limit;
    /** Kept of the last quarter for a message that a receive waits for. */
    this.kept = largest;
    this.base = 0;
    this.growth = 0;
    this.extra = 0;
  }

  /** Charges what this side opens; false if it does not fit. */
  open(charge) {
    if (this.base + charge > this.limit / 2) return false;
    this.base += charge;
    return true;
  }

  /** Charges what the peer has opened. Openings of both sides may cross, so it may pass the half, never the whole. */
  admit(charge) {
    this.base += charge;
    return this.base <= this.limit;
  }

  close(charge) {
    this.base -= charge;
  }

  /** Gives at most `wanted`, and at most half of what is free. */
  grow(wanted) {
    const free = Math.max(Math.floor(this.limit / 4) - this.growth, 0);
    const grown = Math.min(wanted, Math.floor(free / 2));
    this.growth += grown;
    return grown;
  }

  shrink(bytes) {
    this.growth -= bytes;
  }

  /** Sets memory aside for an announced message; one that no receive waits for leaves room for the largest. */
  reserve(bytes, awaited) {
    const sum = this.extra + bytes;
    const fits = awaited ? this.extra === 0 || sum <= this.limit / 4 : sum + this.kept <= this.limit / 4;
    if (fits) this.extra += bytes;
    return fits;
  }

  release(bytes) {
    this.extra -= bytes;
  }
}
