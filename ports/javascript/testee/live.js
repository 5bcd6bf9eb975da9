// The live verbs: sessions over real links, and what is held of them, by number.

import { readFile } from 'node:fs/promises';

import {
  AttachmentInUse, ByteStream, Closed, Decode, Disconnected, Encode, Incoming, Limit, NotEncoded, NotForwarded, Receiver,
  Refused, Remote, Sender, SessionClosed, SessionError, TooLarge, TooManyAttachments, copy, dial, listen, pipe,
} from '../src/node/index.js';
import { Code, codeName } from '../src/protocol/codes.js';
import { RecvEnd } from '../src/protocol/receiving.js';
import { SendEnd } from '../src/protocol/sending.js';
import { metadataFromJson, metadataToJson } from './frames.js';
import { overToJson } from './machine.js';
import { Refusal, hex, unhex } from './refusal.js';
import { valueFromJson, valueToJson } from './values.js';

const KINDS = { sender: Sender, receiver: Receiver, stream: ByteStream };

/** The name of an error in the testee's protocol. */
function refusalOf(error) {
  const name = [
    [Disconnected, 'DISCONNECTED'], [SessionClosed, 'SESSION_CLOSED'],
    [AttachmentInUse, 'IN_USE'], [Encode, 'ENCODE'], [Decode, 'DECODE'], [Limit, 'LIMIT'],
    [TooLarge, 'TOO_LARGE'], [TooManyAttachments, 'TOO_MANY_ATTACHMENTS'], [NotEncoded, 'NOT_ENCODED'],
    [NotForwarded, 'NOT_FORWARDED'],
  ].find(([type]) => error instanceof type)?.[1];
  if (name) return new Refusal(name, error.message);
  const said = { code: error.wireCode, text: error.text };
  if (error instanceof Closed) return error.bySender ? new Refusal('CLOSED') : new Refusal('CANCELLED', '', { code: 0 });
  if (error instanceof Refused) return new Refusal('REFUSED', '', said);
  if (error instanceof Remote) return new Refusal('ENDED_WITH', '', said);
  if (error instanceof SessionError) {
    const kinds = { Closed: 'CLOSED', Lost: 'DISCONNECTED' };
    return new Refusal(kinds[error.kind] ?? codeName(error.wireCode), error.message);
  }
  return error instanceof Refusal ? error : new Refusal('IO', error.message);
}

/** An application's code, from the wire's. */
function applicationCode({ code = 0 }) {
  if (code < Code.APPLICATION) throw new Refusal('NOT_SUPPORTED', `code ${code}, which is the protocol's own`);
  return code - Code.APPLICATION;
}

class Live {
  held = new Map();
  next = 1;
  sessions = new Set();
  /** Requests that wait, by number: how each is given up. */
  waiting = new Map();

  hold(thing) {
    this.held.set(this.next, thing);
    return this.next++;
  }

  /** What is held under a number that stands in the request under the name of its kind. */
  get(request, kind) {
    const thing = this.held.get(request[kind]);
    if (thing === undefined) throw new Refusal('NO_SUCH_HANDLE', `${kind} ${request[kind]}`);
    return thing;
  }

  /** A receiver; a channel that waits to be accepted is accepted by its first use. */
  receiver(request) {
    const thing = this.get(request, 'receiver');
    if (!(thing instanceof Incoming)) return thing;
    const receiver = thing.receive();
    this.held.set(request.receiver, receiver);
    return receiver;
  }

  end(request) {
    return 'sender' in request ? this.get(request, 'sender') : this.receiver(request);
  }

  /** A value from its JSON. `used` gets the numbers of what is in it. */
  value(json, used) {
    return valueFromJson(json, (named) => {
      const [kind, number] = Object.entries(named)[0];
      if (!(kind in KINDS)) return undefined;
      used.push(number);
      return kind === 'receiver' ? this.receiver(named) : this.get(named, kind);
    });
  }

  toJson(value) {
    return valueToJson(value, (thing) => {
      const kind = Object.keys(KINDS).find((name) => thing instanceof KINDS[name]);
      return kind && { [kind]: this.hold(thing) };
    });
  }

  session(session) {
    this.sessions.add(session);
    session.closed.then(() => this.sessions.delete(session));
    return { session: this.hold(session), metadata: metadataToJson([...session.metadata]) };
  }

  /** Waits for something that can be given up. */
  async wait(n, does) {
    const attempt = new AbortController();
    const done = does(attempt.signal);
    // Given up only if that is what came of it: a value may be on its way out already.
    const outcome = done.then(() => false, (error) => error === attempt.signal.reason);
    this.waiting.set(n, { attempt, outcome });
    try {
      return await done;
    } catch (error) {
      if (await outcome) throw new Refusal('GIVEN_UP');
      throw error;
    } finally {
      this.waiting.delete(n);
    }
  }
}

/** Options of a session, from those of a request. */
function optionsOf({ metadata, codecs, hello }) {
  const known = new Set(['msgpack', 'json', 'raw']);
  const unknown = codecs?.find((name) => !known.has(name));
  if (unknown) throw new Refusal('NOT_SUPPORTED', `the codec ${unknown}`);
  return { metadata: new Map(metadataFromJson(metadata)), codecs, limits: hello };
}

function liveOf(live) {
  return {
    async listen({ url, tls, ...request }) {
      const pem = tls && { cert: await readFile(tls.cert), key: await readFile(tls.key) };
      const listener = listen(url, { ...optionsOf(request), tls: pem });
      await listener.ready;
      return { listener: live.hold(listener), url: listener.url };
    },
    async accept(request, n) {
      const listener = live.get(request, 'listener');
      const session = await live.wait(n, (signal) => listener.accept({ signal }));
      if (!session) throw new Refusal('CLOSED');
      return live.session(session);
    },
    dial: async ({ url, tls, ...request }) => live.session(await dial(url, { ...optionsOf(request), tls })),
    open(request) {
      const { name, capacity, metadata } = request;
      const sender = live.get(request, 'session').open(name, { capacity, metadata: new Map(metadataFromJson(metadata)) });
      return { sender: live.hold(sender) };
    },
    async incoming(request) {
      const session = live.get(request, 'session');
      const incoming = await session.accept();
      if (incoming) {
        return { name: incoming.name, metadata: metadataToJson([...incoming.metadata]), receiver: live.hold(incoming) };
      }
      await session.closed;
      return { over: overToJson(session.machine.over) };
    },
    refuse(request) {
      live.get(request, 'receiver').refuse(applicationCode(request), request.text ?? '');
      live.held.delete(request.receiver);
      return {};
    },
    pipe({ capacity }) {
      const [sender, receiver] = pipe({ capacity });
      return { sender: live.hold(sender), receiver: live.hold(receiver) };
    },
    stream() {
      const [stream, other] = ByteStream.pair();
      return { stream: live.hold(stream), other: live.hold(other) };
    },
    clone(request) {
      const kind = 'sender' in request ? 'sender' : 'receiver';
      return { [kind]: live.hold(live.end(request).clone()) };
    },
    async send(request, n) {
      const used = [];
      const sender = live.get(request, 'sender');
      const value = live.value(request.value, used);
      await live.wait(n, (signal) => sender.send(value, { signal }));
      for (const number of used) live.held.delete(number);
      return {};
    },
    async recv(request, n) {
      const receiver = live.receiver(request);
      const value = await live.wait(n, (signal) => receiver.recv({ signal }));
      return value === undefined ? { end: true } : { value: live.toJson(value) };
    },
    async read(request) {
      const bytes = await live.get(request, 'stream').read(Math.max(request.max ?? 1, 1));
      return bytes ? { payload: hex(bytes) } : { end: true };
    },
    async write(request) {
      try {
        await live.get(request, 'stream').write(unhex(request.payload));
      } catch (error) {
        // Nobody reads it any more, with an error or without.
        if (error instanceof Remote || error instanceof Closed || error instanceof AttachmentInUse) throw new Refusal('CLOSED', error.message);
        throw error;
      }
      return {};
    },
    finish(request) {
      live.get(request, 'stream').end();
      return {};
    },
    close(request) {
      live.end(request).close();
      return {};
    },
    close_with(request) {
      live.end(request).closeWith(applicationCode(request), request.text ?? '');
      return {};
    },
    async drop(request) {
      const [kind] = Object.keys(request);
      const thing = live.get(request, kind);
      live.held.delete(request[kind]);
      if (thing instanceof Incoming) thing.refuse();
      else if (thing.drop) thing.drop();
      else await thing.close();
      return {};
    },
    async copy(request) {
      const [receiver, sender] = [live.receiver(request), live.get(request, 'sender')];
      live.held.delete(request.receiver);
      live.held.delete(request.sender);
      await copy(receiver, sender);
      return {};
    },
    async give_up({ request }) {
      const waiting = live.waiting.get(request);
      waiting?.attempt.abort();
      return { given_up: await waiting?.outcome ?? false };
    },
    async leave(request) {
      const session = live.get(request, 'session');
      live.held.delete(request.session);
      const error = await session.close();
      if (error) throw error;
      return {};
    },
    async drain(request) {
      const session = live.get(request, 'session');
      live.held.delete(request.session);
      const error = await session.drain({ within: request.within ?? 0 });
      if (error) throw error;
      return {};
    },
    async going(request) {
      await live.get(request, 'session').going;
      return {};
    },
    abort(request) {
      live.get(request, 'session').abort();
      live.held.delete(request.session);
      return {};
    },
    stats() {
      const ends = [...live.sessions].flatMap((session) => session.machine.ids.all());
      const channels = ends.filter((end) => end instanceof SendEnd || end instanceof RecvEnd).length;
      return { sessions: live.sessions.size, channels, streams: ends.length - channels, descriptors: null, tasks: null };
    },
    fd() {
      throw new Refusal('NOT_SUPPORTED', 'descriptors');
    },
  };
}

/** The verbs, with errors by the names of the testee's protocol. */
export function liveVerbs() {
  const verbs = Object.entries(liveOf(new Live()));
  return Object.fromEntries(verbs.map(([name, verb]) => [name, async (request, n) => {
    try {
      return await verb(request, n);
    } catch (error) {
      throw refusalOf(error);
    }
  }]));
}
