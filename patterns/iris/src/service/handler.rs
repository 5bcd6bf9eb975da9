//! What a member does with what it is sent.

use std::future::Future;

use crate::app::{Connection, Tunnel};
use crate::body::Body;
use crate::error::{Error, Fault};

/// What a member of a cluster does with requests, broadcasts and tunnels. Every method has a default, so a handler writes
/// what it serves.
///
/// ```
/// use libchan_iris::{Body, Fault, Handler};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     async fn request(&self, body: Body) -> Result<Body, Fault> {
///         Ok(body)
///     }
/// }
/// ```
///
/// A method that panics is a fault for its caller; the service goes on. A request that its caller cancels, or whose time is
/// up, has its future dropped.
pub trait Handler: Send + Sync + 'static {
    /// Called once, before anything is sent to the service, with its connection to ask and tell others. A fault ends the
    /// registration. The default does nothing.
    fn init(&self, connection: Connection) -> impl Future<Output = Result<(), Fault>> + Send {
        drop(connection);
        async { Ok(()) }
    }

    /// Answers a request. The default says that the service takes none.
    fn request(&self, body: Body) -> impl Future<Output = Result<Body, Fault>> + Send {
        drop(body);
        async { Err(Fault::new("the service takes no requests")) }
    }

    /// Takes a broadcast. The default drops it.
    fn broadcast(&self, body: Body) -> impl Future<Output = ()> + Send {
        drop(body);
        async {}
    }

    /// Serves a tunnel; it ends when this returns. The default ends it at once.
    fn tunnel(&self, tunnel: Tunnel) -> impl Future<Output = ()> + Send {
        drop(tunnel);
        async {}
    }

    /// The relay is gone, or has put the member out: nothing comes any more, and what was in hand is lost for its callers. On a
    /// redialing connection the membership comes back, and [`returned`](Self::returned) follows. Not called by `unregister`.
    fn dropped(&self, why: Error) -> impl Future<Output = ()> + Send {
        drop(why);
        async {}
    }

    /// The membership is back, at this relay or another one.
    fn returned(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
