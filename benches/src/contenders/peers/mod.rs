//! Other libraries, a file each, on the same sockets. Each uses its own codec and its defaults, except what its file
//! says.

pub mod capnp;
pub mod ipc;
pub mod remoc;
mod socket;
pub mod tarpc;
pub mod tonic;
pub mod yamux;
