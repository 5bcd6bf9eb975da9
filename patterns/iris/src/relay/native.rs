//! The face of applications that speak libchan: each named channel of a session is served by a task, and nothing here waits for
//! an application that does not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libchan::{Incoming, Message, Receiver, Sender, Session};
use tokio::task::JoinSet;

use super::Hub;
use super::port::{Caller, Gone, Member, Subscriber};
use crate::app::lock;
use crate::body::Body;
use crate::core::{CallId, ClientId, MemberId, Outcome, Refused, Reply, Terms};
use crate::wire::{
    Answer, Ask, Call, Event, Line, POSTS, Post, REGISTER, REQUESTS, Register, Report, Requests, SUBSCRIBE,
    Subscribe, TUNNELS, Verdict,
};

/// Serves an application until its session is over.
pub(super) async fn serve(hub: Arc<Hub>, session: Session) {
    let client = hub.tell(|core, _| core.attach());
    tracing::info!(client = client.0, peer = ?session.info().peer, "client connection established");
    let mut tasks = JoinSet::new();
    let why = loop {
        tokio::select! {
            incoming = session.accept() => match incoming {
                Ok(Some(incoming)) => open(&mut tasks, &hub, client, incoming),
                Ok(None) => break None,
                Err(why) => break Some(why),
            },
            Some(_ended) = tasks.join_next() => {}
        }
    };
    tasks.shutdown().await;
    hub.tell(|core, now| core.detach(now, client));
    lock(&hub.ports).callers.remove(&client);
    tracing::info!(client = client.0, ?why, "detaching from relay");
}

fn open(tasks: &mut JoinSet<()>, hub: &Arc<Hub>, client: ClientId, incoming: Incoming) {
    let hub = hub.clone();
    match incoming.name() {
        REQUESTS => {
            let opened = incoming.receive();
            tasks.spawn(async move {
                if let Ok(Some(requests)) = opened.recv().await {
                    serve_requests(&hub, client, requests).await;
                }
            });
        }
        POSTS => drop(tasks.spawn(each(incoming.receive(), move |post| match post {
            Post::Broadcast(cluster, body) => hub.broadcast(&cluster, &body),
            Post::Publish(topic, body) => hub.publish(&topic, &body),
        }))),
        SUBSCRIBE => {
            let asked = incoming.receive();
            tasks.spawn(async move {
                let mut subscriptions = JoinSet::new();
                while let Some(asked) = next(&asked, &mut subscriptions).await {
                    if let Some(subscription) = subscribe(&hub, client, asked) {
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
                    members.spawn(serve_member(hub.clone(), client, asked));
                }
                while members.join_next().await.is_some() {}
            });
        }
        TUNNELS => drop(tasks.spawn(each(incoming.receive(), move |line| hub.tunnel(line)))),
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

async fn serve_requests(hub: &Hub, client: ClientId, requests: Requests) {
    let Requests { asks, answers } = requests;
    let caller: Arc<dyn Caller> = Arc::new(NativeCaller { answers });
    lock(&hub.ports).callers.insert(client, caller.clone());
    let mut nothing = JoinSet::new();
    while let Some(ask) = next(&asks, &mut nothing).await {
        match ask {
            Ask::Request(number, cluster, left, wait_for_member, body) => {
                let terms = Terms { deadline: Duration::from_millis(left), wait_for_member };
                tracing::debug!(client = client.0, number, cluster, "request");
                let asked = hub.tell(|core, now| core.request(now, client, number, &cluster, body, terms));
                if let Err(refused) = asked
                    && caller.refuse(number, refused.to_string()).is_err()
                {
                    return;
                }
            }
            Ask::Cancel(number) => hub.tell(|core, now| core.cancel(now, client, number)),
        }
    }
}

// ---- subscriptions

struct NativeSubscriber {
    events: Sender<Event>,
    lost: AtomicU64,
}

impl Subscriber for NativeSubscriber {
    fn event(&self, body: Body) -> bool {
        give(&self.events, &self.lost, body)
    }
}

/// Gives an event or broadcast to a receiver that may be slow.
fn give(events: &Sender<Event>, lost: &AtomicU64, body: Body) -> bool {
    let given = events.try_send(Event(lost.load(Ordering::Relaxed), body)).is_ok();
    if !given {
        lost.fetch_add(1, Ordering::Relaxed);
    }
    given
}

/// The subscription is in force when this returns. The future ends it when its receiver is gone.
fn subscribe(hub: &Arc<Hub>, client: ClientId, asked: Subscribe) -> Option<impl Future<Output = ()> + use<>> {
    let Subscribe { topic, events, ready } = asked;
    let subscribed = hub.tell(|core, _| core.subscribe(client, &topic));
    let id = match subscribed {
        Ok(id) => id,
        Err(refused) => {
            drop(ready.try_send(Err(refused.to_string())));
            return None;
        }
    };
    let subscriber = NativeSubscriber { events: events.clone(), lost: AtomicU64::new(0) };
    lock(&hub.ports).subscribers.insert(id, Arc::new(subscriber));
    drop(ready.try_send(Ok(())));
    let ends = Subscribed { hub: hub.clone(), id };
    Some(async move {
        let _why = events.closed().await;
        drop(ends);
    })
}

/// Ends a subscription however its task ends.
struct Subscribed {
    hub: Arc<Hub>,
    id: crate::core::SubscriptionId,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        lock(&self.hub.ports).subscribers.remove(&self.id);
        self.hub.tell(|core, _| core.unsubscribe(self.id));
    }
}

// ---- members

struct NativeMember {
    calls: Sender<Call>,
    broadcasts: Sender<Event>,
    tunnels: Sender<Line>,
    lost: AtomicU64,
}

impl Member for NativeMember {
    fn call(&self, call: CallId, body: Body, left: Duration) -> Result<(), Gone> {
        let left = u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        self.calls.try_send(Call::Request(call.0, left, body)).map_err(|_| Gone)
    }

    fn cancel(&self, call: CallId) -> bool {
        // No room: the handler runs on until its deadline. It says when it is over.
        drop(self.calls.try_send(Call::Cancel(call.0)));
        false
    }

    fn broadcast(&self, body: Body) -> bool {
        give(&self.broadcasts, &self.lost, body)
    }

    fn tunnel(&self, line: Line) -> Result<(), Box<Line>> {
        self.tunnels.try_send(line).map_err(|failed| Box::new(failed.into_value()))
    }
}

/// Ends a membership however its task ends.
struct Membership {
    hub: Arc<Hub>,
    id: MemberId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.hub.ports).members.remove(&self.id);
        self.hub.tell(|core, now| core.leave(now, self.id));
    }
}

async fn serve_member(hub: Arc<Hub>, client: ClientId, asked: Register) {
    let Register { cluster, slots, calls, reports, broadcasts, tunnels, ready } = asked;
    // Slots come when the member can be found: a call to it before would find nobody.
    let registered = hub.tell(|core, now| core.register(now, client, &cluster, 0));
    let id = match registered {
        Ok(id) => id,
        Err(refused) => {
            drop(ready.try_send(Err(refused.to_string())));
            return;
        }
    };
    let member = NativeMember { calls, broadcasts, tunnels, lost: AtomicU64::new(0) };
    lock(&hub.ports).members.insert(id, Arc::new(member));
    let membership = Membership { hub: hub.clone(), id };
    tracing::info!(client = client.0, cluster, slots, "member registered");
    drop(ready.try_send(Ok(())));
    hub.tell(|core, now| core.set_slots(now, id, slots as usize));
    hub.joined.notify_waiters();
    let mut nothing = JoinSet::new();
    let mut leaves = false;
    // A member that leaves is let go, by the end of its calls, when nothing is in its hand and nothing on its way to it.
    while !(leaves && lock(&hub.core).in_hand(id) == 0)
        && let Some(report) = next(&reports, &mut nothing).await
    {
        match report {
            Report::Ok(call, body) => hub.report(id, CallId(call), Reply::Ok(body)),
            Report::Fault(call, text) => hub.report(id, CallId(call), Reply::Fault(text)),
            Report::Shed(call) => hub.report(id, CallId(call), Reply::Shed),
            Report::Expired(call) => hub.report(id, CallId(call), Reply::Expired),
            Report::Slots(slots) => {
                leaves = slots == 0;
                hub.tell(|core, now| core.set_slots(now, id, slots as usize));
            }
        }
    }
    drop(membership);
    tracing::info!(client = client.0, cluster, "member left");
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
            Self::UnknownClient => f.write_str("the application is not attached any more"),
        }
    }
}
