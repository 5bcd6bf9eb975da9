//! The transports of libchan: sessions by URL.
//!
//! [`dial`] connects to a URL and [`listen`] waits at one; both give [`Session`](libchan::Session)s, and nothing
//! else in a program depends on which transport carries them.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = libchan_transports::listen("tcp://127.0.0.1:0").await?;
//! let url = listener.url().to_owned(); // the port that was free: tcp://127.0.0.1:43121
//! let client = tokio::spawn(async move { libchan_transports::dial(&url).await });
//! let session = listener.accept().await?;
//! # Ok(()) }
//! ```
//!
//! A [`Redial`] is a session that comes back: it dials when it is first used and whenever its session is lost.
//!
//! | URL | transport | feature |
//! |---|---|---|
//! | `unix:///run/build.sock`, `unix:relative/path.sock` | unix socket; passes descriptors | `unix` |
//! | `unix:@build` | the same under an abstract name (Linux) | `unix` |
//! | `mem:name` | within the process; values move unencoded | `memory` |
//! | `tcp://host:port`, `tcp://[::1]:7400` | tcp, not encrypted | `tcp` |
//! | `tls://host:port` | tcp, encrypted and authenticated | `tls`, or `tls-aws-lc` |
//! | `h2c://host:port/path` | HTTP/2 in clear text, one stream | `http2` |
//! | `ws://host:port/path` | WebSocket in clear text | `websocket` |
//! | `http://host:port/path` | listens for both, dials HTTP/2 | `http2` |
//! | `wss://host:port/path` | WebSocket over TLS | `websocket` and `tls` |
//! | `https://host:port/path` | listens for both over TLS, and for `tls:`; dials HTTP/2, then WebSocket | `http2` and `tls` |
//!
//! A URL holds no secret, no query and nothing percent-encoded; settings are in [`DialOptions`] and
//! [`ListenOptions`].
//!
//! # `https:` and what it remembers
//! A dial of `https:` goes by HTTP/2; after 3 s without a session, or when that fails, a WebSocket is tried beside it.
//! Where only the WebSocket worked, this process dials that host and port by WebSocket first for the next ten minutes (64
//! of them at the most, shared by all dials of the process). Dial `wss:` or `h2c:` to choose yourself.
//!
//! # Memory of an idle session
//! On the server's side, in kB of heap, measured: tcp and unix 6, tls 23, `h2c:` 36, `ws:` 40, `https:` 44, `wss:` 47. What
//! is above tcp's belongs to the TLS and http libraries, which keep their buffers.
//!
//! # A further transport
//! It is one file here, one feature, a row in `url.rs` and one match arm each in `dial.rs` and `listen.rs`. Or it is
//! a crate of its own that implements [`Link`](libchan::Link) and calls
//! [`Session::start`](libchan::Session::start): nothing in this crate is privileged. For any stream that tokio can read
//! and write there is one already: [`IoLink`].

#[cfg(all(feature = "_tls", not(any(feature = "tls", feature = "tls-aws-lc"))))]
compile_error!(
    "`_tls` is no feature for use alone: enable `tls` (ring) or `tls-aws-lc` of libchan-transports"
);
#[cfg(all(feature = "_http", not(any(feature = "http2", feature = "websocket"))))]
compile_error!("a feature of http is no use alone: enable `http2` or `websocket` of libchan-transports");
#[cfg(all(feature = "dev-certs", not(any(feature = "tls", feature = "tls-aws-lc"))))]
compile_error!("`dev-certs` needs `tls` or `tls-aws-lc` of libchan-transports beside it");

mod authorize;
mod dial;
mod error;
#[cfg(feature = "_http")]
pub mod http;
mod io_link;
mod listen;
#[cfg(feature = "memory")]
pub mod memory;
mod places;
#[cfg(feature = "tcp")]
mod race;
mod redial;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(all(test, feature = "unix"))]
mod test_support;
#[cfg(feature = "_tls")]
pub mod tls;
#[cfg(any(feature = "tcp", feature = "unix"))]
mod transfer;
#[cfg(feature = "unix")]
mod unix;
mod url;
mod writing;

pub use authorize::{Authorize, Candidate, Refusal, bearer};
pub use dial::{DialOptions, dial, dial_with};
#[cfg(feature = "tcp")]
pub use error::FailedAddress;
pub use error::{AcceptError, DialError, ListenError, OsError};
pub use io_link::IoLink;
#[cfg(any(feature = "unix", feature = "tcp"))]
pub use listen::ListenSocket;
pub use listen::{ListenOptions, Listener, listen, listen_with};
pub use redial::{
    Backoff, Redial, RedialCallError, RedialError, RedialEvent, RedialEvents, RedialFailure, RedialOptions,
    RedialSendError, RedialSender, RedialSessions,
};
#[cfg(feature = "tcp")]
pub use tcp::TcpLink;
#[cfg(feature = "unix")]
pub use unix::UnixLink;
pub use url::{Address, HttpAddress, TcpAddress, UnixAddress, UrlError};
