// libchan in Node: everything of `libchan`, and `dial` and `listen` by URL.
//
//     tcp://host:port   tls://host:port   unix:///path.sock   ws://host:port/path   wss://host:port/path

export * from '../index.js';
export { dial } from './dial.js';
export { Listener, listen, upgrade } from './listen.js';
