// Two machines face to face, without a link or a clock.

import { Machine } from '../src/protocol/machine.js';

/** Both sides with hellos exchanged. `options`: {dialer, acceptor} as for Machine. */
export function pair(options = {}) {
  const dialer = new Machine({ role: 'dialer', ...options.both, ...options.dialer });
  const acceptor = new Machine({ role: 'acceptor', ...options.both, ...options.acceptor });
  const sides = { dialer, acceptor };
  exchange(sides);
  return sides;
}

/** Carries bytes both ways until nobody has more to say. */
export function exchange({ dialer, acceptor }) {
  while (dialer.hasOutput || acceptor.hasOutput) {
    for (const chunk of dialer.output()) acceptor.input(chunk);
    for (const chunk of acceptor.output()) dialer.input(chunk);
  }
}

/** What has happened on one side, of one type if named. */
export function events(machine, type) {
  const all = [];
  for (let event; (event = machine.nextEvent());) if (!type || event.type === type) all.push(event);
  return all;
}
