// Dialing with what the platform has: a WebSocket.

import { DialError, SessionError } from './errors.js';
import { Session } from './session.js';
import { SUBPROTOCOL, opened } from './websocket.js';

const DEFAULT_PATH = '/libchan/v1';

/** Connects to a `ws:` or `wss:` URL; a URL without a path means `/libchan/v1`. Options as for the session, and `signal`. */
export async function dial(url, options = {}) {
  return dialWebSocket(url, options, (target) => new WebSocket(target, SUBPROTOCOL));
}

/** The same with `make(url)`, which makes the WebSocket. */
export async function dialWebSocket(url, options, make) {
  const target = checkUrl(url, ['ws:', 'wss:']);
  if (target.pathname === '/') target.pathname = DEFAULT_PATH;
  options.signal?.throwIfAborted();
  const socket = make(target.href);
  return establish(options, () => opened(socket, url), () => socket.close());
}

/** A session over a link that `connect` makes, once the peer's hello is in. `give_up` ends the attempt. */
export async function establish(options, connect, giveUp) {
  const { signal } = options;
  let session;
  const abort = () => (session ? session.abort() : giveUp());
  signal?.addEventListener('abort', abort);
  try {
    session = new Session(await connect(), 'dialer', options);
    return await session.ready;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof SessionError) throw error;
    throw new DialError(error.message, { cause: error });
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** The URL, with what is wrong with it said. */
export function checkUrl(url, schemes) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw new TypeError(`${JSON.stringify(String(url))} is no URL; one is ${schemes[0]}//host:port/path`);
  }
  if (!schemes.includes(parsed.protocol)) {
    throw new TypeError(`${parsed.protocol} is not spoken here: there are ${schemes.join(' ')}`);
  }
  if (parsed.username || parsed.password) {
    throw new TypeError('no credentials in a URL: they go into the metadata of the hello');
  }
  return parsed;
}
