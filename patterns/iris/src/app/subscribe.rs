//! A subscription: what is published under a topic, as a receiver.

use std::fmt;
use std::sync::{Arc, Mutex};

use libchan::{Message, Receiver, pipe_with};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{App, Attachment, Connection, lock};
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
///
/// On a redialing connection it comes back with each relay. What was published while it was away is lost to it, and nobody knows how
/// much: [`returns`](Self::returns) counts how often that was so.
pub struct Subscription {
    topic: String,
    events: Receiver<Event>,
    lost: Lost,
    /// On a connection that comes back.
    coming: Option<Coming>,
    /// The connection is there as long as what was made with it.
    _app: Arc<App>,
}

/// Events that this subscription has lost because they did not fit.
#[derive(Debug, Default)]
struct Lost {
    /// By relays that are gone.
    before: u64,
    /// By this one.
    now: u64,
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
        let (events, at) = subscribed(&self.app, topic, limits, 0).await?;
        let coming = self.app.comes_back().then(|| Coming::new(self.app.clone(), topic, limits, at));
        let (topic, lost) = (topic.to_owned(), Lost::default());
        Ok(Subscription { topic, events, lost, coming, _app: self.app.clone() })
    }
}

/// Subscribes at an attachment whose number is above `passed`. Gives the events and the number.
async fn subscribed(
    app: &App,
    topic: &str,
    limits: TopicLimits,
    mut passed: u64,
) -> Result<(Receiver<Event>, u64), Error> {
    loop {
        let attachment = app.attachment(passed).await?;
        passed = attachment.number;
        match attachment.subscribed(topic, limits).await {
            Err(Error::Closed | Error::Lost) => {}
            Ok(events) => return Ok((events, passed)),
            Err(error) => return Err(error),
        }
    }
}

impl Attachment {
    async fn subscribed(&self, topic: &str, limits: TopicLimits) -> Result<Receiver<Event>, Error> {
        let (relays, events) = pipe_with(limits.events.max(1));
        let (ready, answer) = pipe_with(1);
        let bytes = limits.bytes as u64;
        let asked = Subscribe { topic: topic.to_owned(), bytes, events: relays, ready };
        self.send(&self.subscribe, asked).await.map_err(|failed| failed.error)?;
        match answer.recv().await {
            Ok(Some(Ok(()))) => Ok(events),
            Ok(Some(Err(text))) => Err(Error::Refused(text)),
            Ok(None) | Err(_) => Err(Error::Closed),
        }
    }
}

/// The subscription at the relays to come: made by a task as soon as each is there, also while nobody reads.
struct Coming {
    next: Arc<Next>,
    /// How many of them the reader has taken.
    returns: u64,
    subscribing: AbortHandle,
}

/// The newest subscription that the reader has not taken, or why there will be none.
#[derive(Default)]
struct Next {
    events: Mutex<Option<Result<Receiver<Event>, Error>>>,
    there: Notify,
}

impl Coming {
    fn new(app: Arc<App>, topic: &str, limits: TopicLimits, at: u64) -> Self {
        let (next, topic) = (Arc::new(Next::default()), topic.to_owned());
        let tell = next.clone();
        let subscribing = tokio::spawn(async move {
            let mut passed = at;
            loop {
                let found = subscribed(&app, &topic, limits, passed).await;
                let over = found.is_err();
                let found = found.map(|(events, at)| {
                    passed = at;
                    events
                });
                let before = lock(&tell.events).replace(found);
                drop(before);
                tell.there.notify_one();
                if over {
                    return;
                }
            }
        });
        Self { next, returns: 0, subscribing: subscribing.abort_handle() }
    }

    /// Waits for it. Cancel-safe.
    async fn next(&self) -> Result<Receiver<Event>, Error> {
        loop {
            let found = lock(&self.next.events).take();
            match found {
                Some(Ok(events)) => return Ok(events),
                Some(Err(over)) => {
                    // Every further call hears it too.
                    lock(&self.next.events).replace(Err(over.clone()));
                    return Err(over);
                }
                None => self.next.there.notified().await,
            }
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.subscribing.abort();
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
    /// [`Error::NotDecoded`]: this event is no `T`; the next one is unharmed. [`Error::Lost`]: the relay is gone, and the connection
    /// does not come back. On one that does: why it has given up.
    pub async fn next<T: Message>(&mut self) -> Result<Option<T>, Error> {
        match self.next_body().await? {
            Some(body) => body.read().map(Some),
            None => Ok(None),
        }
    }

    /// The next event as it is; `None` when the connection was closed. Cancel-safe.
    ///
    /// # Errors
    /// As [`next`](Self::next), but that every event is taken as it is.
    pub async fn next_body(&mut self) -> Result<Option<Body>, Error> {
        loop {
            let ended = match self.events.recv().await {
                Ok(Some(Event(lost, body))) => {
                    self.lost.now = lost;
                    return Ok(Some(body));
                }
                Ok(None) => Ok(None),
                Err(error) if error.is_end() => Err(Error::Lost),
                Err(error) => return Err(Error::NotDecoded(error.to_string())),
            };
            let Some(coming) = &mut self.coming else { return ended };
            match coming.next().await {
                Ok(events) => self.events = events,
                Err(Error::Closed) => return Ok(None),
                Err(over) => return Err(over),
            }
            coming.returns += 1;
            self.lost = Lost { before: self.lost.before + self.lost.now, now: 0 };
        }
    }

    /// How many events were lost because they did not fit, before the last one that was read.
    pub fn lost(&self) -> u64 {
        self.lost.before + self.lost.now
    }

    /// How often it has come back at a relay, with what was published meanwhile lost to it.
    pub fn returns(&self) -> u64 {
        self.coming.as_ref().map_or(0, |coming| coming.returns)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic)
            .field("lost", &self.lost())
            .field("returns", &self.returns())
            .finish_non_exhaustive()
    }
}
