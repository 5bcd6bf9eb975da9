//! A handler made of typed closures, for those who want no type of their own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use libchan::Message;
use serde::Serialize;

use super::{Handler, Service};
use crate::app::{Connection, Tunnel};
use crate::body::Body;
use crate::error::{Error, Fault};
use crate::limits::Limits;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type OnRequest = Box<dyn Fn(Body) -> Boxed<Result<Body, Fault>> + Send + Sync>;
type OnBody = Box<dyn Fn(Body) -> Boxed<()> + Send + Sync>;
type OnTunnel = Box<dyn Fn(Tunnel) -> Boxed<()> + Send + Sync>;
type OnDrop = Box<dyn Fn(Error) -> Boxed<()> + Send + Sync>;
type OnReturn = Box<dyn Fn() -> Boxed<()> + Send + Sync>;
type Init = Box<dyn Fn(Connection) -> Boxed<Result<(), Fault>> + Send + Sync>;

/// Builds a service of typed closures: [`Service::builder`].
#[must_use = "a builder does nothing before `register`"]
pub struct ServiceBuilder {
    cluster: String,
    init: Option<Init>,
    request: Option<OnRequest>,
    broadcast: Option<OnBody>,
    tunnel: Option<OnTunnel>,
    dropped: Option<OnDrop>,
    returned: Option<OnReturn>,
}

impl ServiceBuilder {
    pub(super) fn new(cluster: String) -> Self {
        Self {
            cluster,
            init: None,
            request: None,
            broadcast: None,
            tunnel: None,
            dropped: None,
            returned: None,
        }
    }

    /// Called once, before anything is sent to the service. A fault ends the registration.
    pub fn init<F>(mut self, init: impl Fn(Connection) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        self.init = Some(Box::new(move |connection| Box::pin(init(connection))));
        self
    }

    /// Answers requests. One that does not decode as `Q` is a fault for its caller. Inside, `?` makes a [`Fault`] of any error
    /// that has a text.
    pub fn on_request<Q, R, F>(mut self, answer: impl Fn(Q) -> F + Send + Sync + 'static) -> Self
    where
        Q: Message,
        R: Serialize,
        F: Future<Output = Result<R, Fault>> + Send + 'static,
    {
        self.request = Some(Box::new(move |body| match body.read::<Q>() {
            Ok(value) => {
                let answer = answer(value);
                Box::pin(async move { Ok(Body::of(&answer.await?)?) })
            }
            Err(error) => Box::pin(async move { Err(error.into()) }),
        }));
        self
    }

    /// Takes broadcasts. One that does not decode as `T` is an event in the log.
    pub fn on_broadcast<T, F>(mut self, take: impl Fn(T) -> F + Send + Sync + 'static) -> Self
    where
        T: Message,
        F: Future<Output = ()> + Send + 'static,
    {
        self.broadcast = Some(Box::new(move |body| match body.read::<T>() {
            Ok(value) => Box::pin(take(value)),
            Err(error) => {
                tracing::warn!(%error, "a broadcast does not decode");
                Box::pin(async {})
            }
        }));
        self
    }

    /// Serves tunnels.
    pub fn on_tunnel<F>(mut self, serve: impl Fn(Tunnel) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tunnel = Some(Box::new(move |tunnel| Box::pin(serve(tunnel))));
        self
    }

    /// Hears that the relay is gone, or has put the member out. See [`Handler::dropped`].
    pub fn on_drop<F>(mut self, hear: impl Fn(Error) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.dropped = Some(Box::new(move |why| Box::pin(hear(why))));
        self
    }

    /// Hears that the membership is back. See [`Handler::returned`].
    pub fn on_return<F>(mut self, hear: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.returned = Some(Box::new(move || Box::pin(hear())));
        self
    }

    /// Joins the cluster: see [`Service::join`].
    ///
    /// # Errors
    /// As [`Service::join`].
    pub async fn register(self, connection: Connection, limits: Limits) -> Result<Service, Error> {
        let cluster = self.cluster.clone();
        Service::join(connection, &cluster, self, limits).await
    }
}

impl Handler for ServiceBuilder {
    async fn init(&self, connection: Connection) -> Result<(), Fault> {
        match &self.init {
            Some(init) => init(connection).await,
            None => Ok(()),
        }
    }

    async fn request(&self, body: Body) -> Result<Body, Fault> {
        match &self.request {
            Some(answer) => answer(body).await,
            None => Err(Fault::new("the service takes no requests")),
        }
    }

    async fn broadcast(&self, body: Body) {
        if let Some(take) = &self.broadcast {
            take(body).await;
        }
    }

    async fn tunnel(&self, tunnel: Tunnel) {
        if let Some(serve) = &self.tunnel {
            serve(tunnel).await;
        }
    }

    async fn dropped(&self, why: Error) {
        if let Some(hear) = &self.dropped {
            hear(why).await;
        }
    }

    async fn returned(&self) {
        if let Some(hear) = &self.returned {
            hear().await;
        }
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
