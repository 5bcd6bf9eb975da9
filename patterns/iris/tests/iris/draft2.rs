//! The original's test list over draft2, by a binding of the tests' own, with the list's names, numbers and assertions; then the
//! faults of the original that the relay is not to have.
//!
//! Where the original asserts a time, the deadline here is ten times as long; what happens, and how often, is what is asserted.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libchan_iris::{Body, Limits, Relay, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::binding::{Binding, Came, Heard, hello};
use crate::support::SECOND;

const CLUSTER: &str = "go-binding-test-cluster";
const TOPIC: &str = "go-binding-test-topic";

/// A relay with a draft2 port.
struct Place {
    relay: Relay,
    port: u16,
}

fn with_relay<F: Future<Output = ()>>(case: impl FnOnce(Place) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async {
        let relay = Relay::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let serving = relay.clone();
        tokio::spawn(async move { serving.serve_draft2(listener).await });
        tokio::time::timeout(60 * SECOND, case(Place { relay, port })).await
    });
    assert!(ended.is_ok(), "nothing came of it in time");
    runtime.shutdown_background();
}

impl Place {
    async fn client(&self) -> (Binding, Heard) {
        Binding::attach(self.port, "").await
    }

    async fn server(&self) -> (Binding, Heard) {
        Binding::attach(self.port, CLUSTER).await
    }

    /// Members of the cluster in the relay: a registration is in force when the relay has accepted it.
    async fn echo(&self, count: usize) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        for _ in 0..count {
            let (binding, mut heard) = self.server().await;
            serving.spawn(async move {
                while let Some(asked) = heard.requests.recv().await {
                    binding.reply(asked.id, Ok(&asked.body)).await;
                }
            });
        }
        while self.relay.status().members < count {
            tokio::task::yield_now().await;
        }
        serving
    }
}

#[test]
fn test_connect() {
    with_relay(|place| async move {
        let place = Arc::new(place);
        let mut all = JoinSet::new();
        for _ in 0..100 {
            let place = place.clone();
            all.spawn(async move {
                let (binding, heard) = place.client().await;
                binding.close().await;
                assert_eq!(heard.closed.await.unwrap(), "", "a graceful end");
            });
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
        while place.relay.status().clients > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn test_register() {
    with_relay(|place| async move {
        let mut all = Vec::new();
        for _ in 0..100 {
            all.push(place.server().await);
        }
        while place.relay.status().members < 100 {
            tokio::task::yield_now().await;
        }
        for (binding, heard) in all {
            binding.close().await;
            assert_eq!(heard.closed.await.unwrap(), "");
        }
        while place.relay.status().members > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn test_broadcast() {
    const SIDE: usize = 25;
    with_relay(|place| async move {
        let (mut senders, mut listeners) = (Vec::new(), Vec::new());
        for _ in 0..SIDE {
            senders.push(place.client().await);
            listeners.push(place.server().await);
        }
        while place.relay.status().members < SIDE {
            tokio::task::yield_now().await;
        }
        for (index, (binding, _)) in senders.iter().chain(&listeners).enumerate() {
            for message in 0..SIDE {
                binding.broadcast(CLUSTER, format!("{index}/{message}").as_bytes()).await;
            }
        }
        for (_, heard) in &mut listeners {
            let mut distinct = HashSet::new();
            for _ in 0..2 * SIDE * SIDE {
                assert!(distinct.insert(heard.broadcasts.recv().await.unwrap()));
            }
        }
    });
}

#[test]
fn test_publish() {
    with_relay(|place| async move {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(place.client().await);
            all.push(place.server().await);
        }
        for (binding, _) in &all {
            for topic in 0..7 {
                binding.subscribe(&format!("{TOPIC}-{topic}")).await;
            }
        }
        while place.relay.status().subscriptions < 70 {
            tokio::task::yield_now().await;
        }
        for (index, (binding, _)) in all.iter().enumerate() {
            for topic in 0..7 {
                for event in 0..15 {
                    binding.publish(&format!("{TOPIC}-{topic}"), format!("{index}/{event}").as_bytes()).await;
                }
            }
        }
        for (_, heard) in &mut all {
            let mut distinct = HashSet::new();
            for _ in 0..7 * 150 {
                assert!(distinct.insert(heard.events.recv().await.unwrap()));
            }
        }
        for (binding, _) in &all {
            binding.unsubscribe(&format!("{TOPIC}-0")).await;
        }
        while place.relay.status().subscriptions > 60 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn test_request() {
    const SIDE: usize = 25;
    with_relay(|place| async move {
        let _serving = place.echo(SIDE).await;
        let mut asking = JoinSet::new();
        for index in 0..2 * SIDE {
            let (binding, _) = place.client().await;
            asking.spawn(async move {
                for request in 0..SIDE {
                    let body = format!("{index}/{request}").into_bytes();
                    assert_eq!(binding.request(CLUSTER, &body, 10_000).await, Came::Reply(body));
                }
            });
        }
        while let Some(ended) = asking.join_next().await {
            ended.unwrap();
        }
    });
}

#[test]
fn test_request_fail() {
    with_relay(|place| async move {
        let (server, mut heard) = place.server().await;
        let (client, _) = place.client().await;
        tokio::spawn(async move {
            while let Some(asked) = heard.requests.recv().await {
                let text = String::from_utf8(asked.body).unwrap();
                server.reply(asked.id, Err(&text)).await;
            }
        });
        for request in 0..125 {
            let text = format!("failure {request}");
            assert_eq!(client.request(CLUSTER, text.as_bytes(), 10_000).await, Came::Fault(text));
        }
        // The original swallows an empty fault, and its caller runs into the deadline.
        assert_eq!(client.request(CLUSTER, b"", 10_000).await, Came::Fault(String::new()));
    });
}

#[test]
fn test_request_timeout() {
    with_relay(|place| async move {
        let (server, mut heard) = place.server().await;
        let (client, _) = place.client().await;
        let pause = Duration::from_millis(250);
        tokio::spawn(async move {
            while let Some(asked) = heard.requests.recv().await {
                let server = server.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    server.reply(asked.id, Ok(&asked.body)).await;
                });
            }
        });
        assert_eq!(client.request(CLUSTER, b"x", 10_000).await, Came::Reply(b"x".to_vec()));
        assert_eq!(client.request(CLUSTER, b"x", 12).await, Came::Timeout);
        assert_eq!(client.request(CLUSTER, b"x", 0).await, Came::Timeout, "no time is up at once");
    });
}

#[test]
fn test_request_expiration() {
    with_relay(|place| async move {
        let (client, _) = place.client().await;
        let mut asking = JoinSet::new();
        for _ in 0..4 {
            let client = client.clone();
            asking.spawn(async move { client.request(CLUSTER, b"x", 1).await });
        }
        while let Some(came) = asking.join_next().await {
            assert_eq!(came.unwrap(), Came::Timeout);
        }
        // What has expired is not given to a member that comes later.
        let (_server, mut heard) = place.server().await;
        assert_eq!(client.request(CLUSTER, b"y", 100).await, Came::Timeout);
        let asked = heard.requests.recv().await.unwrap();
        assert_eq!((asked.body, asked.timeout_ms > 0), (b"y".to_vec(), true));
        assert!(heard.requests.try_recv().is_err());
    });
}

#[test]
fn test_tunnel() {
    with_relay(|place| async move {
        for _ in 0..7 {
            let (_binding, mut heard) = place.server().await;
            tokio::spawn(async move {
                // The binding lives as long as its tunnels.
                let _binding = _binding;
                while let Some(mut tunnel) = heard.tunnels.recv().await {
                    tokio::spawn(async move {
                        while let Some(message) = tunnel.recv().await {
                            assert!(tunnel.send(&message, 10 * SECOND).await);
                        }
                    });
                }
            });
        }
        while place.relay.status().members < 7 {
            tokio::task::yield_now().await;
        }
        let mut asking = JoinSet::new();
        for index in 0..14 {
            let (binding, _) = place.client().await;
            asking.spawn(async move {
                for _ in 0..7 {
                    let mut tunnel = binding.tunnel(CLUSTER, 10_000).await.expect("a tunnel");
                    for exchange in 0..7 {
                        let message = format!("{index}/{exchange}").into_bytes();
                        assert!(tunnel.send(&message, 10 * SECOND).await);
                        assert_eq!(tunnel.recv().await, Some(message));
                    }
                    tunnel.close().await;
                    assert_eq!(tunnel.recv().await, None);
                }
            });
        }
        while let Some(ended) = asking.join_next().await {
            ended.unwrap();
        }
    });
}

#[test]
fn test_tunnel_timeout() {
    with_relay(|place| async move {
        let (client, _) = place.client().await;
        assert!(client.tunnel(CLUSTER, 100).await.is_none());
    });
}

/// One tunnel to a member that echoes, over which the case speaks.
async fn echoed(place: &Place) -> crate::binding::Tunnel {
    let (binding, mut heard) = place.server().await;
    tokio::spawn(async move {
        let _binding = binding;
        while let Some(mut tunnel) = heard.tunnels.recv().await {
            while let Some(message) = tunnel.recv().await {
                tunnel.send(&message, 60 * SECOND).await;
            }
        }
    });
    let (client, _) = place.client().await;
    client.tunnel(CLUSTER, 10_000).await.expect("a tunnel")
}

#[test]
fn test_tunnel_chunking() {
    with_relay(|place| async move {
        let mut tunnel = echoed(&place).await;
        let message: Vec<u8> = (0..16 << 20).map(|index: u32| (index % 251) as u8).collect();
        assert!(tunnel.send(&message, 60 * SECOND).await);
        assert!(tunnel.recv().await.unwrap() == message);
    });
}

#[test]
fn test_tunnel_overload() {
    with_relay(|place| async move {
        let mut tunnel = echoed(&place).await;
        let large = vec![7; 64 << 20];
        for _ in 0..10 {
            assert!(
                !tunnel.send(&large, Duration::from_millis(10)).await,
                "a window of 4 MiB does not admit 64"
            );
        }
        for exchange in 0..10_u64 {
            let message = exchange.to_be_bytes();
            assert!(tunnel.send(&message, 60 * SECOND).await);
            assert_eq!(tunnel.recv().await.unwrap(), message, "what was given up goes nowhere");
        }
    });
}

// ---- faults of the original

#[test]
fn a_silent_program_does_not_block_handshakes_and_a_foreign_one_is_not_answered() {
    with_relay(|place| async move {
        let _silent = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
        let mut foreign = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
        foreign.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well: bytes were left unread.
        foreign.read_to_end(&mut answer).await.ok();
        assert_eq!(answer, b"");
        let mut old = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
        old.write_all(&hello("v0.9", "")).await.unwrap();
        old.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer[..2], [1, 16]);
        assert!(answer.ends_with(b"Unsupported protocol. Client: v0.9. Iris: v1.0-draft2."));
        let (client, _) = place.client().await;
        assert_eq!(client.request("nobody", b"x", 5).await, Came::Timeout);
    });
}

#[test]
fn a_binding_that_breaks_the_protocol_is_told_why() {
    with_relay(|place| async move {
        let cases: [(&[u8], &str); 5] = [
            (b"\x0e", "unknown opcode: 14"),
            (b"\x00", "opcode 0"),
            (b"\x03\x01c\xff\xff\xff\xff\xff\xff\x7f", "at most 67108864"),
            (b"\x0d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "64 bits"),
            (b"\x06\xff\xff\x03", "at most 8192"),
        ];
        for (bytes, text) in cases {
            let (binding, heard) = place.client().await;
            binding.raw(bytes).await;
            let why = heard.closed.await.unwrap();
            assert!(why.contains(text), "{why}");
        }
        while place.relay.status().clients > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_tunnel_delivers_what_was_sent_before_its_end() {
    with_relay(|place| async move {
        let (_server, mut heard) = place.server().await;
        let (client, _) = place.client().await;
        let tunnel = client.tunnel(CLUSTER, 10_000).await.unwrap();
        let mut far = heard.tunnels.recv().await.unwrap();
        for message in 0..2000_u32 {
            assert!(tunnel.send(&message.to_be_bytes(), 10 * SECOND).await);
        }
        tunnel.close().await;
        for message in 0..2000_u32 {
            assert_eq!(far.recv().await.unwrap(), message.to_be_bytes());
        }
        assert_eq!(far.recv().await, None);
    });
}

#[test]
fn a_tunnel_that_is_not_confirmed_fails_alone() {
    with_relay(|place| async move {
        // A member by hand, which never confirms.
        let mut member = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
        member.write_all(&hello("v1.0-draft2", CLUSTER)).await.unwrap();
        while place.relay.status().members == 0 {
            tokio::task::yield_now().await;
        }
        let (client, _) = place.client().await;
        assert!(client.tunnel(CLUSTER, 500).await.is_none());
        let asking = tokio::spawn(async move { client.request(CLUSTER, b"still there", 10_000).await });
        let mut heard = vec![0; 30 + 5];
        member.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard[30..], [9, 0, 0x80, 0x80, 4], "TUN_INIT");
        // REQUEST, id, body, timeout.
        assert_eq!(member.read_u8().await.unwrap(), 4);
        let id = member.read_u8().await.unwrap();
        member.write_all(&[5, id, 1, 2, b'o', b'k']).await.unwrap();
        assert_eq!(asking.await.unwrap(), Came::Reply(b"ok".to_vec()));
    });
}

#[test]
fn one_that_sends_more_than_it_was_allowed_loses_its_connection_alone() {
    with_relay(|place| async move {
        let (_server, mut heard) = place.server().await;
        let (client, told) = place.client().await;
        let _tunnel = client.tunnel(CLUSTER, 10_000).await.unwrap();
        // The far side reads, but grants nothing to the relay beyond its first 64 MiB; the greedy side ignores its 4 MiB.
        let _far = heard.tunnels.recv().await.unwrap();
        let mut chunk = b"\x0c\x00\x80\x80\x80\x80\x01\x80\x80\x04".to_vec();
        chunk.extend_from_slice(&[0; 65_536]);
        let mut again = b"\x0c\x00\x00\x80\x80\x04".to_vec();
        again.extend_from_slice(&[0; 65_536]);
        let flood: Vec<u8> =
            std::iter::once(&chunk).chain(std::iter::repeat_n(&again, 2000)).flatten().copied().collect();
        let greedy = tokio::spawn(async move { client.raw(&flood).await });
        let why = told.closed.await.unwrap();
        assert!(why.contains("more than it was allowed") || why.starts_with("EOF"), "{why}");
        drop(greedy);
        while place.relay.status().clients > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(place.relay.status().members, 1);
    });
}

#[test]
fn bindings_and_native_applications_serve_each_other() {
    with_relay(|place| async move {
        let _serving = place.echo(1).await;
        let native = place.relay.connect().await.unwrap();
        let said = native
            .request_raw(CLUSTER, Body::bytes("native"), 10 * SECOND, Default::default())
            .await
            .unwrap();
        assert_eq!(said.as_bytes(), b"native");
        let counted = Arc::new(AtomicUsize::new(0));
        let counting = counted.clone();
        struct Upper;
        impl libchan_iris::Handler for Upper {
            async fn request(&self, body: Body) -> Result<Body, libchan_iris::Fault> {
                Ok(Body::bytes(body.as_bytes().to_ascii_uppercase()))
            }
        }
        let _upper = Service::join(native.clone(), "upper", Upper, Limits::default()).await.unwrap();
        let (binding, mut heard) = place.client().await;
        assert_eq!(binding.request("upper", b"shout", 10_000).await, Came::Reply(b"SHOUT".to_vec()));
        binding.subscribe("news").await;
        while place.relay.status().subscriptions == 0 {
            tokio::task::yield_now().await;
        }
        native.publish_raw("news", Body::bytes("plain")).await.unwrap();
        assert_eq!(heard.events.recv().await.unwrap(), ("news".to_owned(), b"plain".to_vec()));
        counting.fetch_add(1, Ordering::Relaxed);
        let tunnel = Service::builder("tunnels").on_tunnel(|mut tunnel| async move {
            while let Ok(Some(message)) = tunnel.recv().await {
                if tunnel.send(message).await.is_err() {
                    return;
                }
            }
            tunnel.close();
        });
        let _tunnel = tunnel.register(native.clone(), Limits::default()).await.unwrap();
        let mut open = binding.tunnel("tunnels", 10_000).await.unwrap();
        assert!(open.send(&vec![1; 200_000], 10 * SECOND).await);
        assert_eq!(open.recv().await.unwrap().len(), 200_000);
        assert_eq!(counted.load(Ordering::Relaxed), 1);
    });
}
