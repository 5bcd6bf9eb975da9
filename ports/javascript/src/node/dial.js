// Dialing in Node: sockets by node:net and node:tls, WebSockets by the package `ws`.

import { connect as connectNet } from 'node:net';

import { dialWebSocket, establish } from '../dial.js';
import { DialError } from '../errors.js';
import { MAX_MESSAGE, SUBPROTOCOL } from '../websocket.js';
import { SocketLink } from './socket.js';
import { connectTls } from './tls.js';
import { parse } from './url.js';
import { loadWs } from './ws.js';

/**
 * Connects to a tcp:, tls:, unix:, ws: or wss: URL. Options: {metadata, limits, codecs, closeTimeout, signal}; for tls
 * and wss {tls: {ca, pin, cert, key, servername}}; for ws and wss {headers}.
 */
export async function dial(url, options = {}) {
  const { scheme, address, url: parsed } = parse(url);
  options.signal?.throwIfAborted();
  if (scheme === 'ws:' || scheme === 'wss:') return dialWebSocket(parsed.href, options, await maker(options));
  const attempt = new AbortController();
  const connect = () => connected(scheme, address, options, attempt.signal)
    .catch((error) => { throw new Error(`${url}: ${error.message}`, { cause: error }); });
  return establish({ ...options, info: { address: url } }, connect, () => attempt.abort());
}

/** A connected socket as a link. */
async function connected(scheme, address, options, signal) {
  const socket = scheme === 'tls:' ? connectTls(address, options.tls) : connectNet(address);
  signal.addEventListener('abort', () => socket.destroy(new Error('given up')));
  await new Promise((resolve, reject) => {
    socket.once(scheme === 'tls:' ? 'libchan-verified' : 'connect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before it was connected')));
  });
  return new SocketLink(socket);
}

/** What makes a WebSocket here. The package `ws` comes first: it offers no extension and takes headers. */
async function maker({ headers, tls }) {
  const ws = await loadWs();
  if (ws) {
    const settings = { perMessageDeflate: false, maxPayload: MAX_MESSAGE, headers, ...tls };
    return (target) => new ws.WebSocket(target, SUBPROTOCOL, settings);
  }
  if (typeof WebSocket === 'undefined') throw new DialError('this Node has no WebSocket: npm install ws');
  if (headers || tls) throw new DialError('headers and tls options of a WebSocket need the package ws: npm install ws');
  return (target) => new WebSocket(target, SUBPROTOCOL);
}
