//! The file of a listening unix socket: taking its place without taking it from a living server, and leaving
//! nothing behind.
//!
//! Whether a socket file is stale can only be learnt by connecting, and a server between `bind` and `listen` looks
//! stale. So all of it happens under an advisory lock on the directory: of two servers that start at once, one gets
//! the path and the other learns that it is taken.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tokio::net::{UnixListener, UnixStream};

use crate::error::ListenError;
use crate::listen::ListenOptions;

/// How often, and how long apart, to try for the directory's lock. Our own servers hold it for microseconds; if a
/// stranger holds it longer we go on without.
const LOCK_ATTEMPTS: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Listens at `path`, replacing a file that a dead server left behind.
pub(super) async fn bind(
    path: &Path,
    options: &ListenOptions,
    url: &str,
) -> Result<(UnixListener, SocketFile), ListenError> {
    let _lock = lock_directory(path).await;
    make_room(path, url).await?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ListenError::NoSuchDirectory { path: path.to_owned() }
        }
        _ => ListenError::binding(url.to_owned(), error),
    };
    let socket = stream_socket().map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
    rustix::net::bind(&socket, &address).map_err(|error| failed(error.into()))?;
    let file = SocketFile::found_at(path).map_err(failed)?;
    if let Some(mode) = options.unix_mode {
        // Before `listen`: until then nobody can connect, whatever the umask allowed.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    let listener = listen(socket, options).map_err(failed)?;
    Ok((listener, file))
}

/// Listens at an abstract name.
pub(super) fn bind_name(address: &net::SocketAddr, options: &ListenOptions) -> io::Result<UnixListener> {
    let socket = stream_socket()?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        let name = address.as_abstract_name().unwrap_or_default();
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = address;
    listen(socket, options)
}

/// Lets peers connect from now on.
fn listen(socket: OwnedFd, options: &ListenOptions) -> io::Result<UnixListener> {
    rustix::net::listen(&socket, options.kernel_backlog() as i32)?;
    UnixListener::from_std(net::UnixListener::from(socket))
}

/// A socket that blocks nobody and is not inherited by children.
fn stream_socket() -> io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }
}

/// Locks the directory that holds `path` until the descriptor is dropped. `None` if that cannot be had (the
/// directory is missing or unreadable, or a stranger holds the lock): binding then goes on without, or fails with
/// a better reason.
async fn lock_directory(path: &Path) -> Option<OwnedFd> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty()).ok()?;
    for _ in 0..LOCK_ATTEMPTS {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(_) => return None,
        }
    }
    None
}

/// Removes a socket file at `path` if nobody listens on it. A living server sees a connection that ends at once.
async fn make_room(path: &Path, url: &str) -> Result<(), ListenError> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(()); // Nothing there, or `bind` will say what is wrong.
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    let Err(error) = UnixStream::connect(path).await else {
        return Err(ListenError::LiveServer { path: path.to_owned() });
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ListenError::binding(url.to_owned(), error))
            }
            _ => Ok(()),
        },
        io::ErrorKind::NotFound => Ok(()),
        io::ErrorKind::PermissionDenied => Err(ListenError::NoPermission { url: url.to_owned() }),
        _ if crate::error::is_descriptor_limit(error.raw_os_error()) => Err(ListenError::DescriptorLimit),
        // A full backlog, or a socket of another type: somebody is alive there.
        _ => Err(ListenError::LiveServer { path: path.to_owned() }),
    }
}

/// Our socket's file; removed on drop, if it is still ours.
///
/// Drop it before the socket: while that is open the file's inode cannot be given to another file.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn found_at(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        // Absolute, because the program may change its directory.
        Ok(Self { path: std::path::absolute(path)?, device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            // What cannot be removed now is a stale file, and the next server replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
