//! The HTTP/2 carrier: one long POST stream is one link. See [`Http2Link`].
//!
//! The request's body is what the dialer writes, the response's body what the acceptor writes. Both begin at once:
//! some proxies hold the headers of one direction until its first bytes, and a side that waited for the other's
//! status would wait for ever behind them. For the same reason a refusal is found by the reader, not awaited first.

mod client;
mod server;

use std::time::Duration;

use libchan::{Link, LinkInfo, LinkReader, LinkWriter};

pub(super) use self::server::{ResponseStream, accept};

/// How much one stream may send ahead of its reader. The session's own credit bounds what it sends; this only has to
/// be no narrower, on a path with some delay: what is on its way for 200 ms at a gigabit is 25 MB, and a tcp socket's
/// own window grows to some 6 MB by default.
pub(super) const STREAM_WINDOW: u32 = 16 << 20;

/// The same for a connection: proxies put the sessions of many clients on one, and one that is slow must not stop
/// the others.
pub(super) const CONNECTION_WINDOW: u32 = 128 << 20;

/// The longest DATA frame we ask for.
pub(super) const MAX_FRAME: u32 = 64 * 1024;

/// The most that waits in memory to be sent on a stream.
pub(super) const SEND_BUFFER: usize = 256 * 1024;

/// How long the end of a stream is awaited when its link has ended.
const LINGER: Duration = Duration::from_secs(1);

/// One HTTP/2 stream as a link.
pub struct Http2Link {
    info: LinkInfo,
    reader: Box<dyn LinkReader>,
    writer: Box<dyn LinkWriter>,
}

impl Link for Http2Link {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        (self.reader, self.writer)
    }
}

impl std::fmt::Debug for Http2Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2Link").field("info", &self.info).finish_non_exhaustive()
    }
}
