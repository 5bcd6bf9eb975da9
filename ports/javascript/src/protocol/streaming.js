// One end of a byte stream: DATA, END, STOP and CREDIT, in both directions (spec/7-bytestreams.md).

import { Code, ProtocolError } from './codes.js';
import { Kind } from './frames.js';
import { MAX_CREDIT } from './numbers.js';
import { Queue } from './queue.js';
import { Window } from './window.js';
import { concat } from './bytes.js';
import { Turn } from './turns.js';

/** What is kept without credit, in bytes. */
const UNSENT = 65_536;

export class StreamEnd {
  constructor(machine, id, { own }) {
    this.machine = machine;
    this.id = id;
    /** Our side gave the id. */
    this.own = own;
    this.announced = !own;
    // ---- out
    /** What was written and waits for credit. */
    this.unsent = new Uint8Array(0);
    this.credit = machine.limits.stream_window;
    this.turn = new Turn();
    /** What END says, or will once the peer knows of the stream. */
    this.ending = null;
    this.endSent = false;
    /** What STOP said: nobody reads what this side writes. */
    this.stopped = null;
    // ---- in
    this.window = new Window(machine.limits.stream_window, 1);
    this.arrived = new Queue();
    /** What END said. */
    this.ended = null;
    /** What STOP says, or will once the peer knows of the stream. */
    this.stopping = null;
    this.stopSent = false;
    /** END and STOP have gone and have come. */
    this.finished = false;
  }

  // ---- writing

  /** Takes as many bytes as fit and says how many. An event `stream-writable` follows when there is more room. */
  write(bytes) {
    if (this.ending || this.stopped || this.machine.isLeaving) return 0;
    const sent = this.unsent.length === 0 ? this.#send(bytes) : 0;
    const kept = bytes.subarray(sent, sent + Math.max(UNSENT - this.unsent.length, 0));
    if (kept.length > 0) this.unsent = concat(this.unsent, kept);
    return sent + kept.length;
  }

  /** Sends as much as there is credit for and says how much. */
  #send(bytes) {
    const { machine } = this;
    let at = 0;
    while (this.announced && at < bytes.length && this.credit > 0 && machine.mayWrite(this)) {
      const size = Math.min(bytes.length - at, this.credit, machine.limits.max_frame, machine.most(this));
      machine.writeTurn(this, { t: 'DATA', id: this.id, payload: bytes.subarray(at, at + size) });
      this.credit -= size;
      at += size;
    }
    return at;
  }

  /** Sends what was kept, as far as there is credit, and behind it the end. */
  push() {
    if (this.unsent.length > 0) this.unsent = this.unsent.slice(this.#send(this.unsent));
    if (this.ending && !this.endSent && this.announced && this.unsent.length === 0) this.#sendEnd();
    else if (this.unsent.length < UNSENT) this.machine.emit('stream-writable', this);
  }

  /** Its turn has come: it goes on by itself. */
  takeTurn() {
    this.push();
    return false;
  }

  /**
   * This side writes no more: the end follows what was written. With a code it is a cut, and what waits is dropped, unless the
   * code says that the writer was dropped.
   */
  end({ code = 0, text = '' } = {}) {
    if (this.ending || this.endSent) return;
    this.ending = { code, text };
    const behind = code === Code.NONE || code === Code.ABANDONED || code === Code.PANICKED;
    if (!behind) this.unsent = this.unsent.subarray(0, 0);
    if (this.announced && this.unsent.length === 0) this.#sendEnd();
  }

  #sendEnd() {
    this.endSent = true;
    const reason = this.ending ?? { code: Code.NONE, text: '' };
    this.machine.control({ t: 'END', id: this.id, ...reason });
    this.#settle();
  }

  onCredit({ taken, wanted, bytes }) {
    if (taken || wanted) throw new ProtocolError('a CREDIT for a stream that counts messages');
    this.credit += bytes;
    if (this.credit > MAX_CREDIT) throw new ProtocolError('the credit of a stream overflows', Code.FLOW_CONTROL);
    if (!this.stopped) this.push();
  }

  onStop({ code, text }) {
    if (this.stopped) throw new ProtocolError('a second STOP');
    this.stopped = { code, text };
    this.unsent = this.unsent.subarray(0, 0);
    this.machine.emit('stream-writable', this);
    if (this.endSent) this.#settle();
    else this.#sendEnd();
  }

  // ---- reading

  /** Up to `max` bytes that have arrived; null: none now. */
  read(max = Infinity) {
    let bytes = this.arrived.shift();
    if (!bytes) return null;
    if (bytes.length > max) {
      this.arrived.unshift(bytes.subarray(max));
      bytes = bytes.subarray(0, max);
    }
    this.window.take(bytes.length);
    if (!this.ended) {
      this.window.growFrom(this.machine.ours, this.machine.local.max_window);
      this.markDue();
    } else if (this.arrived.length === 0) {
      // What had arrived was counted: STOP says that it was read (BY-02).
      this.#answerEnd();
    }
    return bytes;
  }

  markDue() {
    if (this.window.isDue && !this.ended && !this.stopping) this.machine.due.add(this);
  }

  writeCredit() {
    if (this.ended || this.stopping) return;
    const bytes = this.window.grant();
    if (bytes > 0) this.machine.control({ t: 'CREDIT', id: this.id, taken: 0, wanted: 0, bytes });
  }

  onData({ payload }) {
    if (this.ended) throw new ProtocolError('DATA after END');
    if (this.stopping) return;
    if (!this.window.arrive(payload.length)) {
      throw new ProtocolError('more bytes than were granted', Code.FLOW_CONTROL);
    }
    this.arrived.push(payload.slice());
    this.markDue();
    this.machine.emit('stream-readable', this);
  }

  onEnd({ code, text }) {
    if (this.ended) throw new ProtocolError('a second END');
    this.ended = { code, text };
    this.machine.emit('stream-readable', this);
    if (this.arrived.length === 0) this.#answerEnd();
    this.#settle();
  }

  #answerEnd() {
    if (!this.stopSent && this.announced) this.#sendStop({ code: Code.NONE, text: '' });
  }

  /** This side reads no more: what has arrived is dropped. */
  stop({ code = 0, text = '' } = {}) {
    this.arrived.drain();
    if (this.stopping || this.stopSent) return;
    this.stopping = { code, text };
    const { machine, window } = this;
    window.releaseTo(machine.ours, machine.limits.stream_window);
    if (this.announced) this.#sendStop(this.stopping);
  }

  #sendStop(reason) {
    this.stopSent = true;
    this.machine.control({ t: 'STOP', id: this.id, ...reason });
    this.#settle();
  }

  // ---- the beginning and the end

  /** The entry of a table for the end that the peer gets. */
  announce() {
    this.announced = true;
    return { kind: Kind.STREAM, id: this.id, capacity: 0, wanted: 0 };
  }

  /** What was said of it before the peer knew of it. */
  afterAnnouncement() {
    if (this.stopping) this.#sendStop(this.stopping);
    this.push();
  }

  /** The session is over: nothing more will arrive, and nothing leave. */
  disconnect(code) {
    this.ended ??= { code, text: '', lost: true };
    this.stopped ??= { code, text: '' };
    this.machine.emit('stream-readable', this);
    this.machine.emit('stream-writable', this);
    this.#settle();
  }

  /** Forgets the id once END and STOP have gone and have come. */
  #settle() {
    const said = this.endSent && this.stopSent && this.ended && this.stopped;
    if (said || (this.machine.over && this.ended && this.stopped)) this.abandon();
  }

  /** It is finished, or was not announced and will not be. */
  abandon() {
    if (this.finished) return;
    this.finished = true;
    const { machine, window } = this;
    window.releaseTo(machine.ours, machine.limits.stream_window);
    machine.forget(this, machine.limits.stream_window);
    machine.serveLarge();
  }
}
