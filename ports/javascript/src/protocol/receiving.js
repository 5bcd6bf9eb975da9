// The receiving end of a channel: MESSAGE, FRAGMENT and CLOSE in; CREDIT and CANCEL out.

import { join } from './bytes.js';
import { Code, ProtocolError } from './codes.js';
import { Flag, Kind } from './frames.js';
import { Queue } from './queue.js';
import { charge } from './sending.js';
import { Window } from './window.js';

export class RecvEnd {
  constructor(machine, id, { own, capacity, onDemand = false, waiting = 0 }) {
    this.machine = machine;
    this.id = id;
    /** Our side gave the id. */
    this.own = own;
    this.announced = !own;
    this.finished = false;
    this.capacity = capacity;
    this.servesDemand = onDemand || capacity === 0;
    // Counters are u32 and wrap.
    this.arrived = 0;
    this.taken = 0;
    /** Taken, and not yet told. */
    this.owed = 0;
    /** Told in all, and how many receives wait now. */
    this.wanted = 0;
    this.waiting = waiting;
    this.window = new Window(machine.limits.initial_window);
    /** Whole messages that wait. */
    this.inbox = new Queue();
    /** A message of which not all has arrived. */
    this.partial = null;
    /** Bytes that the partial message waits for, and bytes granted for it and not yet told. */
    this.reserving = 0;
    this.granted = 0;
    /** What CLOSE said. Messages may still wait. */
    this.closed = null;
    this.cancelled = false;
    this.pendingCancel = null;
    /** Senders that came home and are neither claimed nor dropped: they hold the channel open. */
    this.holds = 0;
    /** What OPEN said. */
    this.opening = null;
    /** The application has it; until then the answer to a CLOSE waits. */
    this.accepted = own;
  }

  /** How the sender ended, once nothing more can come. */
  get ended() {
    return this.holds === 0 ? this.closed : null;
  }

  /** What the sender may still start by the window rule, as far as this side knows. */
  get roomLeft() {
    const told = this.taken - this.owed;
    return Math.max(this.capacity - ((this.arrived - told) >>> 0), 0);
  }

  // ---- messages

  /** Counts the start of a message, which must have been granted. */
  admit({ flags, attachments, payload, total }) {
    if (this.closed) throw new ProtocolError('a MESSAGE after CLOSE');
    if (this.partial) throw new ProtocolError('a MESSAGE inside a fragmented one');
    const wanted = (this.wanted - this.arrived) | 0;
    if (this.roomLeft === 0 && wanted <= 0) throw new ProtocolError('a message too many', Code.FLOW_CONTROL);
    const { initial_window: first } = this.machine.limits;
    const whole = charge(total ?? payload.length, attachments.length);
    const announced = flags & Flag.ANNOUNCED;
    const cost = announced ? charge(payload.length, attachments.length) : whole;
    const overshoot = announced ? charge(0, attachments.length) : first;
    const wrong = announced ? whole <= first : false;
    if (wrong || cost > Math.max(this.window.left, overshoot) || !this.window.arrive(cost, true)) {
      throw new ProtocolError('more bytes than were granted', Code.FLOW_CONTROL);
    }
    this.arrived = (this.arrived + 1) >>> 0;
  }

  /** Takes in a message whose attachments are entered. */
  onMessage({ flags, codec, total, payload }, attachments) {
    const flaw = flags & (Flag.NOT_ENCODED | Flag.NOT_FORWARDED);
    const kept = this.cancelled ? [] : attachments;
    const message = { codec, flaw, attachments: kept, charge: charge(total ?? payload.length, attachments.length) };
    if (total === undefined) {
      if (!this.cancelled) this.#deliver({ ...message, payload: payload.slice() });
      return;
    }
    const parts = this.cancelled ? [] : [payload.slice()];
    this.partial = { message, parts, received: payload.length, total, announced: (flags & Flag.ANNOUNCED) !== 0 };
    if (this.partial.announced && !this.cancelled) {
      this.reserving = this.window.missing(total - payload.length);
      if (this.reserving > 0) this.machine.reserve(this);
      this.markDue();
    }
  }

  onFragment({ flags, payload }) {
    const { partial } = this;
    if (!partial) throw new ProtocolError('a FRAGMENT of nothing');
    const received = partial.received + payload.length;
    const last = (flags & Flag.MORE) === 0;
    if (received > partial.total || last !== (received === partial.total)) {
      throw new ProtocolError('fragments that do not add up');
    }
    partial.received = received;
    if (this.cancelled) {
      if (last) this.partial = null;
      return;
    }
    if (partial.announced && !this.window.arrive(payload.length)) {
      throw new ProtocolError('more bytes than were granted', Code.FLOW_CONTROL);
    }
    partial.parts.push(payload.slice());
    if (!last) return this.markDue();
    this.partial = null;
    this.#deliver({ ...partial.message, payload: join(partial.parts) });
  }

  #deliver(message) {
    this.inbox.push(message);
    this.machine.emit('readable', this);
    // The arrival may have used up what the sender had while something is owed. A receive that waits has now got
    // something, so on demand no more is asked for: whoever takes it says how many wait then.
    if (this.window.left <= 0 || (this.roomLeft === 0 && !this.servesDemand)) this.markDue();
  }

  /** The oldest message, or undefined. It counts as taken when `count` says so. */
  take() {
    return this.inbox.shift();
  }

  /**
   * So many messages were taken, and so many bytes of charge are free again. A relay says the bytes when it has
   * forwarded and the messages when they were taken at the far end.
   */
  count(messages, bytes) {
    if (this.finished) return;
    this.taken = (this.taken + messages) >>> 0;
    this.owed += messages;
    const freed = this.window.take(bytes);
    if (!this.closed) this.window.growFrom(this.machine.ours, this.machine.local.max_window);
    this.machine.ours.release(freed);
    if (freed > 0) this.machine.serveReservations();
    this.markDue();
    this.#answerClose();
  }

  // ---- credit

  /** So many receives wait now: a level, not a count of calls. */
  want(waiting) {
    this.waiting = waiting;
    this.markDue();
    if (this.reserving > 0 && waiting > 0) this.machine.serveReservations();
  }

  /** A receive waits for the next message. */
  get awaited() {
    return this.waiting > 0 && this.inbox.length === 0;
  }

  get #increment() {
    if (!this.servesDemand) return 0;
    return Math.max(this.waiting - Math.max((this.wanted - this.arrived) | 0, 0), 0);
  }

  /** Stands in line to send credit, if any is due. */
  markDue() {
    if (this.closed || this.cancelled || !this.announced) return;
    const half = this.owed >= Math.ceil(this.capacity / 2);
    const told = this.owed > 0 && (this.servesDemand || half || this.roomLeft === 0);
    if (told || this.#increment > 0 || this.window.isDue || this.granted > 0) this.machine.due.add(this);
  }

  /** Sends all that is owed. */
  writeCredit() {
    if (this.closed || this.cancelled || !this.announced) return;
    const wanted = this.#increment;
    const bytes = this.granted + this.window.grant();
    const taken = this.owed;
    this.wanted = (this.wanted + wanted) >>> 0;
    this.owed = 0;
    this.granted = 0;
    if (taken || wanted || bytes) this.machine.control({ t: 'CREDIT', id: this.id, taken, wanted, bytes });
  }

  /** Memory was set aside for the rest of the announced message. */
  grantReserved() {
    this.window.grantExtra(this.reserving);
    this.granted += this.reserving;
    this.reserving = 0;
    this.machine.due.add(this);
  }

  // ---- the beginning and the end

  /** The entry of a table for the sending end that the peer gets. */
  announce() {
    this.announced = true;
    this.machine.ids.noteAnnounced(this.id);
    this.wanted = this.capacity === 0 ? this.waiting : 0;
    return { kind: Kind.SENDER, id: this.id, capacity: this.capacity, wanted: this.wanted };
  }

  /** What was said of it before the peer knew of it. */
  afterAnnouncement() {
    if (this.pendingCancel) this.cancel(this.pendingCancel);
  }

  /** The application has it: a named channel no longer waits in line. */
  accept() {
    this.#leaveLine();
    this.#answerClose();
  }

  #leaveLine() {
    if (this.opening && !this.accepted) this.machine.pendingAccepts--;
    this.accepted = true;
  }

  onClose({ scope, code, text }) {
    if (this.closed) throw new ProtocolError('a second CLOSE');
    if (this.cancelled) return this.finish();
    if (this.partial) throw new ProtocolError('a CLOSE inside a fragmented message');
    this.closed = { scope, code, text };
    this.machine.emit('readable', this);
    this.#answerClose();
  }

  /** A CLOSE is answered once all that had arrived was taken. */
  #answerClose() {
    if (!this.accepted || !this.closed || this.finished || this.inbox.length > 0 || this.arrived !== this.taken) return;
    if (!this.own) this.#sendCancel({ scope: 0, code: Code.NONE, text: '' });
    this.finish();
  }

  #sendCancel(reason) {
    this.machine.control({ t: 'CANCEL', id: this.id, taken: this.owed, ...reason });
    this.owed = 0;
  }

  /** This end, or with scope 1 the channel, takes no more; what waits is dropped. */
  cancel({ scope = 0, code = 0, text = '' } = {}) {
    if (this.cancelled || this.finished) return;
    if (!this.announced && !this.machine.over) {
      this.pendingCancel ??= { scope, code, text };
      return;
    }
    this.#leaveLine();
    this.cancelled = true;
    this.reserving = 0;
    this.#dropWhatWaits();
    if (this.closed) {
      if (!this.own) this.#sendCancel({ scope: 0, code: Code.NONE, text: '' });
      this.finish();
      return;
    }
    this.#sendCancel({ scope, code, text });
    this.machine.serveReservations();
  }

  #dropWhatWaits() {
    for (const message of this.inbox.drain()) this.machine.reject(message.attachments);
    if (!this.partial) return;
    this.machine.reject(this.partial.message.attachments);
    // The rest of it may still come, and must be known as such.
    this.partial.message.attachments = [];
    this.partial.parts = [];
  }

  /** A sender that came home was claimed or dropped. */
  releaseHold() {
    this.holds--;
    if (this.holds === 0 && this.closed) this.machine.emit('readable', this);
  }

  /** Nothing more will arrive: the session is over, or the peer has said goodbye. */
  disconnect() {
    if (this.partial) {
      this.machine.reject(this.partial.message.attachments);
      this.partial = null;
      // What never came cannot be taken.
      this.arrived = (this.arrived - 1) >>> 0;
    }
    this.closed ??= { scope: 0, code: Code.DISCONNECTED, text: '', lost: this.machine.over !== null };
    if (this.cancelled) return this.finish();
    this.machine.emit('readable', this);
    this.#answerClose();
  }

  finish() {
    if (this.finished) return;
    this.finished = true;
    const { machine, window } = this;
    machine.ids.remove(this);
    machine.ours.close(machine.channelCharge);
    machine.ours.shrink(window.size - machine.limits.initial_window);
    machine.ours.release(window.extra);
    machine.serveReservations();
  }
}
