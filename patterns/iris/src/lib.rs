//! Iris on libchan channels: requests to clusters, broadcast, publish/subscribe and tunnels, through a relay.
//!
//! An application attaches to a relay and speaks to **clusters** and **topics** by name, never to addresses. A cluster is any
//! number of services that do the same: a request goes to the freest of them, a broadcast to all. A topic is what its
//! subscribers hear.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::time::Duration;
//! use libchan_iris::{Body, Fault, Handler, Limits, Relay, Service};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     async fn request(&self, body: Body) -> Result<Body, Fault> {
//!         Ok(body)
//!     }
//! }
//!
//! let relay = Relay::new();
//! let service = Service::join(relay.connect().await?, "echo", Echo, Limits::default()).await?;
//!
//! let iris = relay.connect().await?;
//! let said: String = iris.request("echo", "hello", Duration::from_secs(1)).await?;
//! assert_eq!(said, "hello");
//! service.unregister().await?;
//! # Ok::<(), libchan_iris::Error>(())
//! # }).unwrap();
//! ```
//!
//! Elsewhere the relay listens on any libchan URL, and `relay.connect()` becomes `Connection::connect(url)`.

mod app;
mod body;
mod core;
mod draft2;
mod error;
mod limits;
mod relay;
mod service;
mod wire;

pub use self::app::{Connection, Subscription, Tunnel, Wait};
pub use self::body::Body;
pub use self::core::{ClusterStatus, TopicStatus};
pub use self::error::{Error, Fault};
pub use self::limits::{Limits, RelayLimits, TopicLimits};
pub use self::relay::{Act, Relay, RelayBuilder, Rights, Status};
pub use self::service::{Handler, Service, ServiceBuilder};
