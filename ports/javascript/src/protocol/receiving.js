// The receiving end of a channel: MESSAGE, FRAGMENT and CLOSE in; CREDIT and CANCEL out.

import { join } from './bytes.js';
import { Code, ProtocolError } from './codes.js';
import { Flag, Kind } from './frames.js';
import { Queue } from './queue.js';
import { floorOf } from './limits.js';
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
    this.window = new Window(machine.limits.initial_window, floorOf(machine.limits));
    /** Whole messages that wait. */
    this.inbox = new Queue();
    /** A message of which not all has arrived. */
    this.partial = null;
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

  /** Counts the start of a message, which must have been granted: CR-01, CR-07. */
  admit({ attachments, headers, payload }) {
    if (this.closed) throw new ProtocolError('a MESSAGE after CLOSE');
    if (this.partial) throw new ProtocolError('a MESSAGE inside a fragmented one');
    const wanted = (this.wanted - this.arrived) | 0;
    if (this.roomLeft === 0 && wanted <= 0) throw new ProtocolError('a message too many', Code.FLOW_CONTROL);
    if (!this.window.arrive(charge(payload.length, attachments.length, headers?.length))) {
      throw new ProtocolError('more bytes than were granted', Code.FLOW_CONTROL);
    }
    this.arrived = (this.arrived + 1) >>> 0;
  }

  /** Takes in a message whose attachments are entered. */
  onMessage({ flags, codec, headers, total, payload }, attachments) {
    const flaw = flags & (Flag.NOT_ENCODED | Flag.NOT_FORWARDED);
    const whole = charge(total ?? payload.length, attachments.length, headers?.length);
    const message = { codec, flaw, attachments, headers, charge: whole };
    if (total === undefined) return this.#deliver({ ...message, payload: payload.slice() });
    this.partial = { message, parts: [payload.slice()], received: payload.length, total };
    this.#lineUp();
    this.markDue();
  }

  onFragment({ flags, payload }) {
    if (this.cancelled) return;
    const { partial } = this;
    if (!partial) throw new ProtocolError('a FRAGMENT of nothing');
    const received = partial.received + payload.length;
    const last = (flags & Flag.MORE) === 0;
    if (received > partial.total || last !== (received === partial.total)) {
      throw new ProtocolError('fragments that do not add up');
    }
    if (!this.window.arrive(payload.length)) {
      throw new ProtocolError('more bytes than were granted', Code.FLOW_CONTROL);
    }
    partial.received = received;
    partial.parts.push(payload.slice());
    if (!last) return this.markDue();
    this.partial = null;
    this.#deliver({ ...partial.message, payload: join(partial.parts) });
  }

  #deliver(message) {
    this.inbox.push(message);
    this.machine.emit('readable', this);
    // The arrival may have used up what the sender had, while something is owed already.
    this.markDue();
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
    this.machine.ours.extra -= freed;
    if (freed > 0) this.machine.serveLarge();
    this.#lineUp();
    this.markDue();
    this.#answerClose();
  }

  // ---- credit

  /** So many receives wait now: a level, not a count of calls. */
  want(waiting) {
    this.waiting = waiting;
    this.#lineUp();
    this.markDue();
  }

  get #increment() {
    if (!this.servesDemand) return 0;
    const ahead = Math.max((this.wanted - this.arrived) | 0, 0);
    // What waits, and what has begun to arrive, is for some of the receives.
    const here = this.inbox.length + (this.partial ? 1 : 0);
    return Math.max(this.waiting - here - ahead, 0);
  }

  // ---- memory for a large message

  /** A message larger than its window stands in line while a receive waits for it and nothing else (CR-13). */
  #lineUp() {
    const { partial, window, machine } = this;
    const large = partial && partial.message.charge > window.size + window.extra;
    machine.lineUp(this, Boolean(large && this.waiting > 0 && this.inbox.length === 0));
  }

  /** Adds to the window what the large message lacks. False: there is no room yet. */
  reserve(pool) {
    const { partial, window } = this;
    if (!partial) return true;
    const lacks = partial.message.charge - window.size;
    if (!pool.reserve(lacks)) return false;
    window.extra = lacks;
    this.markDue();
    return true;
  }

  // ---- credit

  /** Stands in line to send credit, if any is due. */
  markDue() {
    if (this.closed || this.cancelled || !this.announced) return;
    const half = this.owed >= Math.ceil(this.capacity / 2);
    const told = this.owed > 0 && (this.servesDemand || half || this.roomLeft === 0);
    if (told || this.#increment > 0 || this.window.isDue) this.machine.due.add(this);
  }

  /** Sends all that is owed. */
  writeCredit() {
    if (this.closed || this.cancelled || !this.announced) return;
    const wanted = this.#increment;
    const bytes = this.window.grant();
    const taken = this.owed;
    this.wanted = (this.wanted + wanted) >>> 0;
    this.owed = 0;
    if (taken || wanted || bytes) this.machine.control({ t: 'CREDIT', id: this.id, taken, wanted, bytes });
  }

  // ---- the beginning and the end

  /** The entry of a table for the sending end that the peer gets. */
  announce() {
    this.announced = true;
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
    if (this.partial && code === Code.NONE) throw new ProtocolError('a clean CLOSE inside a fragmented message');
    this.closed = { scope, code, text };
    this.#cut();
    if (this.cancelled) return this.finish();
    this.machine.emit('readable', this);
    this.#answerClose();
  }

  /** The rest of a message will not come: it counts as if it had not begun. */
  #cut() {
    const { partial, window, machine } = this;
    // Nothing more comes, so what was granted and not used is not kept.
    window.left = 0;
    if (!partial) return;
    this.partial = null;
    this.arrived = (this.arrived - 1) >>> 0;
    // What was added may be that of a whole message that still waits.
    machine.ours.extra -= window.take(partial.message.charge - partial.total + partial.received);
    this.#lineUp();
    machine.serveLarge();
    machine.reject(partial.message.attachments);
  }

  /** A CLOSE is answered once all that had arrived was taken, and no sender that came home is unclaimed. */
  #answerClose() {
    if (!this.accepted || !this.closed || this.cancelled || this.holds > 0) return;
    if (this.inbox.length > 0 || this.arrived !== this.taken) return;
    this.cancelled = true;
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
    this.#dropWhatWaits();
    if (this.machine.over) return this.finish();
    if (!this.closed) return this.#sendCancel({ scope, code, text });
    if (!this.own) this.#sendCancel({ scope: 0, code: Code.NONE, text: '' });
    this.finish();
  }

  /** Nothing more is kept: memory beyond the first window is free from now on. */
  #dropWhatWaits() {
    const { machine, window } = this;
    const dropped = [...this.inbox.drain(), ...(this.partial ? [this.partial.message] : [])];
    this.partial = null;
    window.releaseTo(machine.ours, machine.limits.initial_window);
    this.#lineUp();
    machine.serveLarge();
    machine.reject(dropped.flatMap(({ attachments }) => attachments));
  }

  /** A sender that came home was claimed or dropped. */
  releaseHold() {
    this.holds--;
    if (this.holds > 0 || !this.closed) return;
    this.machine.emit('readable', this);
    this.#answerClose();
  }

  /** Nothing more will arrive: the session is over. */
  disconnect(code) {
    this.#cut();
    this.closed ??= { scope: 0, code, text: '', lost: true };
    if (this.cancelled) return this.finish();
    this.machine.emit('readable', this);
    this.#answerClose();
  }

  finish() {
    if (this.finished) return;
    this.finished = true;
    const { machine, window } = this;
    window.releaseTo(machine.ours, machine.limits.initial_window);
    machine.lineUp(this, false);
    machine.forget(this, machine.limits.initial_window);
    machine.serveLarge();
  }
}
