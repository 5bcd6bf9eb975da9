// How a session is left in good order: it takes no more requests and lets what is at work finish (`drain`), then what was
// accepted goes out, then it says goodbye.

import { Code } from './protocol/codes.js';
import { RecvEnd } from './protocol/receiving.js';
import { Source } from './legs.js';
import { wake } from './channel.js';

/** What the peer is told of channels that are received from no more. */
const GOING_AWAY = { scope: 1, code: Code.GOING_AWAY, text: 'the receiver is draining and takes no more' };

export class Farewell {
  #session;
  #machine;
  #closeTimeout;
  #finish;
  #timer;
  /** '', 'draining' (no more requests), 'leaving' (what was accepted goes out), 'said' (goodbye): how far it has got. */
  state = '';
  /** It takes no more requests. */
  drains = false;
  /** Something that was accepted was not handed over. */
  isCut = false;
  /** The named channels of both sides. A drain ends those that are received here, and waits for none. */
  named = new WeakSet();

  /** `finish`: closes the link and tells who waits. `closeTimeout`: for what was accepted, and again for the peer's goodbye. */
  constructor(session, machine, closeTimeout, finish) {
    this.#session = session;
    this.#machine = machine;
    this.#closeTimeout = closeTimeout;
    this.#finish = finish;
  }

  /** Takes no more requests; leaves when what is at work is done, and after so many milliseconds. */
  drain(within) {
    if (this.state || this.#machine.over) return;
    this.state = 'draining';
    this.drains = true;
    this.#setTimer(within, () => this.leave());
    for (const end of this.#machine.ids.all()) {
      if (end instanceof RecvEnd && this.named.has(end)) end.leg.channel.cancel(GOING_AWAY);
    }
    this.#session.touch();
  }

  /** A named channel that the peer opens. True: it is refused, because this side drains. */
  refuses(end) {
    this.named.add(end);
    if (!this.drains) return false;
    end.cancel(GOING_AWAY);
    return true;
  }

  /** Accepts nothing more, and says goodbye once all that was accepted has gone out. */
  leave() {
    if (this.state === 'leaving' || this.state === 'said' || this.#machine.over) return;
    this.state = 'leaving';
    this.#setTimer(this.#closeTimeout, () => this.#late());
    for (const leg of this.#session.legs) {
      leg.leaving = true;
      wake(leg.channel);
    }
    this.#session.touch();
  }

  /** Something has happened: goes on if it can. */
  step() {
    const { peer, over, ids } = this.#machine;
    if (!peer || over) return;
    if (this.state === 'draining' && [...ids.all()].every((end) => this.named.has(end))) this.leave();
    if (this.state === 'leaving' && this.isFlushed) this.#sayGoodbye();
  }

  /** Whether all that was accepted has been given to the machine. */
  get isFlushed() {
    const { legs, streams } = this.#session;
    return ![...legs].some((leg) => leg.hasUnsent) && [...streams].every((stream) => stream.isDrained);
  }

  /** A goodbye with an error is on its way, or none is said: nothing is waited for. */
  skip() {
    this.state = 'said';
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #setTimer(milliseconds, does) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(does, milliseconds);
  }

  #late() {
    if (this.state === 'said') return this.#finish();
    this.isCut = true;
    this.#sayGoodbye({ atOnce: true });
    this.#session.touch();
  }

  #sayGoodbye(how) {
    // The peer learns what was taken: what it sent beyond that was not delivered.
    for (const leg of [...this.#session.legs]) {
      if (leg instanceof Source && !leg.end.closed) leg.leave();
    }
    this.state = 'said';
    this.#machine.goodbye({}, how);
    this.#setTimer(this.#closeTimeout, () => this.#late());
  }
}
