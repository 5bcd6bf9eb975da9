// libchan for browsers, and what is the same in Node. Node's own carriers are in `libchan/node`.

export { dial } from './dial.js';
export { ByteStream } from './stream.js';
export { MustFinish, Receiver, Reply, Sender, copy, oneshot, pipe } from './ends.js';
export { Incoming, Session } from './session.js';
export { Metadata } from './metadata.js';
export * from './errors.js';
