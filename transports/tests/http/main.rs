//! The http carriers: over loopback, embedded in a foreign server, over TLS, refused in every way, and behind a
//! hostile proxy.

mod browser;
mod carriers;
mod embedding;
mod extended_connect;
mod fallback;
mod hostile;
mod refusals;
mod secure;
mod shared;
mod support;
mod traps;
mod websocket;
