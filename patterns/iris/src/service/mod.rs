//! A service: a member of a cluster, and an application of its own.

mod closures;
mod handler;
mod registration;
mod run;

use std::fmt;
use std::sync::Arc;

use libchan_transports::DialOptions;
use tokio::task::JoinHandle;

pub use self::closures::ServiceBuilder;
pub use self::handler::Handler;
use self::registration::Registration;
use self::run::{Leaving, Member};
use crate::app::Connection;
use crate::error::Error;
use crate::limits::Limits;

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
    /// The handler's [`init`](Handler::init) has ended before anything is sent to it. On a redialing connection this waits for a
    /// relay, and the membership comes back with each one: [`Handler::dropped`] and [`Handler::returned`] tell of it.
    ///
    /// # Errors
    /// [`Error::Local`]: the handler's `init` failed. [`Error::Refused`]: the relay does not allow it. [`Error::Closed`]: the
    /// connection is over.
    pub async fn join(
        connection: Connection,
        cluster: &str,
        handler: impl Handler,
        limits: Limits,
    ) -> Result<Self, Error> {
        let initialised = handler.init(connection.clone()).await;
        initialised.map_err(|fault| Error::Local(format!("the handler's init failed: {}", fault.text())))?;
        let registration = Registration::new(&connection.app, cluster, limits, 0).await?;
        let leaving = Arc::new(Leaving::default());
        let member = Member {
            app: connection.app.clone(),
            cluster: cluster.to_owned(),
            handler: Arc::new(handler),
            limits,
            leaving: leaving.clone(),
        };
        let running = tokio::spawn(member.stay(registration));
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
