import { DialOptions, LibchanError, Session } from './index.js';

/** Dials a relay at a `ws:` or `wss:` URL. Rejects with an IrisError: Refused or Local. */
export function connect(url: string | URL, options?: DialOptions): Promise<Connection>;

export interface Given {
  /** Gives it up: it rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface RequestOptions extends Given {
  /** Milliseconds, for all of it. */
  within: number;
  /** For a member where the cluster has none; false: NoMember at once. True. */
  wait?: boolean;
}

export interface SubscribeOptions extends Given {
  /** Events that may wait before further ones are lost; 1,024. */
  events?: number;
  /** Bytes of events that may wait in the relay; 64 MiB. */
  bytes?: number;
}

/** An application's connection to a relay. */
export class Connection {
  /** Over a session that is there already: its other channels are unharmed. */
  constructor(session: Session);
  readonly session: Session;
  /**
   * Asks a member of the cluster, and gives its reply. Value and reply may hold channel ends and byte streams. Rejects with an
   * IrisError. Given up by the signal, it is cancelled wherever it is.
   */
  request<R = any>(cluster: string, value: any, options: RequestOptions): Promise<R>;
  /** Tells every member of the cluster. Done when the relay has room for it; a member that has none loses it. */
  broadcast(cluster: string, value: any, options?: Given): Promise<void>;
  /** Tells every subscription of the topic. Done when the relay has room for it; one that reads too slowly loses it. */
  publish(topic: string, value: any, options?: Given): Promise<void>;
  /** Subscribes to a topic: in force when it resolves. */
  subscribe<T = any>(topic: string, options?: SubscribeOptions): Promise<Subscription<T>>;
  /** Sends what was posted, then leaves the relay. Requests under way end as Lost. */
  close(): Promise<void>;
}

/** What is published under a topic. `drop` unsubscribes; leaving a loop does not. */
export class Subscription<T = any> implements AsyncIterable<T> {
  private constructor();
  readonly topic: string;
  /** How many events were lost because they did not fit, before the last one that was read. */
  readonly lost: number;
  /**
   * The next event; undefined where the subscription was ended. Rejects with an IrisError: NotDecoded (the next one is unharmed), or
   * Lost (the relay is gone). An abort loses nothing.
   */
  next(options?: Given): Promise<T | undefined>;
  drop(): void;
  [Symbol.dispose](): void;
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined>;
}

/** Why a request, post or subscription came to nothing. */
export class IrisError extends LibchanError {
  readonly reason: 'Timeout' | 'Closed' | 'Remote' | 'NoMember' | 'Busy' | 'Lost' | 'Refused' | 'Local' | 'NotDecoded';
  /** What the handler (Remote) or the relay (Refused) said. */
  readonly text: string;
  /** Whether no handler has seen the request, so that asking again cannot run it twice. */
  readonly isSafeToRetry: boolean;
}
