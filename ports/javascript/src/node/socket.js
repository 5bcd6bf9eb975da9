// A socket of node:net or node:tls as a link.

import { join } from '../protocol/bytes.js';

export class SocketLink {
  #socket;
  #handlers;

  /** `socket` is connected. */
  constructor(socket) {
    this.#socket = socket;
    socket.setNoDelay?.(true);
  }

  start(handlers) {
    this.#handlers = handlers;
    const socket = this.#socket;
    let error;
    socket.on('data', (bytes) => handlers.onData(bytes));
    socket.on('drain', () => handlers.onDrain());
    socket.on('error', (why) => { error = why; });
    socket.on('end', () => handlers.onEnd(error));
    socket.on('close', () => handlers.onEnd(error));
  }

  get isWritable() {
    return this.#socket.writable && !this.#socket.writableNeedDrain;
  }

  write(chunks) {
    this.#socket.write(join(chunks));
  }

  /** Closes after what was written. */
  close() {
    const socket = this.#socket;
    if (socket.destroyed) return;
    // What the peer still says is read and dropped: a socket that is closed with unread bytes resets the link.
    socket.removeAllListeners('data');
    socket.resume();
    socket.end();
    const force = setTimeout(() => socket.destroy(), LINGER);
    socket.once('close', () => clearTimeout(force));
  }

  abort() {
    // Only a plain tcp socket can be reset.
    if (this.#socket.resetAndDestroy && this.#socket.remoteFamily && !this.#socket.encrypted) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }
}

/** How long the peer may take to close its side, in milliseconds. */
const LINGER = 1_000;
