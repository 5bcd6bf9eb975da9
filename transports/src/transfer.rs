//! One read or write of a socket past tokio's own, after which tokio knows whether it emptied or filled the socket.
//!
//! tokio's own `poll_read` and `poll_write` take a short one for that, and save the call that would only say so; its public
//! `try_io` knows no such thing, but forgets the readiness when its closure says `WouldBlock`. So the closure says that after
//! a short one, and the true outcome leaves by another way. What makes it sound: tokio forgets only the readiness it had
//! seen before the closure ran. Bytes that arrive later, or room, raise a new edge, and that one stays.

use std::io;

/// Makes the one call. `try_io` is the socket's, `wanted` how many bytes may be moved; `call` moves some and says whether
/// less than `wanted` proves anything.
#[inline]
pub(crate) fn transfer(
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    wanted: usize,
    mut call: impl FnMut() -> io::Result<(usize, bool)>,
) -> io::Result<usize> {
    let mut outcome = None;
    let said = try_io(&mut || {
        let (moved, proves) = call()?;
        outcome = Some(moved);
        match proves && 0 < moved && moved < wanted {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    match outcome {
        Some(moved) => Ok(moved),
        None => said.map(|()| 0),
    }
}
