// A channel: messages that wait, whoever may take them, whoever may add to them.
//
// Senders and receivers here are counted holds. What is at the other side of a session is a leg: a *source* brings
// messages of a remote sender, a *target* carries messages to a remote receiver. So a pipe, an end that travels and a
// relay are one thing: `step` moves messages from what has some to what wants some.

import { Queue } from './protocol/queue.js';
import { Code } from './protocol/codes.js';
import { Closed, closedError } from './errors.js';

const CLEAN = { scope: 0, code: Code.NONE, text: '' };

/** Channels that something has happened to. They are stepped one after the other, never one inside the other. */
const woken = new Set();
let stepping = false;

/** Has the channel look again at what may move. */
export function wake(channel) {
  woken.add(channel);
  if (stepping) return;
  stepping = true;
  try {
    for (const next of woken) {
      woken.delete(next);
      next.step();
    }
  } finally {
    stepping = false;
  }
}

export class Channel {
  constructor(capacity) {
    this.capacity = capacity;
    /** Messages that were accepted and have not left. */
    this.queue = new Queue();
    /** Messages of senders here that were accepted and not taken: what the capacity bounds. */
    this.held = 0;
    /** Sends that wait for room; with capacity 0, for a receive. */
    this.sends = new Queue();
    /** Messages that this step has accepted. */
    this.admitted = [];
    /** Receives that wait. */
    this.receives = new Queue();
    this.senders = 0;
    this.receivers = 0;
    this.sources = new Set();
    this.targets = new Set();
    /** How it ends, once no more will be sent: {scope, code, text}. What was accepted goes out first. */
    this.ending = null;
    /** The error of a sender that has ended while others go on. */
    this.failed = null;
    /** Why nobody receives any more. */
    this.gone = null;
    this.goneListeners = [];
    this.localTurn = true;
  }

  // ---- sending

  /** Accepts a message when there is room; with capacity 0, when it was taken. The promise is its parcel's. */
  offer(parcel) {
    const refusal = this.refusal();
    if (refusal) {
      parcel.fail(refusal);
      return;
    }
    this.sends.push(parcel);
    wake(this);
  }

  /** Why no message is accepted any more, or null. */
  refusal() {
    if (this.gone) return closedError(this.gone);
    if (this.ending) return new Closed(true);
    const leaving = this.receivers === 0 && this.targets.size > 0 && [...this.targets].every((leg) => leg.leaving);
    return leaving ? closedError({ code: Code.SESSION_CLOSED, text: '' }) : null;
  }

  /** Withdraws a send that waits. */
  withdraw(parcel) {
    return this.sends.remove(parcel);
  }

  /** A message is no longer held here. */
  release(parcel) {
    if (!parcel.held) return;
    parcel.held = false;
    this.held--;
    wake(this);
  }

  // ---- receiving

  /** Waits for a message: `{resolve, reject}` gets it, null at the clean end, or the error. */
  receive(waiter) {
    if (this.gone) return waiter.resolve(null);
    this.receives.push(waiter);
    wake(this);
  }

  /** Gives up a receive that waits. */
  giveUp(waiter) {
    const found = this.receives.remove(waiter);
    if (found) wake(this);
    return found;
  }

  // ---- holds and legs

  addHold(sending) {
    if (sending) this.senders++;
    else this.receivers++;
  }

  /** A fault of one sender sticks: receivers see the first, behind everything that was sent. */
  dropHold(sending, why = CLEAN) {
    const reason = { scope: 0, code: why.code, text: why.text };
    if (sending) {
      this.senders--;
      if (why.code !== Code.NONE) this.failed ??= reason;
    } else if (--this.receivers === 0 && this.targets.size === 0) {
      this.cancel(reason);
    }
    wake(this);
  }

  addSource(leg) {
    this.sources.add(leg);
    wake(this);
  }

  addTarget(leg) {
    this.targets.add(leg);
    wake(this);
  }

  /** A remote receiver is gone. With scope 1 it speaks for all. */
  targetGone(leg, reason) {
    this.targets.delete(leg);
    if (reason.scope === 1 || (this.receivers === 0 && this.targets.size === 0)) this.cancel(reason);
    wake(this);
  }

  /** Whether an end that is about to travel is the only receiver, so that messages may wait there. */
  isSoleReceiver() {
    const demand = [...this.sources].some((leg) => leg.end.servesDemand);
    return this.capacity > 0 && this.receivers === 1 && this.targets.size === 0 && !demand;
  }

  /** How many receives wait, here and behind targets. */
  get demand() {
    let demand = this.receives.length;
    for (const leg of this.targets) demand += leg.demand;
    return demand;
  }

  // ---- the ends

  /** No more is sent, by anybody; what was accepted goes out first. */
  close(reason) {
    if (this.ending || this.gone) return;
    this.#endSending(reason);
    wake(this);
  }

  #endSending(reason) {
    this.ending = reason;
    for (const parcel of this.sends.drain()) parcel.fail(new Closed(true));
    for (const leg of this.sources) {
      for (let parcel; (parcel = leg.next());) this.queue.push(parcel);
      leg.end.cancel({ scope: 1, code: Code.CLOSED, text: '' });
      leg.session.touch();
    }
    this.sources.clear();
    if (reason.scope === 1) this.#tellListeners(new Closed(true));
  }

  /** Nobody receives any more; what waits is dropped. */
  cancel(reason) {
    if (this.gone) return;
    this.gone = reason;
    for (const parcel of this.sends.drain()) parcel.fail(closedError(reason));
    for (const parcel of this.queue.drain()) parcel.drop();
    for (const waiter of this.receives.drain()) waiter.resolve(null);
    for (const leg of this.sources) {
      leg.end.cancel(reason);
      leg.session.touch();
    }
    for (const leg of this.targets) leg.finish({ ...CLEAN, scope: reason.scope, code: reason.code, text: reason.text });
    this.sources.clear();
    this.targets.clear();
    this.#tellListeners(closedError(reason));
  }

  /** Calls back with the reason when no more messages are accepted. */
  whenGone(listener) {
    if (this.gone) listener(closedError(this.gone));
    else if (this.ending?.scope === 1) listener(new Closed(true));
    else this.goneListeners.push(listener);
  }

  #tellListeners(reason) {
    for (const listener of this.goneListeners.splice(0)) listener(reason);
  }

  // ---- what moves

  /** Moves what can be moved, and ends what has ended. */
  step() {
    if (this.gone) return;
    while (this.#admit() || this.#deliver() || this.#forward());
    // Only now: one that was refused on its way out has failed at its send.
    for (const parcel of this.admitted.splice(0)) parcel.accepted();
    this.#endSources();
    if (this.gone) return;
    if (this.ending && this.#isDrained()) this.#finish();
    const { demand } = this;
    for (const leg of this.sources) leg.want(demand);
  }

  /** Accepts a send that waits, if there is room. */
  #admit() {
    if (this.sends.length === 0 || this.held >= this.capacity) return false;
    const parcel = this.sends.shift();
    this.held++;
    parcel.held = true;
    this.queue.push(parcel);
    this.admitted.push(parcel);
    return true;
  }

  /** Gives a message to a receive that waits here. */
  #deliver() {
    if (this.receives.length === 0) return false;
    const parcel = this.#next();
    if (!parcel) return false;
    const waiter = this.receives.shift();
    this.release(parcel);
    // Who forwards it says itself when it was taken.
    if (!waiter.raw) parcel.taken();
    waiter.resolve(parcel);
    return true;
  }

  /** Gives a message to a remote receiver that may have one. */
  #forward() {
    for (const leg of this.targets) {
      if (!leg.isReady) continue;
      const parcel = this.#next();
      if (!parcel) return false;
      if (!leg.isReadyFor(parcel)) {
        // It goes before all others as soon as there is credit for it.
        this.queue.unshift(parcel);
        continue;
      }
      // Those that compete take turns.
      this.targets.delete(leg);
      this.targets.add(leg);
      leg.forward(parcel);
      return true;
    }
    return false;
  }

  /** The next message: of the senders here and of the sources in turn. */
  #next() {
    this.localTurn = !this.localTurn;
    const local = () => this.queue.shift() ?? (this.capacity === 0 ? this.sends.shift() : undefined);
    return this.localTurn ? local() ?? this.#fromSource() : this.#fromSource() ?? local();
  }

  #fromSource() {
    for (const leg of this.sources) {
      const parcel = leg.next();
      if (!parcel) continue;
      this.sources.delete(leg);
      this.sources.add(leg);
      return parcel;
    }
    return undefined;
  }

  #isDrained() {
    if (this.queue.length > 0 || this.sends.length > 0) return false;
    return [...this.sources].every((leg) => !leg.hasMessages);
  }

  /** Forgets sources that have ended; the last sender to end ends the channel. */
  #endSources() {
    for (const leg of [...this.sources]) {
      const { ended } = leg.end;
      // A fault there does not count while the message that brought its sender may still go to another.
      if (leg.isTentative && ended && ended.code !== Code.NONE) continue;
      if (leg.end.cancelled) this.sources.delete(leg);
      if (leg.left) this.failed ??= leg.left;
      if (!ended || leg.hasMessages) continue;
      this.sources.delete(leg);
      if (leg.isWithdrawn) continue;
      if (ended.scope === 1 && !this.ending) this.#endSending(ended);
      else if (ended.code !== Code.NONE) this.failed ??= ended;
    }
    if (this.senders === 0 && this.sources.size === 0 && !this.ending && this.sends.length === 0) {
      this.ending = this.failed ?? CLEAN;
    }
  }

  #finish() {
    for (const waiter of this.receives.drain()) waiter.end(this.ending);
    for (const leg of [...this.targets]) leg.finish(this.ending);
  }
}
