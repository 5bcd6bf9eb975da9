// The sending end of a channel: messages out; CREDIT and CANCEL in.

import { Code, ProtocolError } from './codes.js';
import { ATTACHMENT, Flag, Kind } from './frames.js';
import { floorOf } from './limits.js';
import { MAX_COUNT, MAX_CREDIT } from './numbers.js';
import { TURN, Turn } from './turns.js';

/** What a message costs in bytes of credit, the same on every link. */
export function charge(payloadLength, attachments, headers = 0) {
  return 32 + 16 * attachments + headers + payloadLength;
}

/** Bytes of a table of attachments and of headers, their lengths included. */
const tableLength = (attachments, headers) =>
  (attachments > 0 ? 1 + ATTACHMENT * attachments : 0) + (headers > 0 ? 1 + headers : 0);

const NO_HEADERS = new Uint8Array(0);

export class SendEnd {
  constructor(machine, id, { own, capacity, sole = true, wanted = 0 }) {
    this.machine = machine;
    this.id = id;
    /** Our side gave the id. */
    this.own = own;
    this.announced = !own;
    this.finished = false;
    this.capacity = capacity;
    /** This is the channel's only receiver, so it may hold a channel's worth of messages. */
    this.sole = sole;
    // Counters are u32 and wrap.
    this.sent = 0;
    this.taken = 0;
    this.wanted = wanted;
    /** Bytes granted. */
    this.credit = machine.limits.initial_window;
    this.turn = new Turn();
    /** A message that leaves in parts. */
    this.large = null;
    /** What CANCEL said. */
    this.cancelled = null;
    /** What CLOSE says, or will once it may go. */
    this.closing = null;
    this.closeSent = false;
    /** A message was cut when its receiver, or the session, had gone. */
    this.cutLarge = false;
  }

  get untaken() {
    return (this.sent - this.taken) >>> 0;
  }

  /** Messages that may start by the window rule. */
  get room() {
    return this.sole && !this.large ? Math.max(this.capacity - this.untaken, 0) : 0;
  }

  /** Receives that wait and have nothing on the way to them. */
  get demand() {
    return this.large ? 0 : Math.max((this.wanted - this.sent) | 0, 0);
  }

  /** Why no message may start now, for one of the least charge; '' if one may. */
  get blocked() {
    return this.blockedFor(charge(0, 0));
  }

  /**
   * Why a message of this charge may not start now; '' if it may. An event `writable` follows when it may have changed. One of
   * up to half of the first window waits for all of its credit; a larger one that waited so might wait for ever, so it is cut.
   */
  blockedFor(cost) {
    const { machine } = this;
    if (machine.isLeaving) return 'closed';
    if (this.cancelled) return 'cancelled';
    if (this.closing) return 'closed';
    if (!this.announced) return 'unannounced';
    if (this.room === 0 && this.demand === 0) return 'messages';
    const half = Math.floor(machine.limits.initial_window / 2);
    if (this.credit < (cost <= half ? cost : Math.min(cost, floorOf(machine.limits)))) return 'bytes';
    return machine.mayWrite(this) ? '' : 'output';
  }

  /**
   * Sends a message: `{codec, payload, attachments, flaw, headers}`. The attachments are ends from `machine.allocate...`, which
   * it announces, and `{home: SendEnd}`. Not while `blockedFor` its charge says why not.
   */
  send({ codec, payload, attachments = [], flaw = 0, headers = NO_HEADERS }) {
    const { machine } = this;
    const cost = charge(payload.length, attachments.length, headers.length);
    const length = 2 + tableLength(attachments.length, headers.length) + payload.length;
    const table = attachments.map((end) => (end.home ? end.home.comeHome() : end.announce()));
    const flags = flaw | (table.length > 0 ? Flag.ATTACHMENTS : 0) | (headers.length > 0 ? Flag.HEADERS : 0);
    const message = { t: 'MESSAGE', id: this.id, flags, codec, attachments: table, headers, payload };
    this.sent = (this.sent + 1) >>> 0;
    const most = Math.min(machine.limits.max_frame, Math.max(machine.most(this), TURN));
    if (cost <= this.credit && length <= most) {
      this.credit -= cost;
      machine.writeTurn(this, message);
    } else {
      this.large = { message, at: 0, started: false, fixed: cost - payload.length };
      machine.largeOpen++;
      // The message that names a channel goes before what is sent on that channel.
      this.#writePart();
      this.#push();
    }
    for (const end of attachments) end.afterAnnouncement?.();
  }

  /** The entry of a table for the receiving end that the peer gets. */
  announce() {
    this.announced = true;
    const wanted = !this.sole || this.capacity === 0 ? 1 : 0;
    return { kind: Kind.RECEIVER, id: this.id, capacity: this.capacity, wanted };
  }

  comeHome() {
    return { kind: Kind.SENDER_HOME, id: this.id, capacity: 0, wanted: 0 };
  }

  /** What was said of it before the peer knew of it. */
  afterAnnouncement() {
    if (this.closing) this.#sendClose();
    else this.machine.emit('writable', this);
  }

  // ---- a message in parts

  /** Its turn has come. True: its application was told, and sends. */
  takeTurn() {
    if (this.large) {
      this.#push();
      return false;
    }
    this.machine.emit('writable', this);
    return true;
  }

  /** Goes on with the large message, as far as credit and its turn go. */
  #push() {
    while (this.large && this.credit > 0 && this.machine.mayWrite(this)) this.#writePart();
  }

  /** Writes the next frame of the large message, at least one byte of it. */
  #writePart() {
    const { large, machine } = this;
    const { message } = large;
    const left = message.payload.length - large.at;
    const overhead = large.started ? 1 : 6 + tableLength(message.attachments.length, message.headers.length);
    const fixed = large.started ? 0 : large.fixed;
    const most = Math.min(machine.limits.max_frame, machine.most(this));
    const size = Math.min(left, Math.max(most - overhead, 1), this.credit - fixed);
    this.credit -= size + fixed;
    const payload = message.payload.subarray(large.at, large.at + size);
    const more = size < left ? Flag.MORE : 0;
    if (large.started) {
      machine.writeTurn(this, { t: 'FRAGMENT', id: this.id, flags: more, payload });
    } else {
      const total = message.payload.length;
      machine.writeTurn(this, { ...message, flags: message.flags | more, total, payload });
    }
    large.started = true;
    large.at += size;
    if (!more) this.#largeIsOut();
  }

  #largeIsOut() {
    this.dropLarge();
    if (this.closing) this.#sendClose();
    this.machine.emit('writable', this);
  }

  dropLarge() {
    if (!this.large) return;
    this.large = null;
    this.machine.largeOpen--;
  }

  // ---- credit

  onCredit({ taken, wanted, bytes }) {
    if (taken > this.untaken) throw new ProtocolError('more taken than was sent', Code.FLOW_CONTROL);
    this.taken = (this.taken + taken) >>> 0;
    const ahead = Math.max((this.wanted - this.sent) | 0, 0);
    if (ahead + wanted > MAX_COUNT) throw new ProtocolError('more receives than can wait', Code.FLOW_CONTROL);
    this.wanted = (this.wanted + wanted) >>> 0;
    this.credit += bytes;
    if (this.credit > MAX_CREDIT) throw new ProtocolError('the credit of a channel overflows', Code.FLOW_CONTROL);
    if (taken > 0) this.machine.emit('taken', this, taken);
    this.#push();
    if (!this.closing) this.machine.emit('writable', this);
  }

  // ---- the end

  /** This end, or with scope 1 the channel, ends after what was sent. */
  close({ scope = 0, code = 0, text = '' } = {}) {
    if (this.closing || this.finished) return;
    this.closing = { scope, code, text: code === 0 ? '' : text };
    // The message that names it may still be on its way out, and so may a large message of its own.
    if (this.announced && (!this.large || this.cancelled)) this.#sendClose();
  }

  #sendClose() {
    this.machine.control({ t: 'CLOSE', id: this.id, ...this.closing });
    this.closeSent = true;
    if (!this.own || this.cancelled || this.machine.over) this.finish();
  }

  /** R has left: CLOSE answers at once. */
  onCancel({ scope, taken, code, text }) {
    if (this.cancelled) throw new ProtocolError('a second CANCEL');
    if (taken > this.untaken) throw new ProtocolError('more taken than was sent', Code.FLOW_CONTROL);
    this.taken = (this.taken + taken) >>> 0;
    if (taken > 0) this.machine.emit('taken', this, taken);
    this.#lose({ scope, code, text });
    if (this.closeSent) return this.finish();
    this.closing ??= { scope: 0, code: Code.NONE, text: '' };
    this.#sendClose();
  }

  #lose(reason) {
    this.cancelled = reason;
    this.cutLarge = this.large !== null;
    this.dropLarge();
    this.machine.emit('cancelled', this);
  }

  /** The session is over. */
  disconnect(code) {
    if (!this.cancelled) this.#lose({ scope: 0, code, text: '', lost: true });
    if (this.closing) this.finish();
  }

  finish() {
    if (this.finished) return;
    this.finished = true;
    this.dropLarge();
    this.machine.forget(this, this.machine.limits.initial_window);
  }
}
