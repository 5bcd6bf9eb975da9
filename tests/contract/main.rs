//! The contract (DESIGN section 4) as tests: one source, run over every transport on both runtimes.

mod authorize;
mod blocking;
mod cancel_safety;
mod capacity;
mod close;
mod codecs;
mod competing;
mod decode_errors;
mod descriptors;
mod encode_errors;
mod forwarding;
mod go;
mod isolation;
mod lost;
mod memory_bound;
mod order;
mod original;
mod pipe;
mod relays;
mod rendezvous;
mod session_end;
mod streams;
mod travelling;
mod turns;
mod weaknesses;
