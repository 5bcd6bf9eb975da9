// The sending end of a channel: messages out; CREDIT and CANCEL in.

import { ProtocolError, Code } from './codes.js';
import { ATTACHMENT, Flag, Kind } from './frames.js';
import { MAX_CREDIT } from './limits.js';

/** Output from which on messages wait, in bytes. */
const HIGH_WATER = 1_048_576;

/** What a message is charged, the same on every link. */
export function charge(payloadLength, attachments) {
  return payloadLength + 16 * attachments + 32;
}

/** Bytes of a table of attachments, its count included. */
const tableLength = (attachments) => (attachments > 0 ? 1 + ATTACHMENT * attachments : 0);

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
    /** Bytes granted; a message may start while it is above 0. */
    this.credit = machine.limits.initial_window;
    /** A message that leaves in fragments. */
    this.large = null;
    /** What CANCEL said. */
    this.cancelled = null;
    /** What CLOSE says, or will once it may go. */
    this.closing = null;
    this.closeSent = false;
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

  /** Why no message may start now; '' if one may. An event `writable` follows when it may have changed. */
  get blocked() {
    if (this.closing || this.machine.isLeaving) return 'closed';
    if (this.cancelled) return 'cancelled';
    if (!this.announced) return 'unannounced';
    if (this.room === 0 && this.demand === 0) return 'messages';
    if (this.credit <= 0) return 'bytes';
    if (this.machine.outBytes > HIGH_WATER) return this.machine.waitForOutput(this);
    return '';
  }

  /**
   * Sends a message: `{codec, payload, attachments, flaw}`. The attachments are ends from `machine.allocate...`, which
   * it announces, and `{home: SendEnd}`. Not while `blocked` says why not.
   */
  send({ codec, payload, attachments = [], flaw = 0 }) {
    const { machine } = this;
    const cost = charge(payload.length, attachments.length);
    const announced = cost > Math.max(this.credit, machine.limits.initial_window);
    const length = 2 + tableLength(attachments.length) + payload.length;
    const table = attachments.map((end) => (end.home ? end.home.comeHome() : end.announce()));
    const flags = flaw | (table.length > 0 ? Flag.ATTACHMENTS : 0);
    this.sent = (this.sent + 1) >>> 0;
    if (!announced) this.credit -= cost;
    if (announced || length > machine.limits.max_frame) {
      this.large = { codec, flags, attachments: table, payload, at: 0, started: false, announced, queued: false };
      machine.largeOpen++;
      // The message that names a channel goes before what is sent on that channel.
      if (table.length > 0) this.writeFragment();
      else this.#queueLarge();
    } else {
      machine.write({ t: 'MESSAGE', id: this.id, flags, codec, attachments: table, payload });
    }
    for (const end of attachments) end.afterAnnouncement?.();
  }

  /** The entry of a table for the receiving end that the peer gets. */
  announce() {
    this.announced = true;
    this.machine.ids.noteAnnounced(this.id);
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

  // ---- fragments

  #queueLarge() {
    if (!this.large || this.large.queued || (this.large.announced && this.credit <= 0)) return;
    this.large.queued = true;
    this.machine.large.push(this);
  }

  /** Writes the next frame of the large message, and stands in line again if there is more. */
  writeFragment() {
    const { large, machine } = this;
    if (!large) return;
    large.queued = false;
    if (large.announced && this.credit <= 0) return;
    const { payload, attachments } = large;
    const left = payload.length - large.at;
    const overhead = large.started ? 1 : 6 + tableLength(attachments.length);
    let size = Math.min(left, machine.limits.max_frame - overhead);
    if (large.announced) {
      const fixed = large.started ? 0 : charge(0, attachments.length);
      size = Math.min(size, Math.max(this.credit - fixed, 0));
      this.credit -= size + fixed;
    }
    const part = payload.subarray(large.at, large.at + size);
    const more = size < left ? Flag.MORE : 0;
    if (large.started) {
      machine.write({ t: 'FRAGMENT', id: this.id, flags: more, payload: part });
    } else {
      const flags = large.flags | more | (more && large.announced ? Flag.ANNOUNCED : 0);
      machine.write({ t: 'MESSAGE', id: this.id, flags, codec: large.codec, attachments, total: payload.length, payload: part });
    }
    large.started = true;
    large.at += size;
    if (more) this.#queueLarge();
    else this.#largeIsOut();
  }

  #largeIsOut() {
    this.dropLarge();
    if (this.closing) this.#sendClose();
    else this.machine.emit('writable', this);
  }

  dropLarge() {
    if (!this.large) return;
    this.large = null;
    this.machine.largeOpen--;
  }

  // ---- credit

  onCredit({ taken, wanted, bytes }) {
    if (this.cancelled) return;
    if (taken > this.untaken) throw new ProtocolError('more taken than was sent', Code.FLOW_CONTROL);
    this.taken = (this.taken + taken) >>> 0;
    this.wanted = (this.wanted + wanted) >>> 0;
    this.credit += bytes;
    if (this.credit > MAX_CREDIT) throw new ProtocolError('the credit of a channel overflows', Code.FLOW_CONTROL);
    if (taken > 0) this.machine.emit('taken', this, taken);
    this.#queueLarge();
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
    const reason = this.closing ?? { scope: 0, code: Code.NONE, text: '' };
    this.machine.control({ t: 'CLOSE', id: this.id, ...reason });
    this.closeSent = true;
    this.dropLarge();
    if (!this.own || this.cancelled || this.machine.over) this.finish();
  }

  onCancel({ scope, taken, code, text }) {
    if (this.cancelled) throw new ProtocolError('a second CANCEL');
    if (taken > this.untaken) throw new ProtocolError('more taken than was sent', Code.FLOW_CONTROL);
    this.taken = (this.taken + taken) >>> 0;
    if (taken > 0) this.machine.emit('taken', this, taken);
    this.#lose({ scope, code, text });
    if (this.closeSent) return this.finish();
    this.#sendClose();
  }

  #lose(reason) {
    this.cancelled = reason;
    this.dropLarge();
    this.machine.emit('cancelled', this);
  }

  /** The session is over. */
  disconnect(code) {
    if (!this.cancelled) this.#lose({ scope: 0, code, text: '' });
    if (this.closing) this.finish();
  }

  finish() {
    if (this.finished) return;
    this.finished = true;
    this.dropLarge();
    this.machine.ids.remove(this);
    this.machine.theirs.close(this.machine.channelCharge);
  }
}
