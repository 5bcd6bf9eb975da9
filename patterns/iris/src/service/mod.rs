//! A service: a member of a cluster, and an application of its own.

mod closures;
mod handler;
mod run;

use std::fmt;
use std::sync::Arc;

use libchan::pipe_with;
use libchan_transports::DialOptions;
use tokio::task::JoinHandle;

pub use self::closures::ServiceBuilder;
pub use self::handler::Handler;
use self::run::{Leaving, Runner};
use crate::app::Connection;
use crate::error::Error;
use crate::limits::Limits;
use crate::wire::{REGISTER, Register};

/// A member of a cluster. It is a client too: [`connection`](Self::connection).
///
/// [`unregister`](Self::unregister) leaves in good order. Dropped, the member leaves at once, and what it has in hand is
/// [`Error::Lost`] for its callers.
pub struct Service {
    cluster: String,
    connection: Connection,
    leaving: Arc<Leaving>,
    running: JoinHandle<()>,
}

impl Service {
    /// Dials a relay and joins the cluster. When this returns the handler is called for what is sent to the cluster.
    ///
    /// # Errors
    /// As [`Connection::connect`] and [`join`](Self::join).
    pub async fn register(
        url: &str,
        cluster: &str,
        handler: impl Handler,
        limits: Limits,
    ) -> Result<Self, Error> {
        let connection = Connection::connect_with(url, DialOptions::default()).await?;
        Self::join(connection, cluster, handler, limits).await
    }

    /// Joins the cluster on a connection that is there already. Several services may share one.
    ///
    /// # Errors
    /// [`Error::Refused`]: the relay does not allow it. [`Error::Closed`]: the connection is over.
    pub async fn join(
        connection: Connection,
        cluster: &str,
        handler: impl Handler,
        limits: Limits,
    ) -> Result<Self, Error> {
        let slots = limits.requests.max(1);
        // Twice what is in hand: the sender of a channel hears late of what was taken.
        let (calls_in, calls) = pipe_with(2 * slots + 2);
        let (reports, reports_out) = pipe_with(2 * slots + 2);
        let (broadcasts_in, broadcasts) = pipe_with(limits.broadcasts.max(1));
        let (tunnels_in, tunnels) = pipe_with(limits.tunnels.max(1));
        let (ready, answer) = pipe_with(1);
        let register = Register {
            cluster: cluster.to_owned(),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            bytes: limits.request_bytes as u64,
            broadcast_bytes: limits.broadcast_bytes as u64,
            calls: calls_in,
            reports: reports_out,
            broadcasts: broadcasts_in,
            tunnels: tunnels_in,
            ready,
        };
        let opened = connection.session().open::<Register>(REGISTER).map_err(|_| Error::Closed)?;
        opened.send(register).await.map_err(|_| Error::Closed)?;
        match answer.recv().await {
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(text))) => return Err(Error::Refused(text)),
            Ok(None) | Err(_) => return Err(Error::Closed),
        }
        let leaving = Arc::new(Leaving::default());
        let runner = Runner { handler: Arc::new(handler), limits, calls, reports, broadcasts, tunnels };
        let running = tokio::spawn(runner.run(leaving.clone()));
        Ok(Self { cluster: cluster.to_owned(), connection, leaving, running })
    }

    /// A service of typed closures.
    pub fn builder(cluster: impl Into<String>) -> ServiceBuilder {
        ServiceBuilder::new(cluster.into())
    }

    /// The cluster that it is a member of.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The connection that it was made on: a service asks and tells others, too.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Leaves the cluster: takes no new requests, lets those in hand end, then goes.
    ///
    /// # Errors
    /// [`Error::Lost`]: the relay was gone before.
    pub async fn unregister(mut self) -> Result<(), Error> {
        self.leaving.begin();
        match (&mut self.running).await {
            Ok(()) if self.leaving.was_lost() => Err(Error::Lost),
            Ok(()) => Ok(()),
            Err(_aborted) => Err(Error::Lost),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("cluster", &self.cluster)
            .field("running", &!self.running.is_finished())
            .finish_non_exhaustive()
    }
}
