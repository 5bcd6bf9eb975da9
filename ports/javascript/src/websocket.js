// A WebSocket as a link (spec/carriers/websocket.md): the platform's, or the package `ws`, which is made like it.

import { join } from './protocol/bytes.js';

/** What the dialer offers and the acceptor selects. */
export const SUBPROTOCOL = 'libchan.v1';
/** The longest message, in bytes. */
export const MAX_MESSAGE = 1_048_576;
/** Above so many buffered bytes the machine keeps its output. */
const HIGH_WATER = 262_144;
/** A WebSocket does not say when its buffer has emptied: it is looked at every so many milliseconds. */
const POLL = 10;

/** Close codes: for people and proxies. A browser may send 1000 and those from 3000 on. */
const NORMAL = 1000;

export class WebSocketLink {
  #socket;
  #handlers;
  #poll;
  /** What came before `start`. */
  #early = [];

  /** `socket` is open. */
  constructor(socket) {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event) => this.#early.push(event);
    socket.onclose = () => {};
  }

  start(handlers) {
    this.#handlers = handlers;
    const socket = this.#socket;
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') this.#end(1002, 'a text message');
      else if (data.byteLength > MAX_MESSAGE) this.#end(1009, 'a message of more than 1 MiB');
      else if (data.byteLength > 0) handlers.onData(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => this.#ended(new Error(`the WebSocket was closed: ${code} ${reason}`.trim()));
    socket.onerror = () => {};
    for (const event of this.#early.splice(0)) socket.onmessage?.(event);
    if (socket.readyState > 1) this.#ended(new Error('the WebSocket was closed'));
  }

  get isWritable() {
    const waits = this.#socket.bufferedAmount > HIGH_WATER;
    if (waits) this.#poll ??= setInterval(() => this.#look(), POLL);
    return !waits;
  }

  #look() {
    if (!this.isWritable) return;
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#handlers.onDrain();
  }

  /** Small chunks share a message; none is longer than it may be. */
  write(chunks) {
    let batch = [];
    let size = 0;
    const flush = () => {
      if (size > 0 && this.#socket.readyState === 1) this.#socket.send(join(batch));
      batch = [];
      size = 0;
    };
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += MAX_MESSAGE) {
        const part = chunk.subarray(at, at + MAX_MESSAGE);
        if (size + part.length > MAX_MESSAGE) flush();
        batch.push(part);
        size += part.length;
      }
    }
    flush();
  }

  #ended(error) {
    clearInterval(this.#poll);
    this.#handlers.onEnd(error);
  }

  /** Ends the link because of what the peer did with the WebSocket. */
  #end(code, text) {
    this.#socket.onmessage = null;
    this.#close(code, text);
    this.#ended(new Error(`the peer sent ${text}`));
  }

  /** Closes after what was written. */
  close(why) {
    clearInterval(this.#poll);
    this.#close(why === 'closed' ? NORMAL : 1001, '');
  }

  abort() {
    clearInterval(this.#poll);
    this.#socket.onmessage = null;
    if (this.#socket.terminate) this.#socket.terminate();
    else this.#close(NORMAL, '');
  }

  #close(code, text) {
    try {
      this.#socket.close(code, text);
    } catch {
      // A browser lets pages say nothing but 1000 and codes from 3000 on.
      this.#socket.close(code < 3000 ? 3000 + code % 1000 : NORMAL, text);
    }
  }
}

/** Resolves with the link when the socket is open and the other side has selected our subprotocol. */
export function opened(socket, url) {
  return new Promise((resolve, reject) => {
    let cause;
    socket.onerror = (event) => { cause = event.error; };
    socket.onclose = ({ code }) => {
      const why = cause?.message || `closed with ${code} before it was open`;
      reject(Object.assign(new Error(`${url}: no WebSocket: ${why}`), { cause }));
    };
    socket.onopen = () => {
      if (socket.protocol === SUBPROTOCOL) return resolve(new WebSocketLink(socket));
      socket.close();
      reject(new Error(`${url}: a WebSocket, but not one of libchan: the subprotocol ${SUBPROTOCOL} was not selected`));
    };
  });
}
