// The types of libchan for browsers; `libchan/node` adds its own.

/** What `open`, `dial` and hellos take as metadata: text or bytes by key. */
export type MetadataInput = Record<string, string | Uint8Array> | Map<string, string | Uint8Array>;

/** What the other side has said: keys and their bytes. */
export class Metadata extends Map<string, Uint8Array> {
  /** A value as text, or undefined if there is none. */
  text(key: string): string | undefined;
}

export interface PipeOptions {
  /** How many messages the channel holds; 64. With 0 a send completes when a receiver has taken the message. */
  capacity?: number;
}

/** A channel: `[sender, receiver]`. */
export function pipe<T = any>(options?: PipeOptions): [Sender<T>, Receiver<T>];

/**
 * Forwards every message from one channel to the other without decoding it, attachments included, until the first ends;
 * says how many. Takes both handles over.
 */
export function copy<T>(receiver: Receiver<T>, sender: Sender<T>): Promise<number>;

/** A channel for one value: the sender stands in a request, and what comes back is taken by the other. */
export function oneshot<T = any>(): [Sender<T>, Reply<T>];

/** The receiving side of a oneshot: it takes one value and then cancels the channel. */
export class Reply<T = any> {
  private constructor();
  /**
   * The value. Rejects with a CallError if the channel ends without one, however cleanly; with the signal's reason at an abort,
   * after which no value is taken any more.
   */
  value(options?: { signal?: AbortSignal }): Promise<T>;
  /** Takes no reply any more: the sender's `closed()` resolves. */
  drop(): void;
}

export interface CallOptions {
  /** Gives the call up after so many milliseconds. */
  within?: number;
  /** Gives the call up. */
  signal?: AbortSignal;
}

declare abstract class End {
  /** How many messages the channel holds. */
  readonly capacity: number;
  /** Another handle of the same end: it lives on when this one is dropped or sent away. */
  clone(): this;
  /**
   * Gives up this handle. The last one of a side ends that side, cleanly; one that is only forgotten ends as ABANDONED when the
   * garbage collector finds it.
   */
  drop(): void;
  /** Whether both are ends of one channel. */
  isSameChannel(other: Sender<any> | Receiver<any>): boolean;
  /** Ends the channel for everybody. */
  close(): void;
  /** The same with an error, which the other side gets. `code`: the application's, 0 to 65,279. */
  closeWith(code: number, text?: string): void;
}

/** The sending end of a channel. May stand anywhere inside a value that is sent: then it goes with it. */
export class Sender<T = any> extends End {
  protected constructor();
  /**
   * Done when the channel has room for the value, with capacity 0 when a receiver has taken it. Rejects with why it was
   * not accepted; `value` of that error is the value, with its ends good again.
   */
  send(value: T, options?: { signal?: AbortSignal }): Promise<void>;
  /**
   * Sends a request and waits for its one reply: `make(reply)` gives the request with the sender for the reply in it. Rejects with
   * a CallError. When it is given up, the handler's `reply.closed()` resolves.
   *
   *     const length = await jobs.call((reply) => ({ text, reply }), { within: 1_000 });
   */
  call<R = any>(make: (reply: Sender<R>) => T, options?: CallOptions): Promise<R>;
  /**
   * Takes the place of this handle, which is spent, and ends cleanly by `finish()` alone: for what must not look complete before
   * it is.
   */
  mustFinish(): MustFinish<T>;
  /** Whether no more messages are accepted. */
  readonly isClosed: boolean;
  /** Resolves with the reason when no more messages are accepted. */
  closed(): Promise<Closed | Refused | Disconnected | SessionClosed>;
}

/**
 * A sender whose end must not look complete before it is. Dropped without `finish()`, or forgotten, its receiver gets Remote ABANDONED
 * (42) behind what was sent, once all other senders have ended. Sent in a message it arrives as a `Sender`.
 */
export class MustFinish<T = any> extends Sender<T> {
  private constructor();
  /** All was sent: gives this handle up, and says that it has ended cleanly. Throws AttachmentInUse if it was given up before. */
  finish(): void;
  /** Gives it up unfinished. */
  drop(): void;
}

/** The receiving end of a channel. May stand anywhere inside a value that is sent: then it goes with it. */
export class Receiver<T = any> extends End implements AsyncIterable<T> {
  private constructor();
  /**
   * The next value, or undefined at the clean end. Rejects with Decode, NotEncoded or NotForwarded in the place of one
   * message, after which the channel goes on; with Disconnected, SessionClosed or Remote at its end. An abort loses no message.
   */
  recv(options?: { signal?: AbortSignal }): Promise<T | undefined>;
  /** Takes a value whenever the loop asks for one. Leaving the loop does not close the channel. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined>;
}

/** A two-way pipe of bytes with half-close. May stand anywhere inside a value that is sent: then it goes with it. */
export class ByteStream implements AsyncIterable<Uint8Array> {
  private constructor();
  /** Two ends of one stream: what one writes, the other reads. */
  static pair(): [ByteStream, ByteStream];
  /** A stream from which these bytes are read. */
  static from(
    source: string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>
      | Iterable<Uint8Array | string>,
  ): ByteStream;
  /** The next bytes, at most `max`, or null at the clean end. Rejects with Disconnected, SessionClosed or Remote at another. */
  read(max?: number): Promise<Uint8Array | null>;
  /** Done when all of it has left or is buffered within the stream's window. */
  write(data: string | ArrayBuffer | ArrayBufferView): Promise<void>;
  /** Writes no more: the other side reads the clean end behind what was written. Reading goes on. */
  end(): void;
  /** Reads no more; writing goes on. */
  stop(): void;
  /** Gives the stream up. Without `end()` before, the other side reads what was written and then Remote ABANDONED. */
  close(): void;
  /** Ends both directions with an error for the other side. `code`: the application's, 0 to 65,279. */
  closeWith(code: number, text?: string): void;
  /** What arrives, as a stream of the platform that is filled on demand. Cancelling it is `stop`. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What is written, as a stream of the platform with backpressure. Closing it is `end`. */
  readonly writable: WritableStream<Uint8Array | string>;
  /** All that is still to be read. It is as much as the other side likes. */
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined, undefined>;
}

/** The limits of a hello (spec/9-limits.md); of two sides' the smaller holds. */
export interface Limits {
  max_frame: number;
  max_message: number;
  max_attachments: number;
  max_channels: number;
  max_pending_accepts: number;
  initial_window: number;
  stream_window: number;
  session_memory: number;
}

export type CodecName = 'msgpack' | 'json' | 'raw';

export interface SessionOptions {
  /** What this side says of itself: this is where a browser's credentials go, never into the URL. */
  metadata?: MetadataInput;
  limits?: Partial<Limits>;
  /** The preferred one first; of two lists the dialer's order holds. */
  codecs?: CodecName[];
  /** How long a close waits for what was accepted, and then for the peer's goodbye, in milliseconds; 5,000. */
  closeTimeout?: number;
}

export interface DialOptions extends SessionOptions {
  /** Gives the attempt up. */
  signal?: AbortSignal;
}

/** Connects to a `ws:` or `wss:` URL; a URL without a path means `/libchan/v1`. */
export function dial(url: string | URL, options?: DialOptions): Promise<Session>;

/** A connection that carries channels, in both directions. */
export class Session implements AsyncIterable<Incoming> {
  private constructor();
  /** Resolves when the peer drains, or the session is over: time to send requests elsewhere. */
  readonly going: Promise<void>;
  /**
   * Resolves when the session is over: with undefined if both sides have said goodbye, else with the error. Its kind is Incomplete
   * if they have, and not all that was accepted here had reached the peer's library.
   */
  readonly closed: Promise<SessionError | undefined>;
  /** What the peer says of itself, credentials among it. */
  readonly metadata: Metadata;
  /** The limits in force. */
  readonly limits: Limits;
  /** What the carrier knows of the peer. */
  readonly info: { address?: string; headers?: Record<string, string | string[] | undefined> };
  /** Opens a named channel to the peer. No round trip: messages may follow at once. */
  open<T = any>(name: string, options?: PipeOptions & { metadata?: MetadataInput }): Sender<T>;
  /** The next named channel that the peer has opened, or undefined when none will come any more: it is over, or drains. */
  accept(): Promise<Incoming | undefined>;
  /**
   * Sends what was accepted, says goodbye and waits for the peer's. What is unfinished then ends as SessionClosed on both sides; the
   * peer learns which messages were taken. Resolves as `closed` does.
   */
  close(): Promise<SessionError | undefined>;
  /**
   * Takes no more requests, and closes: the named channels that are received here end, their senders see GOING_AWAY (36), and what
   * nobody has taken comes back to them as not delivered. What was taken may be answered, for so many milliseconds (`within`); what
   * is unfinished then ends as SessionClosed. Resolves as `closed` does.
   */
  drain(options: { within: number }): Promise<SessionError | undefined>;
  /**
   * Resolves when the peer's library has all that was accepted here before the call, what waits for credit included. It says nothing
   * of the application there. Rejects with the SessionError if the session is over before.
   */
  flush(): Promise<void>;
  /** Ends the session with an error for the peer. `code`: the application's, 0 to 65,279. */
  closeWith(code: number, text?: string): Promise<void>;
  /** Drops the link without a goodbye. */
  abort(): void;
  [Symbol.asyncIterator](): AsyncIterator<Incoming, undefined, undefined>;
}

/** A named channel that the peer has opened. */
export class Incoming {
  private constructor();
  readonly name: string;
  readonly capacity: number;
  readonly metadata: Metadata;
  /** Accepts the channel. */
  receive<T = any>(): Receiver<T>;
  /** Refuses the channel; its sender gets this. */
  refuse(code?: number, text?: string): void;
}

/** What all errors of this library are. */
export class LibchanError extends Error {}
/** Errors of sending have what was not accepted. */
export interface Unsent { value?: any }
/** Every receiver is gone, or a sender has closed the channel. */
export class Closed extends LibchanError { readonly bySender: boolean }
export interface Closed extends Unsent {}
/** A receiver refused what was still to come, and said why. `code`: the application's, if it was the application. */
export class Refused extends LibchanError { readonly code: number | undefined; readonly wireCode: number; readonly text: string }
export interface Refused extends Unsent {}
/** The link was lost. `outcomeUnknown`: the message had left and may have been taken. */
export class Disconnected extends LibchanError { readonly outcomeUnknown: boolean }
export interface Disconnected extends Unsent {}
/** A session was closed in good order before this was finished. `outcomeUnknown`: the message had left and may have been taken. */
export class SessionClosed extends LibchanError { readonly outcomeUnknown: boolean; readonly wireCode: number; readonly text: string }
export interface SessionClosed extends Unsent {}
/** The value does not encode. */
export class Encode extends LibchanError {}
export interface Encode extends Unsent {}
/** A channel end or stream was sent away already, dropped, or is in use. */
export class AttachmentInUse extends LibchanError {}
export interface AttachmentInUse extends Unsent {}
/** A limit of the session would be passed. */
export class Limit extends LibchanError {}
export interface Limit extends Unsent {}
export class TooLarge extends LibchanError { readonly size: number; readonly limit: number }
export interface TooLarge extends Unsent {}
export class TooManyAttachments extends LibchanError { readonly count: number; readonly limit: number }
export interface TooManyAttachments extends Unsent {}
/** One message did not decode; the next one is unharmed. */
export class Decode extends LibchanError {}
/** In the place of one message that its sender could not encode. */
export class NotEncoded extends LibchanError {}
/** In the place of one message that a relay could not forward. */
export class NotForwarded extends LibchanError {}
/**
 * A sender ended the channel, or the other side a stream, with this error. `code`: the application's. Without it `wireCode` says why
 * the end was cut short: 36 GOING_AWAY, 37 UNCLAIMED, 38 NOT_DECODED, 39 NOT_DELIVERED, 40 PANICKED, 41 NO_REPLY, 42 ABANDONED.
 */
export class Remote extends LibchanError { readonly code: number | undefined; readonly wireCode: number; readonly text: string }
/** A call that came to nothing. `cause` is the error behind it. */
export class CallError extends LibchanError {
  /**
   * NotSent: it was not accepted, and `value` is the request. TimedOut, Aborted: it was given up. Remote: the handler's own error.
   * Decode: the reply cannot be read. Else how the reply channel ended.
   */
  readonly reason: 'NotSent' | 'TimedOut' | 'Aborted' | 'Decode' | 'Remote' | 'REFUSED' | 'NOT_DECODED' | 'NOT_DELIVERED'
    | 'GOING_AWAY' | 'UNCLAIMED' | 'PANICKED' | 'NO_REPLY' | 'ABANDONED' | 'SESSION_CLOSED' | 'DISCONNECTED';
  /** Whether no handler can have seen the request, so that asking again cannot do it twice. */
  readonly isSafeToRetry: boolean;
}
export interface CallError extends Unsent {}
/** Why a session is over. */
export class SessionError extends LibchanError {
  readonly kind: 'Closed' | 'HelloTimeout' | 'Incomplete' | 'Lost' | 'NoCommonCodec' | 'PeerClosed' | 'PeerMisbehaved' | 'PeerNotReading'
    | 'PeerSilent' | 'UnsupportedVersion';
  readonly wireCode: number;
}
/** The channel cannot be opened: the session is over or closing. */
export class SessionOver extends LibchanError {}
/** The name and metadata do not fit a frame. */
export class NameTooLong extends LibchanError {}
/** No session came about. */
export class DialError extends LibchanError {}
