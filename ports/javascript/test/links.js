// Links in memory, and sessions over them: no socket, no waiting.

import { Session } from '../src/session.js';

/** Two links that carry bytes to each other, in order, each chunk in a turn of its own. */
export function links({ cut } = {}) {
  const ends = [0, 1].map(() => ({
    isWritable: true,
    open: true,
    start(handlers) { this.handlers = handlers; },
  }));
  ends.forEach((end, at) => {
    const other = ends[1 - at];
    const later = (does) => setImmediate(() => { if (other.handlers) does(); });
    end.write = (chunks) => {
      for (const chunk of chunks) {
        const parts = cut ? cut(chunk) : [chunk];
        for (const part of parts) later(() => other.open && other.handlers.onData(part.slice()));
      }
    };
    end.close = () => {
      if (!end.open) return;
      later(() => { other.handlers.onEnd(); });
      setImmediate(() => { end.open = false; });
    };
    end.abort = () => {
      end.open = false;
      later(() => { other.handlers.onEnd(new Error('reset')); });
    };
  });
  return ends;
}

/** Two sessions face to face: `[dialer, acceptor]`. */
export async function sessions({ dialer, acceptor, ...options } = {}) {
  const [a, b] = links(options);
  const made = [new Session(a, 'dialer', { ...options, ...dialer }), new Session(b, 'acceptor', { ...options, ...acceptor })];
  return Promise.all(made.map(({ ready }) => ready));
}

/** A named channel over a new pair of sessions: its sender and receiver. */
export async function channel(options = {}) {
  const [dialer, acceptor] = await sessions(options);
  const tx = dialer.open('channel', { capacity: options.capacity });
  const rx = (await acceptor.accept()).receive();
  return { dialer, acceptor, tx, rx };
}

/** Lets everything that is on its way arrive. */
export async function settle() {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => { setImmediate(resolve); });
}

/** Whether a promise is settled by now. */
export async function isPending(promise) {
  await settle();
  const pending = Symbol('pending');
  return await Promise.race([promise.then(() => 0, () => 0), Promise.resolve(pending)]) === pending;
}
