// Legs: where a channel goes on at the other side of a session. A source brings what a remote sender sends; a target
// carries messages to a remote receiver.

import { Code, LimitError } from './protocol/codes.js';
import { Flag } from './protocol/frames.js';
import { Disconnected, LibchanError, Limit, SessionClosed, TooLarge, TooManyAttachments, closedError } from './errors.js';
import { Queue } from './protocol/queue.js';
import { Parcel } from './parcel.js';
import { wake } from './channel.js';

export class Source {
  /** `end`: the machine's receiving end. */
  constructor(session, end, channel) {
    this.session = session;
    this.end = end;
    this.channel = channel;
    this.wanted = 0;
    /** The message that brought its sender is not taken, and may go to another or back. */
    this.isTentative = false;
    /** It did: what the other side says of the sender is of no account. */
    this.isWithdrawn = false;
    /** Why this side takes no more from it, if it has left the session. */
    this.left = null;
    end.leg = this;
    session.legs.add(this);
  }

  get hasMessages() {
    return this.end.inbox.length > 0;
  }

  /** The oldest message that waits, with what it carries. */
  next() {
    const message = this.end.take();
    if (!message) return undefined;
    const holds = message.attachments.map((attachment) => this.session.adopt(attachment));
    const { codec, flaw, headers, payload } = message;
    return new Parcel({ wire: { codec, flaw, headers, payload, holds, spare: [] }, source: this });
  }

  count(messages, bytes) {
    this.end.count(messages, bytes);
    this.session.touch();
    if (this.end.finished) this.session.legs.delete(this);
  }

  /** This side leaves the session. What its sender has not ended is no clean end here either. */
  leave() {
    this.left = { scope: 0, code: Code.SESSION_CLOSED, text: 'the receiver has closed its session' };
    this.end.cancel(this.left);
    wake(this.channel);
  }

  /** What has become of the message that brought its sender. */
  decide(withdrawn) {
    this.isTentative = false;
    this.isWithdrawn = withdrawn;
    wake(this.channel);
  }

  want(waiting) {
    if (waiting === this.wanted) return;
    this.wanted = waiting;
    this.end.want(waiting);
    this.session.touch();
  }

  onReadable() {
    if (this.end.finished) this.session.legs.delete(this);
    wake(this.channel);
  }

  /** The session is over. What a rendezvous has not handed over is not kept: its sender was told that it failed. */
  onOver() {
    if (this.channel.capacity === 0) {
      for (const message of this.end.inbox.drain()) this.end.machine.reject(message.attachments);
    }
    wake(this.channel);
  }
}

export class Target {
  /** `end`: the machine's sending end. */
  constructor(session, end, channel) {
    this.session = session;
    this.end = end;
    this.channel = channel;
    /** What was sent and is not known to be taken, oldest first. */
    this.untaken = new Queue();
    /** What CLOSE will say once nobody waits to hear that a message was taken. */
    this.finishing = null;
    /** The session is closing: what was accepted goes out, then this ends. */
    this.leaving = false;
    end.leg = this;
    session.legs.add(this);
  }

  get isReady() {
    return !this.finishing && this.end.blocked === '';
  }

  /** Whether this message may go now: a small one waits for all of its byte credit. */
  isReadyFor(parcel) {
    try {
      this.encode(parcel);
    } catch (error) {
      if (!(error instanceof LibchanError)) throw error;
      // It goes no further: `forward` tells its sender, or sends a word in its place.
      return true;
    }
    return this.end.blockedFor(parcel.charge) === '';
  }

  /** Whether something that was accepted, and can go nowhere else, waits here to be sent. */
  get hasUnsent() {
    const { channel, end } = this;
    if (end.large || (this.finishing && !end.closeSent)) return true;
    const elsewhere = channel.receivers > 0 || [...channel.targets].some((leg) => leg !== this);
    if (channel.queue.length > 0 && !elsewhere) return true;
    return [...this.untaken].some((parcel) => parcel.streams.some(({ hold }) => hold.duplex.holds));
  }

  /** Receives that wait there; of one that may hold messages, whether it has room. */
  get demand() {
    if (this.finishing || !this.end.announced) return 0;
    return this.end.demand || (this.end.room > 0 ? 1 : 0);
  }

  /** Encodes a message for this session. Throws what its sender is told. */
  encode(parcel) {
    parcel.encode(this.session.codec);
    const { max_message, max_attachments } = this.session.limits;
    const { payload, holds } = parcel.wire;
    if (payload.length > max_message) throw new TooLarge(payload.length, max_message);
    if (holds.length > max_attachments) throw new TooManyAttachments(holds.length, max_attachments);
  }

  /** Sends a message, or tells its sender why not. Only when `isReady`. */
  forward(parcel) {
    try {
      this.encode(parcel);
      this.#send(parcel);
    } catch (error) {
      if (!(error instanceof LibchanError)) throw error;
      this.#refused(parcel, error);
    }
    this.session.touch();
  }

  /** A sender that still waits gets its value back; otherwise a word stands for the message. */
  #refused(parcel, error) {
    this.channel.release(parcel);
    if (parcel.settle) return parcel.fail(error);
    parcel.spoil(parcel.source ? Flag.NOT_FORWARDED : Flag.NOT_ENCODED, error.message);
    // What it carries is gone, so it always fits.
    this.#send(parcel);
  }

  #send(parcel) {
    const { wire } = parcel;
    // A message that is not taken may go to another receiver, or back to the send that waits for it.
    const keeps = !this.end.sole || this.channel.capacity === 0;
    const bound = this.#bind(wire.holds, keeps);
    this.end.send({ ...wire, headers: wire.headers ?? undefined, attachments: bound.map(({ attach }) => attach) });
    this.untaken.push(parcel);
    parcel.forwarded();
    if (!this.end.sole) this.channel.release(parcel);
    // The bytes of a stream do not move before it is known who has the message.
    if (keeps) parcel.streams = bound.filter(({ isStream }) => isStream);
    for (const { begin, isStream } of bound) if (!keeps || !isStream) begin();
    if (keeps) {
      parcel.sources = bound.map(({ attach }) => attach.leg).filter((leg) => leg instanceof Source);
      for (const leg of parcel.sources) leg.isTentative = true;
      return;
    }
    for (const hold of [...wire.holds, ...wire.spare]) hold.release();
    parcel.wire = { ...wire, payload: wire.payload.subarray(0, 0), holds: [], spare: [] };
    parcel.value = undefined;
    parcel.handles = [];
  }

  #bind(holds, keeps) {
    const bound = [];
    try {
      for (const hold of holds) bound.push(this.session.bind(hold, keeps));
      return bound;
    } catch (error) {
      for (const { attach } of bound) if (!attach.home) this.session.machine.abandon(attach);
      if (!(error instanceof LimitError)) throw error;
      throw new Limit(`an end or stream in the message cannot be opened: ${error.message}`);
    }
  }

  onTaken(messages) {
    for (let i = 0; i < messages; i++) this.#settle(this.untaken.shift());
    if (!this.end.closing) this.#finishIfHeard();
    wake(this.channel);
  }

  /** A message is off our hands. */
  #settle(parcel) {
    if (!parcel) return;
    this.channel.release(parcel);
    parcel.taken();
    parcel.leave();
    for (const hold of [...parcel.wire.holds, ...parcel.wire.spare]) hold.release();
  }

  onWritable() {
    wake(this.channel);
  }

  onCancelled(reason, sessionOver) {
    const { channel, session } = this;
    // One that leaves in good order has said what it has taken; of all others that is not known.
    const lost = sessionOver || reason.code === Code.DISCONNECTED;
    if (sessionOver || reason.code === Code.SESSION_CLOSED) session.farewell.isCut ||= this.hasUnsent || this.end.cutLarge;
    if (reason.code === Code.GOING_AWAY) session.peerIsGoing();
    session.legs.delete(this);
    const left = this.untaken.drain();
    const others = !this.finishing && !lost && reason.scope === 0 && !this.end.sole
      && (channel.receivers > 0 || channel.targets.size > 1);
    // What goes to others is in line again before anybody asks; what is lost is lost when nobody can send any more.
    if (others) {
      for (const parcel of left.reverse()) {
        parcel.comeBack();
        channel.queue.unshift(parcel);
      }
    }
    channel.targetGone(this, reason);
    if (!others) for (const parcel of left) this.#lose(parcel, reason, sessionOver, lost);
    session.touch();
  }

  #lose(parcel, reason, sessionOver, lost) {
    this.channel.release(parcel);
    if (parcel.settle) {
      // A value that goes back is its sender's again: nothing is said of the ends in it.
      parcel.comeBack();
      // A CANCEL has said how many were taken, and this was not one of them.
      if (reason.code === Code.SESSION_CLOSED) parcel.fail(new SessionClosed(sessionOver));
      else parcel.fail(lost ? new Disconnected(true) : closedError(reason));
    } else if (lost) {
      // It may have been taken: that it was not delivered is not known.
      parcel.leave();
      parcel.drop({ code: reason.code, text: reason.text });
    } else {
      parcel.comeBack();
      parcel.drop();
    }
  }

  /** Ends the channel there, behind what was sent. */
  finish(reason) {
    if (this.finishing) return;
    this.finishing = reason;
    this.#finishIfHeard();
  }

  /** CLOSE waits for rendezvous on their way: who is told at once when they are taken would hear nothing behind it. */
  #finishIfHeard() {
    if (!this.finishing || [...this.untaken].some((parcel) => parcel.settle)) return;
    this.end.close(this.finishing);
    this.channel.targets.delete(this);
    this.session.touch();
    // Where our side gave the id, CANCEL says what was taken; elsewhere CLOSE is the last word.
    if (this.end.own && !this.end.finished) return;
    for (const parcel of this.untaken.drain()) this.#settle(parcel);
    this.session.legs.delete(this);
  }
}
