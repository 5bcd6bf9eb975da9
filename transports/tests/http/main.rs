//! The http carriers: over loopback, embedded in a foreign server, refused in every way, and behind a hostile proxy.

mod carriers;
mod embedding;
mod hostile;
mod refusals;
mod support;
mod traps;
mod websocket;
