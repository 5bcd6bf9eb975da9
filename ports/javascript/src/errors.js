// What can go wrong, one class a cause. The names are those of the Rust library.

import { Code, codeName } from './protocol/codes.js';

/** What all errors of this library are. */
export class LibchanError extends Error {
  get name() {
    return this.constructor.name;
  }
}

// ---- of sending. `value`: what was not accepted; ends in it are good again unless the message had left.

/** The channel takes no more messages: every receiver is gone, or (`bySender`) a sender has closed the channel. */
export class Closed extends LibchanError {
  constructor(bySender = false) {
    super(bySender ? 'a sender closed the channel' : 'every receiver is gone');
    this.bySender = bySender;
  }
}

/** A receiver refused what was still to come, and said why. `code`: the application's, undefined if the protocol said it. */
export class Refused extends LibchanError {
  constructor(wireCode, text) {
    super(`the receiver refused: ${text || codeName(wireCode)}`);
    setCode(this, wireCode, text);
  }
}

/** The link was lost. `outcomeUnknown`: the message had left and may have been taken. */
export class Disconnected extends LibchanError {
  constructor(outcomeUnknown = false) {
    super(outcomeUnknown ? 'the link was lost after the message had left: it may have been taken' : 'the link was lost');
    this.outcomeUnknown = outcomeUnknown;
  }
}

/**
 * The session was closed in good order, by either side, before this was finished. `outcomeUnknown`: the message had left and may
 * have been taken.
 */
export class SessionClosed extends LibchanError {
  constructor(outcomeUnknown = false) {
    super(outcomeUnknown
      ? 'the session was closed after the message had left: it may have been taken'
      : 'the session was closed before this was finished');
    this.outcomeUnknown = outcomeUnknown;
    setCode(this, Code.SESSION_CLOSED, '');
  }
}

/** The value does not encode. */
export class Encode extends LibchanError {}
/** A channel end or stream in the value was sent away already or is in use. */
export class AttachmentInUse extends LibchanError {}
/** A limit of the session would be passed. */
export class Limit extends LibchanError {}

/** The encoded message is longer than the session allows. */
export class TooLarge extends LibchanError {
  constructor(size, limit) {
    super(`the message has ${size} bytes, the session allows ${limit} (max_message)`);
    this.size = size;
    this.limit = limit;
  }
}

/** The value holds more ends and streams than a message may carry. */
export class TooManyAttachments extends LibchanError {
  constructor(count, limit) {
    super(`the message carries ${count} attachments, the session allows ${limit} (max_attachments)`);
    this.count = count;
    this.limit = limit;
  }
}

// ---- of receiving. After a Disconnected, SessionClosed or Remote the channel is over; the others stand for one message.

/** One message did not decode; the next one is unharmed. */
export class Decode extends LibchanError {}
/** In the place of one message that its sender could not encode. */
export class NotEncoded extends LibchanError {}
/** In the place of one message that a relay could not forward. */
export class NotForwarded extends LibchanError {}

/**
 * A sender ended the channel, or the other side a stream, with this error: the application's (`code`), or one that says why the
 * end was cut short (`wireCode`: NOT_DECODED, NOT_DELIVERED, UNCLAIMED, PANICKED, ABANDONED, ...).
 */
export class Remote extends LibchanError {
  constructor(wireCode, text) {
    super(text || MEANINGS[wireCode] || codeName(wireCode));
    setCode(this, wireCode, text);
  }
}

/**
 * A call that came to nothing. `reason` says how: NotSent (with the `value`), TimedOut, Aborted, Decode (the reply is of no use),
 * Remote (the handler's own error), or the name of the code with which the reply channel ended: REFUSED, NOT_DECODED, NOT_DELIVERED,
 * GOING_AWAY, UNCLAIMED, PANICKED, NO_REPLY, ABANDONED, SESSION_CLOSED, DISCONNECTED.
 */
export class CallError extends LibchanError {
  constructor(reason, text, cause) {
    super(`the call failed: ${text}`, { cause });
    this.reason = reason;
    if (cause && 'value' in cause) this.value = cause.value;
  }

  /** Whether no handler can have seen the request, so that asking again cannot do it twice. */
  get isSafeToRetry() {
    return SAFE.has(this.reason);
  }
}

const SAFE = new Set(['NotSent', 'REFUSED', 'NOT_DECODED', 'NOT_DELIVERED', 'GOING_AWAY']);

/** What the codes of ends that were cut short mean, for people. */
const MEANINGS = {
  [Code.GOING_AWAY]: 'the receiver is draining and takes no more',
  [Code.UNCLAIMED]: 'the message was read by a type that has no place for this end',
  [Code.NOT_DECODED]: 'the message that held this end did not decode',
  [Code.NOT_DELIVERED]: 'the message that held this end was dropped unread',
  [Code.PANICKED]: 'the holder of the other end failed',
  [Code.NO_REPLY]: 'it ended without a reply',
  [Code.ABANDONED]: 'the other end was dropped before it was finished',
};

/** The call error for why a request was not accepted. */
export function notSentError(error) {
  const unknown = error.outcomeUnknown === true;
  if (unknown) return new CallError(error instanceof SessionClosed ? 'SESSION_CLOSED' : 'DISCONNECTED', error.message, error);
  return new CallError('NotSent', error.message, error);
}

/** The call error for how a reply channel ended. */
export function noReplyError(error) {
  if (!error) return new CallError('NO_REPLY', MEANINGS[Code.NO_REPLY]);
  if (error instanceof Disconnected) return new CallError('DISCONNECTED', error.message, error);
  if (error instanceof SessionClosed) return new CallError('SESSION_CLOSED', error.message, error);
  if (error instanceof Remote) {
    return new CallError(error.wireCode >= Code.APPLICATION ? 'Remote' : codeName(error.wireCode), error.message, error);
  }
  return new CallError('Decode', error.message, error);
}

// ---- of sessions

/**
 * Why a session is over. `kind`: Closed, HelloTimeout, Incomplete, Link, Lost, NoCommonCodec, PeerClosed, PeerMisbehaved,
 * PeerNotReading, PeerSilent or UnsupportedVersion.
 */
export class SessionError extends LibchanError {
  constructor(kind, text, wireCode = 0) {
    super(text);
    this.kind = kind;
    this.wireCode = wireCode;
  }
}

/** The channel cannot be opened: the session is over or closing. */
export class SessionOver extends LibchanError {}
/** The name and metadata do not fit a frame. */
export class NameTooLong extends LibchanError {}
/** No session came about: nobody listens there, or what listens does not speak libchan. */
export class DialError extends LibchanError {}

function setCode(error, wireCode, text) {
  error.wireCode = wireCode;
  error.code = wireCode >= Code.APPLICATION ? wireCode - Code.APPLICATION : undefined;
  error.text = text;
}

const KINDS = new Map([
  [Code.HELLO_TIMEOUT, 'HelloTimeout'], [Code.NO_COMMON_CODEC, 'NoCommonCodec'], [Code.PEER_SILENT, 'PeerSilent'],
  [Code.PEER_NOT_READING, 'PeerNotReading'], [Code.UNSUPPORTED_VERSION, 'UnsupportedVersion'],
]);

/** The error for how a machine is over. */
export function sessionError({ why, code, text }) {
  switch (why) {
    case 'closed': return new SessionError('Closed', 'the session was closed');
    case 'lost': return new SessionError('Lost', text);
    case 'peer': return new SessionError('PeerClosed', `the peer ended the session: ${text || codeName(code)}`, code);
    default: return new SessionError(KINDS.get(code) ?? 'PeerMisbehaved', `${codeName(code)}: ${text}`, code);
  }
}

/** The error that a sender gets for why nobody receives any more. */
export function closedError({ code, text }) {
  switch (code) {
    case Code.NONE: return new Closed();
    case Code.CLOSED: return new Closed(true);
    case Code.DISCONNECTED: return new Disconnected();
    case Code.SESSION_CLOSED: return new SessionClosed();
    default: return new Refused(code, text);
  }
}

/** The error that a reader gets for how a channel or stream has ended; null for the clean end. */
export function endError({ code, text }) {
  if (code === Code.NONE) return null;
  if (code === Code.SESSION_CLOSED) return new SessionClosed();
  return code === Code.DISCONNECTED ? new Disconnected() : new Remote(code, text);
}

/** An application's code and text as they travel. */
export function applicationReason(code, text) {
  if (!Number.isInteger(code) || code < 0 || code > 0xffff - Code.APPLICATION) {
    throw new RangeError(`an application's code is a whole number from 0 to 65,279, not ${code}`);
  }
  return { scope: 1, code: Code.APPLICATION + code, text: String(text ?? '') };
}
