//! One binding's connection: its handshake, what it says, and what the relay says to it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::frame::{
    Caps, FromClient, Hello, ToClient, VERSION, read, read_hello, version_refusal, write_accept, write_deny,
};
use super::out::Out;
use super::tunnel::Tunnels;
use crate::app::lock;
use crate::body::Body;
use crate::core::{CallId, ClientId, Failed, MemberId, Outcome, Reply, Room, SubscriptionId, Terms};
use crate::relay::port::{Caller, Gone, Member, Subscriber};
use crate::relay::{Act, Hub};
use crate::wire::Line;

/// How long a binding may take for its handshake, and to take the last bytes of its connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that a binding takes at the same time: it has a queue of its own, and limits for it.
const SLOTS: usize = 4096;
/// Bytes of these: the original's limit for what waits in a binding.
const BYTES: usize = 64 << 20;
const CAPS: Caps = Caps { name: 8192, message: 64 << 20 };

/// Serves a binding, which came by this port, until its connection is over.
pub(super) async fn serve<S>(hub: Arc<Hub>, socket: S, relay_port: u16)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut from, mut to) = tokio::io::split(socket);
    let mut buffer = BytesMut::new();
    let greeted = timeout(PATIENCE, greet(&mut from, &mut to, &mut buffer)).await;
    let Ok(Ok(Some(hello))) = greeted else {
        tracing::info!("a program that is no binding, or too slow, is not attached");
        return;
    };
    let out = Arc::new(Out::default());
    let writing = {
        let out = out.clone();
        tokio::spawn(async move { out.write_to(to).await })
    };
    let why = match Attached::new(&hub, &out, &hello.cluster, relay_port) {
        Ok(mut attached) => attached.run(&mut from, &mut buffer).await,
        Err(why) => why,
    };
    out.close(&why);
    if timeout(PATIENCE, writing).await.is_err() {
        tracing::info!("a binding did not take the end of its connection");
    }
}

/// The handshake. `None`: it was refused, and the binding was told where the original tells it.
async fn greet(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<Hello>> {
    let hello = loop {
        match read_hello(buffer, CAPS) {
            Ok(Some(hello)) => break hello,
            Ok(None) if from.read_buf(buffer).await? > 0 => {}
            Ok(None) => return Ok(None),
            Err(violation) => {
                tracing::info!(%violation, "no binding");
                return Ok(None);
            }
        }
    };
    let mut answer = BytesMut::new();
    let accepted = hello.version == VERSION;
    if accepted {
        write_accept(&mut answer);
    } else {
        write_deny(&mut answer, &version_refusal(&hello.version));
    }
    to.write_all(&answer).await?;
    if !accepted {
        to.shutdown().await?;
    }
    Ok(accepted.then_some(hello))
}

/// A binding that is attached. Dropping it detaches.
struct Attached {
    hub: Arc<Hub>,
    out: Arc<Out>,
    client: ClientId,
    member: Option<MemberId>,
    topics: HashMap<String, SubscriptionId>,
    tunnels: Arc<Tunnels>,
}

impl Attached {
    fn new(hub: &Arc<Hub>, out: &Arc<Out>, cluster: &str, relay_port: u16) -> Result<Self, String> {
        let client = hub.tell(|core, _| core.attach());
        tracing::info!(client = client.0, relay_port, "connecting new client");
        let tunnels = Tunnels::new(hub.clone(), out.clone());
        let mut attached = Self {
            hub: hub.clone(),
            out: out.clone(),
            client,
            member: None,
            topics: HashMap::new(),
            tunnels,
        };
        lock(&hub.ports).callers.insert(client, Arc::new(Port { out: out.clone(), tunnels: Weak::new() }));
        if !cluster.is_empty() {
            attached.may(Act::Register(cluster))?;
            let registered = hub.tell(|core, now| core.register(now, client, cluster, Room::NONE));
            let member = registered.map_err(|refused| refused.to_string())?;
            attached.member = Some(member);
            let port = Port { out: out.clone(), tunnels: Arc::downgrade(&attached.tunnels) };
            lock(&hub.ports).members.insert(member, Arc::new(port));
            let room = Room { slots: SLOTS, bytes: BYTES.min(hub.limits.member_bytes) };
            hub.tell(|core, now| core.set_room(now, member, room));
            hub.joined.notify_waiters();
        }
        match attached.member {
            Some(member) => {
                tracing::info!(
                    client = client.0,
                    member = member.0,
                    cluster,
                    "client connection established"
                );
            }
            None => tracing::info!(client = client.0, "client connection established"),
        }
        Ok(attached)
    }

    /// Reads until the connection is over. Returns what the binding is told: nothing, if it has asked for the end.
    async fn run(&mut self, from: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> String {
        loop {
            match read(buffer, CAPS) {
                Ok(Some(FromClient::Close)) => return String::new(),
                Ok(Some(frame)) => {
                    if let Err(why) = self.take(frame).await {
                        return why;
                    }
                }
                Ok(None) => tokio::select! {
                    read = from.read_buf(buffer) => match read {
                        Ok(0) => return String::new(),
                        Ok(_) => {}
                        Err(error) => return error.to_string(),
                    },
                    () = self.has_left() => return "the relay leaves".to_owned(),
                },
                Err(violation) => {
                    tracing::info!(client = self.client.0, %violation, "a binding broke the protocol");
                    return violation.to_string();
                }
            }
        }
    }

    /// Completes when the relay leaves and nothing of this binding is under way, or its time to leave is up.
    async fn has_left(&self) {
        let leaving = &self.hub.leaving;
        leaving.begins().await;
        if let Some(member) = self.member {
            self.hub.tell(|core, now| core.set_room(now, member, Room::NONE));
        }
        tokio::select! {
            () = leaving.until(|| self.is_idle()) => {}
            () = leaving.is_due() => {}
        }
    }

    fn is_idle(&self) -> bool {
        let core = lock(&self.hub.core);
        core.requests_of(self.client) == 0 && self.member.is_none_or(|member| core.in_hand(member) == 0)
    }

    async fn take(&mut self, frame: FromClient) -> Result<(), String> {
        match frame {
            FromClient::Close => {}
            FromClient::Broadcast { cluster, body } => {
                // A post has no answer: where it is refused, that is counted, and an event tells it.
                if self.may(Act::Broadcast(&cluster)).is_ok() {
                    self.hub.broadcast(&cluster, &Body::bytes(body));
                }
            }
            FromClient::Publish { topic, body } => {
                if self.may(Act::Publish(&topic)).is_ok() {
                    self.hub.publish(&topic, &Body::bytes(body));
                }
            }
            FromClient::Request { id, cluster, body, timeout_ms } => {
                let terms = Terms { deadline: Duration::from_millis(timeout_ms), wait_for_member: true };
                let (client, body) = (self.client, Body::bytes(body));
                let asked = self.may(Act::Request(&cluster)).and_then(|()| {
                    let asked =
                        self.hub.tell(|core, now| core.request(now, client, id, &cluster, body, terms));
                    asked.map_err(|refused| refused.to_string())
                });
                if let Err(text) = asked {
                    self.out.put_or_end(&ToClient::Reply { id, result: Some(Err(text.as_bytes())) });
                }
            }
            FromClient::Reply { id, result } => {
                let Some(member) = self.member else {
                    return Err("a reply by a client that serves nothing".into());
                };
                let reply = match result {
                    Ok(body) => Reply::Ok(Body::bytes(body)),
                    Err(text) => Reply::Fault(Body::bytes(text)),
                };
                self.hub.report(member, CallId(id), reply);
            }
            FromClient::Subscribe { topic } => self.subscribe(topic)?,
            FromClient::Unsubscribe { topic } => {
                if let Some(id) = self.topics.remove(&topic) {
                    tracing::info!(client = self.client.0, subscription = id.0, "unsubscribed");
                    lock(&self.hub.ports).subscribers.remove(&id);
                    self.hub.tell(|core, _| core.unsubscribe(id));
                }
            }
            FromClient::TunnelInit { id, cluster, timeout_ms } => match self.may(Act::Tunnel(&cluster)) {
                Ok(()) => self.tunnels.open(id, cluster, timeout_ms),
                Err(_counted) => {
                    self.out.put_or_end(&ToClient::TunnelConfirm { id, chunk: None });
                }
            },
            FromClient::TunnelConfirm { build, id } => self.tunnels.confirm(build, id),
            FromClient::TunnelAllow { id, bytes } => self.tunnels.allow(id, bytes),
            FromClient::TunnelTransfer { id, size, chunk } => self.tunnels.transfer(id, size, &chunk)?,
            FromClient::TunnelClose { id } => self.tunnels.close(id),
        }
        Ok(())
    }

    /// A binding has no credentials, and no name.
    ///
    /// # Errors
    /// The relay does not allow it: the text for the binding.
    fn may(&self, act: Act<'_>) -> Result<(), String> {
        self.hub.may(self.client, None, act)
    }

    fn subscribe(&mut self, topic: String) -> Result<(), String> {
        // The original drops the connection of a binding that subscribes twice; its bindings check that themselves.
        if self.topics.contains_key(&topic) {
            return Ok(());
        }
        self.may(Act::Subscribe(&topic))?;
        let client = self.client;
        let subscribed = self.hub.tell(|core, _| core.subscribe(client, &topic));
        let id = subscribed.map_err(|refused| refused.to_string())?;
        tracing::info!(client = client.0, topic, subscription = id.0, "subscribed");
        let subscriber = Topic { out: self.out.clone(), topic: topic.clone() };
        lock(&self.hub.ports).subscribers.insert(id, Arc::new(subscriber));
        self.topics.insert(topic, id);
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.tunnels.end();
        {
            let mut ports = lock(&self.hub.ports);
            ports.callers.remove(&self.client);
            self.topics.values().for_each(|id| drop(ports.subscribers.remove(id)));
            self.member.iter().for_each(|member| drop(ports.members.remove(member)));
        }
        self.hub.tell(|core, now| core.detach(now, self.client));
        tracing::info!(client = self.client.0, "detaching from relay");
    }
}

/// A binding as the relay sees it: as a caller, and as a member.
struct Port {
    out: Arc<Out>,
    tunnels: Weak<Tunnels>,
}

impl Caller for Port {
    fn answer(&self, number: u64, result: Result<Body, Outcome<Body>>) -> Result<(), Gone> {
        let body: Bytes;
        let result = match result {
            Ok(reply) => {
                body = reply.into_bytes();
                Some(Ok(&body[..]))
            }
            Err(Outcome::Fault(text)) => {
                body = text.into_bytes();
                Some(Err(&body[..]))
            }
            Err(Outcome::Failed(Failed::Timeout | Failed::NoMember)) => None,
            Err(Outcome::Failed(Failed::Busy)) => {
                Some(Err(&b"the cluster has no room for the request now"[..]))
            }
            Err(Outcome::Failed(Failed::Going)) => {
                Some(Err(&b"the relay leaves, and has not taken the request"[..]))
            }
            Err(Outcome::Failed(Failed::Lost)) => Some(Err(&b"the service that had the request is gone"[..])),
        };
        self.say(&ToClient::Reply { id: number, result })
    }

    fn refuse(&self, number: u64, why: String) -> Result<(), Gone> {
        self.say(&ToClient::Reply { id: number, result: Some(Err(why.as_bytes())) })
    }
}

impl Port {
    fn say(&self, frame: &ToClient<'_>) -> Result<(), Gone> {
        if self.out.put_or_end(frame) { Ok(()) } else { Err(Gone) }
    }
}

impl Member for Port {
    fn call(&self, call: CallId, body: Body, left: Duration) -> Result<(), Gone> {
        // Rounded up: a request with less than a millisecond left is not one with none.
        let timeout_ms = u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let body = body.into_bytes();
        self.say(&ToClient::Request { id: call.0, body: &body, timeout_ms })
    }

    fn cancel(&self, _call: CallId) -> bool {
        // The protocol has no word for it: a late reply is ignored.
        true
    }

    fn broadcast(&self, body: Body) -> bool {
        self.out.put(&ToClient::Broadcast { body: body.as_bytes() })
    }

    fn tunnel(&self, line: Line) -> Result<(), Box<Line>> {
        match self.tunnels.upgrade() {
            Some(tunnels) => tunnels.offer(line),
            None => Err(Box::new(line)),
        }
    }
}

struct Topic {
    out: Arc<Out>,
    topic: String,
}

impl Subscriber for Topic {
    fn event(&self, body: Body) -> bool {
        self.out.put(&ToClient::Publish { topic: &self.topic, body: body.as_bytes() })
    }
}
