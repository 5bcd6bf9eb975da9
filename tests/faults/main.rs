//! Faults from outside: killed processes, peers that speak something else, hellos that never come, silence, no
//! descriptors left. Each gives one clear typed error to every waiting call, and nothing hangs.

mod dialing;
mod handshake;
mod hostile;
mod killed;
mod silence;
