//! An HTTP/2 proxy that does to streams what real proxies have been seen to do.
//!
//! It is a server towards the clients and a client towards our server, over pipes in memory. What it is to do is in
//! [`Traps`]; each field is the behaviour of at least one real proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use libchan::LinkInfo;
use libchan_transports::http::{HttpPeer, Server};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

/// What the proxy does beside passing bytes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traps {
    /// T1: holds the response's headers until its first DATA.
    pub(crate) hold_response: bool,
    /// T1: holds the request until its first DATA.
    pub(crate) hold_request: bool,
    /// Holds the request until it has ended.
    pub(crate) buffer_request: bool,
    /// Holds the response until it has ended.
    pub(crate) buffer_response: bool,
    /// T2: resets the request when the response has ended.
    pub(crate) kill_request: bool,
    /// T2: resets the response so long after the request has ended.
    pub(crate) request_end_limit: Option<Duration>,
    /// T3: makes clean ends of resets and of its own timeouts.
    pub(crate) resets_become_ends: bool,
    /// T4: puts this code into every reset.
    pub(crate) code: Option<Reason>,
    /// T6: a connection of its own to the server for each stream, and not one for all.
    pub(crate) no_pool: bool,
    /// T7: the window of its connections, which it gives back only for what it has passed on.
    pub(crate) window: Option<u32>,
    /// T10: resets after so many bytes of a request.
    pub(crate) body_limit: Option<usize>,
    /// T11: cuts a direction that has been silent for so long.
    pub(crate) idle: Option<Duration>,
    /// Cuts and joins DATA as it likes.
    pub(crate) rechunk: bool,
}

/// A proxy in front of one server.
#[derive(Clone)]
pub(crate) struct Proxy {
    traps: Traps,
    server: Server,
    pooled: Arc<Mutex<Option<SendRequest<Bytes>>>>,
    upstreams: Arc<AtomicUsize>,
    cut: Arc<Notify>,
}

impl Proxy {
    pub(crate) fn new(server: Server, traps: Traps) -> Self {
        let (pooled, upstreams) = (Arc::default(), Arc::default());
        Self { traps, server, pooled, upstreams, cut: Arc::default() }
    }

    /// A client's connection.
    pub(crate) fn connect(&self) -> DuplexStream {
        let (client, ours) = duplex(16 * 1024);
        let proxy = self.clone();
        tokio::spawn(async move {
            let mut builder = h2::server::Builder::new();
            if let Some(window) = proxy.traps.window {
                builder.initial_connection_window_size(window).initial_window_size(window);
            }
            let Ok(mut connection) = builder.handshake(ours).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                let proxy = proxy.clone();
                tokio::spawn(async move { proxy.stream(request, respond).await });
            }
        });
        client
    }

    /// How many connections to the server there have been.
    pub(crate) fn upstreams(&self) -> usize {
        self.upstreams.load(Ordering::Relaxed)
    }

    /// The proxy's own timeout strikes every stream.
    pub(crate) fn time_out(&self) {
        self.cut.notify_waiters();
    }

    async fn upstream(&self) -> SendRequest<Bytes> {
        let mut pooled = self.pooled.lock().await;
        if let Some(upstream) = pooled.as_ref().filter(|_| !self.traps.no_pool) {
            return upstream.clone();
        }
        self.upstreams.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = duplex(16 * 1024);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve(theirs, HttpPeer::new(LinkInfo::new("proxy"), None)).await });
        let mut builder = h2::client::Builder::new();
        if let Some(window) = self.traps.window {
            builder.initial_connection_window_size(window).initial_window_size(window);
        }
        let (upstream, connection) = builder.handshake(ours).await.unwrap();
        tokio::spawn(connection);
        *pooled = Some(upstream.clone());
        upstream
    }

    async fn stream(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (head, mut from_client) = request.into_parts();
        let first = match (self.traps.hold_request, self.traps.buffer_request) {
            (_, true) => collect(&mut from_client).await,
            (true, false) => from_client.data().await,
            (false, false) => None,
        };
        let mut upstream = self.upstream().await.ready().await.unwrap();
        let (response, mut to_server) = upstream.send_request(Request::from_parts(head, ()), false).unwrap();
        if let Some(Ok(data)) = first {
            pass(&mut from_client, &mut to_server, data, false).await;
        }
        let up = tokio::spawn(self.clone().pump(from_client, to_server, self.traps.body_limit));
        let Ok(response) = response.await else { return respond.send_reset(self.code(Reason::CANCEL)) };
        let (head, mut from_server) = response.into_parts();
        let first = match (self.traps.hold_response, self.traps.buffer_response) {
            (_, true) => collect(&mut from_server).await,
            (true, false) => from_server.data().await,
            (false, false) => None,
        };
        let mut to_client = respond.send_response(Response::from_parts(head, ()), false).unwrap();
        if let Some(Ok(data)) = first {
            pass(&mut from_server, &mut to_client, data, false).await;
        }
        let mut down = tokio::spawn(self.clone().pump(from_server, to_client, None));
        let mut up = up;
        // One direction that is cut cuts the other.
        tokio::select! {
            ended = &mut down => match ended.unwrap() {
                true if self.traps.kill_request => up.abort(),
                true => drop(up.await),
                false => up.abort(),
            },
            ended = &mut up => match (ended.unwrap(), self.traps.request_end_limit) {
                (true, Some(limit)) => {
                    let _ = timeout(limit, &mut down).await;
                    down.abort();
                }
                (true, None) => drop(down.await),
                (false, _) => down.abort(),
            },
        }
    }

    /// Moves one direction; true if it has ended in good order.
    async fn pump(self, mut from: RecvStream, mut to: SendStream<Bytes>, limit: Option<usize>) -> bool {
        let (mut passed, mut turn) = (0, 0_usize);
        let clean = loop {
            let data = tokio::select! {
                data = from.data() => data,
                () = self.cut.notified() => break false,
                () = sleep(self.traps.idle.unwrap_or(Duration::MAX)) => break false,
            };
            let Some(Ok(data)) = data else { break data.is_none() };
            passed += data.len();
            if limit.is_some_and(|limit| passed > limit) {
                break false;
            }
            turn += 1;
            let sent = match self.traps.rechunk {
                true => rechunk(&mut from, &mut to, data, turn).await,
                false => pass(&mut from, &mut to, data, false).await,
            };
            if !sent {
                break false;
            }
        };
        match clean || self.traps.resets_become_ends {
            true => drop(to.send_data(Bytes::new(), true)),
            false => to.send_reset(self.code(Reason::CANCEL)),
        }
        clean
    }

    fn code(&self, default: Reason) -> Reason {
        self.traps.code.unwrap_or(default)
    }
}

/// All of a direction, once it has ended.
async fn collect(from: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let mut all = Vec::new();
    while let Some(Ok(data)) = from.data().await {
        let _ = from.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
    }
    Some(Ok(all.into()))
}

/// Passes one chunk on as far as windows allow, and gives the window back then. False: nobody takes it.
async fn pass(from: &mut RecvStream, to: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> bool {
    let length = data.len();
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        while to.capacity() == 0 {
            match std::future::poll_fn(|cx| to.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                _ => return false,
            }
        }
        let part = data.split_to(data.len().min(to.capacity()));
        if to.send_data(part, end && data.is_empty()).is_err() {
            return false;
        }
    }
    let _ = from.flow_control().release_capacity(length);
    true
}

/// Cuts a chunk into pieces, of one byte now and then, or joins it with the next.
async fn rechunk(from: &mut RecvStream, to: &mut SendStream<Bytes>, data: Bytes, turn: usize) -> bool {
    let mut joined = data.to_vec();
    if turn.is_multiple_of(3)
        && let Ok(Some(Ok(more))) = timeout(Duration::from_millis(1), from.data()).await
    {
        joined.extend_from_slice(&more);
    }
    let piece = [1, 7, 100, 4096, 100_000][turn % 5];
    let small = joined.len().min(200);
    for part in joined[..small].chunks(piece.min(17)).chain(joined[small..].chunks(piece.max(100))) {
        if !pass(from, to, Bytes::copy_from_slice(part), false).await {
            return false;
        }
    }
    true
}
