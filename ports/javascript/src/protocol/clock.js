// When to ping, and when a peer is late, silent or too eager (spec/3-session.md).

/** Pings are counted over so many milliseconds. */
export const PING_PERIOD = 5_000;

export class Clock {
  /** `local`: the limits that the peer is not told of. */
  constructor(local, now) {
    this.local = local;
    this.started = this.heardAt = this.saidAt = this.pingsSince = now;
    /** Something was heard, or said, since the last look. */
    this.heard = this.said = false;
    this.pings = 0;
    this.number = 0;
  }

  /** What is to be done at this time: 'late' (no hello), 'silent', 'ping' or ''. */
  look(now, established) {
    if (this.heard) this.heardAt = now;
    if (this.said) this.saidAt = now;
    this.heard = this.said = false;
    if (now - this.pingsSince >= PING_PERIOD) {
      this.pings = 0;
      this.pingsSince = now;
    }
    const { hello_timeout, dead_after, ping_after } = this.local;
    if (!established) return now - this.started >= hello_timeout ? 'late' : '';
    if (now - this.heardAt >= dead_after) return 'silent';
    return now - this.saidAt >= ping_after ? 'ping' : '';
  }

  /** The eight bytes of a new ping. */
  nextPing() {
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setUint32(4, ++this.number);
    return payload;
  }

  /** The number in the eight bytes of a ping. */
  static numberOf(payload) {
    return Number(new DataView(payload.buffer, payload.byteOffset).getBigUint64(0));
  }

  /** Counts a ping of the peer's; false if it is one too many. */
  countPing() {
    this.pings++;
    return this.pings <= this.local.max_pings;
  }
}
