// The types of libchan in Node.

import type { Server } from 'node:http';

import type { DialOptions, Session, SessionOptions } from '../index.js';

export * from '../index.js';

export interface NodeDialOptions extends DialOptions {
  /** For tls and wss: PEM, and for tls `pin`, the server's certificate as `sha256:` and 64 hexadecimal digits. */
  tls?: { ca?: string | Uint8Array; cert?: string | Uint8Array; key?: string | Uint8Array; servername?: string; pin?: string };
  /** For ws and wss: headers of the request. */
  headers?: Record<string, string>;
}

/** Connects to a tcp:, tls:, unix:, ws: or wss: URL. */
export function dial(url: string | URL, options?: NodeDialOptions): Promise<Session>;

export interface ListenOptions extends SessionOptions {
  /** For tls and wss: PEM. With `requestCert` clients need a certificate by `ca`. */
  tls?: { cert: string | Uint8Array; key: string | Uint8Array; ca?: string | Uint8Array; requestCert?: boolean };
  /** For ws and wss: the web origins whose pages may connect; none by default, '*' for all. */
  origins?: string[] | '*';
  /** Looks at a session whose hello is in, and throws to refuse it. */
  authorize?(session: Session): void | Promise<void>;
}

/** Listens at a tcp:, tls:, unix:, ws: or wss: URL. */
export function listen(url: string | URL, options?: ListenOptions): Listener;

/** Sessions by WebSocket at a path of a node:http server that is there already. */
export function upgrade(server: Server, path?: string, options?: ListenOptions): Promise<Listener>;

export class Listener implements AsyncIterable<Session> {
  private constructor();
  /** Resolves with the URL to dial, once it listens; rejects if it cannot. */
  readonly ready: Promise<string>;
  /** The URL to dial, once it listens. */
  readonly url: string;
  /** The next session, or undefined after `close`. `signal` gives up; no session is lost by that. */
  accept(options?: { signal?: AbortSignal }): Promise<Session | undefined>;
  /** Takes no more sessions. Those that were accepted live on. */
  close(): Promise<void>;
  [Symbol.asyncIterator](): AsyncIterator<Session, undefined, undefined>;
}
