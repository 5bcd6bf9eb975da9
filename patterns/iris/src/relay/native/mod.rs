//! The face of applications that speak libchan: each named channel of a session is served by a task, and nothing here waits for
//! an application that does not read.

mod feed;
mod member;

use std::sync::Arc;
use std::time::Duration;

use libchan::{Incoming, Message, Receiver, Sender, Session};
use tokio::task::JoinSet;

use self::feed::{Backlog, Feed};
use super::Hub;
use super::port::{Caller, Gone, Subscriber};
use super::rights::Act;
use crate::app::lock;
use crate::body::Body;
use crate::core::{ClientId, Outcome, Refused, SubscriptionId, Terms};
use crate::wire::{
    Answer, Ask, Line, POSTS, Post, REGISTER, REQUESTS, Requests, SUBSCRIBE, Subscribe, TUNNELS,
    TunnelRefused, Verdict,
};

/// An application that is attached.
struct Application {
    hub: Arc<Hub>,
    client: ClientId,
    /// The name under which it was admitted.
    who: Option<String>,
    backlog: Arc<Backlog>,
}

impl Application {
    /// # Errors
    /// The relay does not allow it: the text for the application.
    fn may(&self, act: Act<'_>) -> Result<(), String> {
        self.hub.may(self.client, self.who.as_deref(), act)
    }
}

/// Serves an application until its session is over.
pub(super) async fn serve(hub: Arc<Hub>, session: Session) {
    let client = hub.tell(|core, _| core.attach());
    let info = session.info();
    tracing::info!(
        client = client.0,
        peer = info.peer,
        who = info.principal,
        "client connection established"
    );
    let backlog = Backlog::new(hub.limits.event_bytes);
    let application = Arc::new(Application { hub, client, who: info.principal.clone(), backlog });
    lock(&application.hub.sessions).insert(client, session.clone());
    let (mut tasks, mut posts) = (JoinSet::new(), JoinSet::new());
    let why = loop {
        tokio::select! {
            incoming = session.accept() => match incoming {
                Ok(Some(incoming)) if incoming.name() == POSTS => {
                    let application = application.clone();
                    posts.spawn(each(incoming.receive(), move |post| application.post(post)));
                }
                Ok(Some(incoming)) => open(&mut tasks, application.clone(), incoming),
                Ok(None) => break None,
                Err(why) => break Some(why),
            },
            Some(_ended) = tasks.join_next() => {}
            Some(_ended) = posts.join_next() => {}
        }
    };
    // What it had posted before it left goes to those whom it is for: the channel ends behind that.
    while posts.join_next().await.is_some() {}
    tasks.shutdown().await;
    lock(&application.hub.sessions).remove(&client);
    application.hub.tell(|core, now| core.detach(now, client));
    lock(&application.hub.ports).callers.remove(&client);
    tracing::info!(client = client.0, ?why, "detaching from relay");
}

fn open(tasks: &mut JoinSet<()>, application: Arc<Application>, incoming: Incoming) {
    match incoming.name() {
        REQUESTS => {
            let opened = incoming.receive();
            tasks.spawn(async move {
                if let Ok(Some(requests)) = opened.recv().await {
                    serve_requests(&application, requests).await;
                }
            });
        }
        SUBSCRIBE => {
            let asked = incoming.receive();
            tasks.spawn(async move {
                let mut subscriptions = JoinSet::new();
                while let Some(asked) = next(&asked, &mut subscriptions).await {
                    if let Some(subscription) = application.subscribe(asked) {
                        subscriptions.spawn(subscription);
                    }
                }
                while subscriptions.join_next().await.is_some() {}
            });
        }
        REGISTER => {
            let asked = incoming.receive();
            tasks.spawn(async move {
                let mut members = JoinSet::new();
                while let Some(asked) = next(&asked, &mut members).await {
                    members.spawn(member::serve(application.clone(), asked));
                }
                while members.join_next().await.is_some() {}
            });
        }
        TUNNELS => drop(tasks.spawn(each(incoming.receive(), move |line| application.tunnel(line)))),
        name => {
            let text = format!("an Iris relay has no channel {name:?}; it serves iris/1/...");
            incoming.refuse(text);
        }
    }
}

/// The next message of a channel. What does not decode is passed over, with an event.
async fn next<T: Message>(channel: &Receiver<T>, beside: &mut JoinSet<()>) -> Option<T> {
    loop {
        tokio::select! {
            message = channel.recv() => match message {
                Ok(message) => return message,
                Err(error) if error.is_end() => return None,
                Err(error) => tracing::warn!(%error, "a message of an application does not decode"),
            },
            Some(_ended) = beside.join_next() => {}
        }
    }
}

/// Does the same with each message of a channel.
async fn each<T: Message>(channel: Receiver<T>, take: impl Fn(T)) {
    let mut nothing = JoinSet::new();
    while let Some(message) = next(&channel, &mut nothing).await {
        take(message);
    }
}

// ---- posts and tunnels

impl Application {
    /// A post has no answer: where it is refused, that is counted, and an event tells it.
    fn post(&self, post: Post) {
        match post {
            Post::Broadcast(cluster, body) => {
                if self.may(Act::Broadcast(&cluster)).is_ok() {
                    self.hub.broadcast(&cluster, &body);
                }
            }
            Post::Publish(topic, body) => {
                if self.may(Act::Publish(&topic)).is_ok() {
                    self.hub.publish(&topic, &body);
                }
            }
        }
    }

    fn tunnel(&self, line: Line) {
        match self.may(Act::Tunnel(&line.cluster)) {
            Ok(()) => self.hub.tunnel(line),
            // The opener may have given up.
            Err(why) => drop(line.ready.try_send(Err(TunnelRefused::Refused(why)))),
        }
    }
}

// ---- requests

struct NativeCaller {
    answers: Sender<Answer>,
}

impl Caller for NativeCaller {
    fn answer(&self, number: u64, result: Result<Body, Outcome<Body>>) -> Result<(), Gone> {
        let verdict = match result {
            Ok(body) => Verdict::Ok(body),
            Err(Outcome::Fault(text)) => Verdict::Fault(text),
            Err(Outcome::Failed(failed)) => failed.verdict(),
        };
        self.answers.try_send(Answer(number, verdict)).map_err(|_| Gone)
    }

    fn refuse(&self, number: u64, why: String) -> Result<(), Gone> {
        self.answers.try_send(Answer(number, Verdict::Refused(why))).map_err(|_| Gone)
    }
}

async fn serve_requests(application: &Application, requests: Requests) {
    let Requests { asks, answers } = requests;
    let (hub, client) = (&application.hub, application.client);
    answers.set_byte_limit(hub.limits.reply_bytes);
    let caller: Arc<dyn Caller> = Arc::new(NativeCaller { answers });
    lock(&hub.ports).callers.insert(client, caller.clone());
    let mut nothing = JoinSet::new();
    while let Some(ask) = next(&asks, &mut nothing).await {
        match ask {
            Ask::Request(number, cluster, left, wait_for_member, body) => {
                let terms = Terms { deadline: Duration::from_millis(left), wait_for_member };
                tracing::debug!(client = client.0, number, cluster, "request");
                let asked = application.may(Act::Request(&cluster)).and_then(|()| {
                    let asked =
                        hub.tell(|core, now| core.request(now, client, number, &cluster, body, terms));
                    asked.map_err(|refused| refused.to_string())
                });
                if let Err(why) = asked
                    && caller.refuse(number, why).is_err()
                {
                    return;
                }
            }
            Ask::Cancel(number) => hub.tell(|core, now| core.cancel(now, client, number)),
        }
    }
    // It asks no more: the channel of answers ends behind the last one.
    hub.leaving.until(|| lock(&hub.core).requests_of(client) == 0).await;
    lock(&hub.ports).callers.remove(&client);
}

// ---- subscriptions

impl Subscriber for Feed {
    fn event(&self, body: Body) -> bool {
        self.give(body)
    }
}

impl Application {
    /// The subscription is in force when this returns. The future ends it when its receiver is gone.
    fn subscribe(&self, asked: Subscribe) -> Option<impl Future<Output = ()> + use<>> {
        let Subscribe { topic, bytes, events, ready } = asked;
        let subscribed = self.may(Act::Subscribe(&topic)).and_then(|()| {
            let subscribed = self.hub.tell(|core, _| core.subscribe(self.client, &topic));
            subscribed.map_err(|refused| refused.to_string())
        });
        let id = match subscribed {
            Ok(id) => id,
            Err(why) => {
                // It may have gone meanwhile.
                drop(ready.try_send(Err(why)));
                return None;
            }
        };
        let gone = events.closed_owned();
        lock(&self.hub.ports).subscribers.insert(id, Feed::new(events, bytes, &self.backlog));
        tracing::info!(client = self.client.0, topic, subscription = id.0, "subscribed");
        drop(ready.try_send(Ok(())));
        let ends = Subscribed { hub: self.hub.clone(), id };
        Some(async move {
            tokio::select! {
                _why = gone => {}
                // What waits is still read: its sender is dropped, not the reader.
                () = ends.hub.leaving.begins() => {}
            }
            drop(ends);
        })
    }
}

/// Ends a subscription however its task ends.
struct Subscribed {
    hub: Arc<Hub>,
    id: SubscriptionId,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        lock(&self.hub.ports).subscribers.remove(&self.id);
        self.hub.tell(|core, _| core.unsubscribe(self.id));
        tracing::info!(subscription = self.id.0, "unsubscribed");
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NameEmpty => f.write_str("the name is empty"),
            Self::NameTooLong { limit } => write!(f, "the name is too long: at most {limit} bytes are taken"),
            Self::TooManyAttachments { limit } => {
                write!(
                    f,
                    "the application has {limit} subscriptions and registrations already, which is the most"
                )
            }
            Self::NumberInUse => f.write_str("the application has a request of this number under way"),
            Self::UnknownClient => f.write_str("the application is not attached any more"),
        }
    }
}
