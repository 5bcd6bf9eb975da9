//! A subscription: what is published under a topic, as a receiver.

use std::fmt;

use libchan::{Message, Receiver, pipe_with};

use super::Connection;
use super::request::not_sent;
use crate::body::Body;
use crate::error::Error;
use crate::limits::TopicLimits;
use crate::wire::{Event, Subscribe};

/// What is published under a topic. Dropping it unsubscribes.
///
/// A subscription that does not read loses what does not fit, and nobody else is delayed: [`lost`](Self::lost) counts.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let iris = libchan_iris::Relay::new().connect().await?;
/// let mut prices = iris.subscribe("prices").await?;
/// iris.publish("prices", &("tea", 3)).await?;
/// assert_eq!(prices.next::<(String, u32)>().await?, Some(("tea".to_owned(), 3)));
/// # Ok::<(), libchan_iris::Error>(())
/// # }).unwrap();
/// ```
pub struct Subscription {
    topic: String,
    events: Receiver<Event>,
    lost: u64,
}

impl Connection {
    /// Subscribes to a topic. The subscription is in force when this returns: an event published later, by anybody, comes.
    ///
    /// # Errors
    /// [`Error::Refused`]: the relay does not allow it. [`Error::Closed`]: the connection is over.
    pub async fn subscribe(&self, topic: &str) -> Result<Subscription, Error> {
        self.subscribe_with(topic, TopicLimits::default()).await
    }

    /// Subscribes, with what may wait before further events are lost.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with(&self, topic: &str, limits: TopicLimits) -> Result<Subscription, Error> {
        let (relays, events) = pipe_with(limits.events.max(1));
        let (ready, answer) = pipe_with(1);
        let subscribe = self.app.subscribe.get(&self.app.session)?;
        let bytes = limits.bytes as u64;
        let asked = Subscribe { topic: topic.to_owned(), bytes, events: relays, ready };
        subscribe.send(asked).await.map_err(|failed| not_sent(&failed))?;
        match answer.recv().await {
            Ok(Some(Ok(()))) => Ok(Subscription { topic: topic.to_owned(), events, lost: 0 }),
            Ok(Some(Err(text))) => Err(Error::Refused(text)),
            Ok(None) | Err(_) => Err(Error::Closed),
        }
    }
}

impl Subscription {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The next event as a value; `None` when the connection was closed. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::NotDecoded`]: this event is no `T`; the next one is unharmed. [`Error::Lost`]: the relay is gone.
    pub async fn next<T: Message>(&mut self) -> Result<Option<T>, Error> {
        match self.next_body().await? {
            Some(body) => body.read().map(Some),
            None => Ok(None),
        }
    }

    /// The next event as it is; `None` when the connection was closed. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Lost`]: the relay is gone.
    pub async fn next_body(&mut self) -> Result<Option<Body>, Error> {
        match self.events.recv().await {
            Ok(Some(Event(lost, body))) => {
                self.lost = lost;
                Ok(Some(body))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_end() => Err(Error::Lost),
            Err(error) => Err(Error::NotDecoded(error.to_string())),
        }
    }

    /// How many events were lost because they did not fit, before the last one that was read.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
