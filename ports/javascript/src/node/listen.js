// Listening in Node, by URL.

import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer } from 'node:net';
import { rm } from 'node:fs/promises';

import { Session } from '../session.js';
import { MAX_MESSAGE, SUBPROTOCOL, WebSocketLink } from '../websocket.js';
import { SocketLink } from './socket.js';
import { createTlsServer } from './tls.js';
import { format, parse } from './url.js';
import { loadWs } from './ws.js';

const DEFAULT_PATH = '/libchan/v1';
/** Links whose hello is awaited, at most: more wait in the system's queue or are dropped. */
const MAX_HANDSHAKES = 128;

/**
 * Listens at a tcp:, tls:, unix:, ws: or wss: URL; `for await (const session of listen(url))` gives each session when its
 * hello is in. `listener.url` is known once `await listener.ready`; port 0 is any free port.
 *
 * Options are those of `dial`, and: `tls` {cert, key, ca, requestCert} as PEM; `origins`, the web origins whose pages may
 * connect, '*' for all; `authorize(session)`, which may throw to refuse a session by what its hello says.
 */
export function listen(url, options = {}) {
  return new Listener(url, options);
}

export class Listener {
  #options;
  #server;
  #sessions = [];
  #waiters = [];
  #links = new Set();
  #handshakes = 0;
  #closed = false;

  /** Not for programs: they call `listen` or `upgrade`. */
  constructor(url, options) {
    this.#options = options;
    /** Resolves with the URL to dial, once it listens; rejects if it cannot. */
    this.ready = url === null ? Promise.resolve() : this.#start(parse(url));
    this.ready.catch(() => {});
  }

  /** The next session, or undefined after `close`. `signal` gives up; no session is lost by that. */
  async accept({ signal } = {}) {
    await this.ready;
    signal?.throwIfAborted();
    if (this.#sessions.length > 0) return this.#sessions.shift();
    if (this.#closed) return undefined;
    let abort;
    try {
      return await new Promise((resolve, reject) => {
        this.#waiters.push(resolve);
        abort = () => {
          const at = this.#waiters.indexOf(resolve);
          if (at < 0) return;
          this.#waiters.splice(at, 1);
          reject(signal.reason);
        };
        signal?.addEventListener('abort', abort);
      });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async *[Symbol.asyncIterator]() {
    for (let session; (session = await this.accept());) yield session;
  }

  /** Takes no more sessions. Those that were accepted live on. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter(undefined);
    await this.ready.catch(() => {});
    this.#server?.close();
    for (const abort of this.#links) abort();
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }

  async #start({ scheme, address, url }) {
    const { tls } = this.#options;
    const onSocket = (socket) => this.#begin(new SocketLink(socket), { address: socket.remoteAddress }, () => socket.destroy());
    if (url) return this.#startWebSocket(scheme, url);
    this.#server = scheme === 'tls:' ? createTlsServer(tls, onSocket) : createServer(onSocket);
    if (scheme === 'unix:') await removeDeadSocket(address.path);
    this.#server.listen(address);
    await once(this.#server, 'listening');
    this.url = format(scheme, this.#server.address());
    return this.url;
  }

  async #startWebSocket(scheme, url) {
    const { tls } = this.#options;
    if (scheme === 'wss:' && !(tls?.cert && tls?.key)) throw new TypeError('wss: listening needs the options {tls: {cert, key}}, as PEM');
    this.#server = scheme === 'wss:' ? createHttpsServer({ ...tls, ALPNProtocols: ['http/1.1'] }) : createHttpServer();
    const path = url.pathname === '/' ? DEFAULT_PATH : url.pathname;
    this.#server.on('request', (request, response) => refuse(response, request.url === path ? 426 : 404));
    this.#server.on('upgrade', await this.handler(path));
    this.#server.listen({ host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || (scheme === 'wss:' ? 443 : 80)) });
    await once(this.#server, 'listening');
    this.url = format(scheme, this.#server.address()) + path;
    return this.url;
  }

  /** A listener for the `upgrade` event of a node:http server: WebSockets at `path` become sessions. */
  async handler(path) {
    const ws = await loadWs();
    if (!ws) throw new Error('listening for WebSockets needs the package ws: npm install ws');
    const { WebSocketServer } = ws;
    const server = new WebSocketServer({
      noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE, handleProtocols: () => SUBPROTOCOL,
    });
    return (request, socket, head) => {
      const status = this.#refusal(request, path);
      if (status) return refuseUpgrade(socket, status);
      server.handleUpgrade(request, socket, head, (webSocket) => {
        const info = { address: socket.remoteAddress, headers: request.headers };
        this.#begin(new WebSocketLink(webSocket), info, () => webSocket.terminate());
      });
    };
  }

  /** The status of the refusal of an upgrade, or 0. */
  #refusal({ url, headers }, path) {
    if (url.split('?')[0] !== path) return 404;
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (!offered.includes(SUBPROTOCOL)) return 400;
    const { origins = [] } = this.#options;
    const { origin } = headers;
    return origin === undefined || origins === '*' || origins.includes(origin) ? 0 : 403;
  }

  /** A link that has come in: a session once its hello is there and it is let in. */
  async #begin(link, info, abort) {
    if (this.#handshakes >= MAX_HANDSHAKES || this.#closed) return abort();
    this.#handshakes++;
    this.#links.add(abort);
    try {
      const session = await new Session(link, 'acceptor', { ...this.#options, info }).ready;
      if (await this.#mayEnter(session)) this.#hand(session);
    } catch {
      // Its peer was told why, and there is no session to tell of it.
    } finally {
      this.#handshakes--;
      this.#links.delete(abort);
    }
  }

  async #mayEnter(session) {
    try {
      await this.#options.authorize?.(session);
      return true;
    } catch (error) {
      await session.closeWith(0, error.message);
      return false;
    }
  }

  #hand(session) {
    const waiter = this.#waiters.shift();
    if (waiter) waiter(session);
    else if (this.#closed) session.abort();
    else this.#sessions.push(session);
  }
}

/** Sessions at a path of a node:http server that is there already: gives a Listener. */
export async function upgrade(server, path = DEFAULT_PATH, options = {}) {
  const listener = new Listener(null, options);
  server.on('upgrade', await listener.handler(path));
  return listener;
}

/** The socket file of a server that has died is in the way; that of a living one must stay. */
async function removeDeadSocket(path) {
  const dead = await new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => { probe.destroy(); resolve(false); });
    probe.once('error', ({ code }) => resolve(code === 'ECONNREFUSED'));
  });
  if (dead) await rm(path);
}

function refuse(response, status) {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ status, title: TITLES[status] }));
}

function refuseUpgrade(socket, status) {
  const body = JSON.stringify({ status, title: TITLES[status] });
  socket.end([
    `HTTP/1.1 ${status} ${TITLES[status]}`, 'Content-Type: application/problem+json', 'Connection: close',
    `Content-Length: ${Buffer.byteLength(body)}`, '', body,
  ].join('\r\n'));
}

const TITLES = { 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found', 426: 'Upgrade Required' };
