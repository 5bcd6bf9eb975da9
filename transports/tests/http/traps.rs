//! Sessions behind the hostile proxy: what each trap must not do to them.

use std::time::Duration;

use h2::Reason;
use http::{HeaderName, HeaderValue};
use libchan::{LinkInfo, OpenOptions, RecvError, RemoteError, Session, SessionError, SessionOptions};
use libchan_transports::http::{Carriers, HttpDialOptions, Server, dial_http2, service};
use libchan_transports::{
    Address, Candidate, DialError, DialOptions, HttpAddress, ListenOptions, Listener, bearer,
};
use serde_bytes::ByteBuf;
use tokio::time::sleep;

use crate::hostile::{Proxy, Traps};
use crate::support::*;

fn address() -> HttpAddress {
    HttpAddress::parse(&Address::parse("h2c://test").unwrap()).unwrap()
}

fn behind(traps: Traps, options: ListenOptions) -> (Proxy, Listener) {
    let (service, listener) = service("h2c://test/libchan/v1", options);
    let server = Server::new(service, "/libchan/v1", Carriers::only_http2());
    (Proxy::new(server, traps), listener)
}

async fn session(proxy: &Proxy, listener: &Listener, options: DialOptions) -> (Session, Session) {
    let address = address();
    let dialing = dial_http2(proxy.connect(), &address, LinkInfo::new("test"), options);
    let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
    (dialed.unwrap(), accepted.unwrap())
}

async fn through(traps: Traps) -> (Session, Session, Proxy) {
    let (proxy, listener) = behind(traps, ListenOptions::default());
    let (dialed, accepted) = session(&proxy, &listener, DialOptions::default()).await;
    (dialed, accepted, proxy)
}

/// A number there and back.
async fn ping(one: &Session, other: &Session) {
    let (there, at_other) = channel::<u32>(one, other).await;
    let (back, at_one) = channel::<u32>(other, one).await;
    for number in 0..10 {
        soon(there.send(number)).await.unwrap();
        soon(back.send(soon(at_other.recv()).await.unwrap().unwrap())).await.unwrap();
        assert_eq!(soon(at_one.recv()).await.unwrap(), Some(number));
    }
}

#[tokio::test]
async fn t1_both_hellos_leave_at_once() {
    let held = [(true, false), (false, true), (true, true)];
    for (hold_response, hold_request) in held {
        let (dialed, accepted, _) = through(Traps { hold_response, hold_request, ..Traps::default() }).await;
        ping(&dialed, &accepted).await;
        ping(&accepted, &dialed).await;
    }
}

/// A proxy that waits for the end of what never ends: the dial says that no hello came, and nobody is left behind.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_buffers_is_a_dial_without_a_hello() {
    for (buffer_request, buffer_response) in [(true, false), (false, true), (true, true)] {
        for asks in [false, true] {
            let traps = Traps { buffer_request, buffer_response, ..Traps::default() };
            let options = match asks {
                true => ListenOptions::default().authorize(bearer(|name: &str| Ok(name.to_owned()))),
                false => ListenOptions::default(),
            };
            let (proxy, listener) = behind(traps, options);
            let address = address();
            let session = SessionOptions::new().bearer("ann");
            let dialing = dial_http2(
                proxy.connect(),
                &address,
                LinkInfo::new("test"),
                DialOptions::default().session(session),
            );
            let accepting = async {
                loop {
                    // One whose answer is held is a session for the listener, until the dialer has gone.
                    assert!(listener.accept().await.unwrap().closed().await.is_err());
                }
            };
            let error = tokio::select! {
                dialed = dialing => dialed.unwrap_err(),
                () = accepting => unreachable!(),
            };
            assert!(matches!(error, DialError::Session(SessionError::HelloTimeout)), "{error:?}");
        }
    }
}

/// Whoever closes, and whatever is done to halves whose other half has ended.
#[tokio::test]
async fn t2_a_goodbye_is_clean_whatever_happens_to_halves() {
    for traps in [
        Traps { kill_request: true, ..Traps::default() },
        Traps { request_end_limit: Some(Duration::ZERO), ..Traps::default() },
        Traps { kill_request: true, resets_become_ends: true, ..Traps::default() },
    ] {
        for dialer_closes in [true, false] {
            let (dialed, accepted, _) = through(traps).await;
            let (sender, receiver) = channel::<u32>(&accepted, &dialed).await;
            soon(sender.send(1)).await.unwrap();
            // Who closes drops what it has not taken.
            assert_eq!(soon(receiver.recv()).await, Ok(Some(1)));
            let (closing, other) = if dialer_closes { (dialed, accepted) } else { (accepted, dialed) };
            let reading = async {
                let end = receiver.recv().await;
                assert!(matches!(end, Err(RecvError::SessionClosed(_))), "{traps:?}: {end:?}");
            };
            let (closed, seen, ()) =
                soon(async { tokio::join!(closing.close(), other.closed(), reading) }).await;
            assert_eq!((closed, seen), (Ok(()), Ok(())), "{traps:?}, dialer closes: {dialer_closes}");
        }
    }
}

#[tokio::test]
async fn t3_an_end_without_a_goodbye_is_a_loss() {
    let traps = Traps { resets_become_ends: true, ..Traps::default() };
    for end in 0..3 {
        let (dialed, accepted, proxy) = through(traps).await;
        let (sender, receiver) = channel::<u32>(&accepted, &dialed).await;
        let (back, returned) = channel::<u32>(&dialed, &accepted).await;
        soon(sender.send(1)).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap(), Some(1));
        match end {
            0 => proxy.time_out(),
            1 => accepted.abort(),
            _ => dialed.abort(),
        }
        assert!(matches!(soon(receiver.recv()).await, Err(RecvError::Disconnected(_))), "end {end}");
        assert!(matches!(soon(returned.recv()).await, Err(RecvError::Disconnected(_))), "end {end}");
        assert_lost(soon(dialed.closed()).await);
        assert_lost(soon(accepted.closed()).await);
        drop((sender, back));
    }
}

#[tokio::test]
async fn t4_errors_arrive_whatever_codes_resets_have() {
    for code in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR] {
        let traps = Traps { code: Some(code), ..Traps::default() };
        let (dialed, accepted, proxy) = through(traps).await;
        let (sender, receiver) = channel::<u32>(&accepted, &dialed).await;
        let error = RemoteError::new(77, "out of paper");
        sender.close_with(error.clone());
        assert_eq!(soon(receiver.recv()).await, Err(RecvError::Remote(error)));
        proxy.time_out();
        assert_lost(soon(dialed.closed()).await);
        assert_lost(soon(accepted.closed()).await);
    }
}

#[tokio::test]
async fn t6_a_connection_says_nothing_of_who_is_on_it() {
    for no_pool in [false, true] {
        let hook = |candidate: &Candidate<'_>| Ok(candidate.headers()["x-name"].to_str().unwrap().to_owned());
        let traps = Traps { no_pool, ..Traps::default() };
        let (proxy, listener) = behind(traps, ListenOptions::default().authorize(hook));
        let mut sessions = Vec::new();
        for name in ["ann", "bob", "cleo"] {
            let http = HttpDialOptions::default()
                .header(HeaderName::from_static("x-name"), HeaderValue::from_static(name));
            let (dialed, accepted) = session(&proxy, &listener, DialOptions::default().http(http)).await;
            assert_eq!(accepted.info().principal.as_deref(), Some(name));
            sessions.push((dialed, accepted));
        }
        assert_eq!(proxy.upstreams(), if no_pool { 3 } else { 1 });
        // One ends badly, one well, and the third does not notice.
        let (dialed, accepted) = sessions.remove(0);
        dialed.abort();
        assert_lost(soon(accepted.closed()).await);
        let (dialed, accepted) = sessions.remove(0);
        let (closed, seen) = soon(async { tokio::join!(dialed.close(), accepted.closed()) }).await;
        assert_eq!((closed, seen), (Ok(()), Ok(())));
        ping(&sessions[0].0, &sessions[0].1).await;
    }
}

#[tokio::test]
async fn t7_an_unread_channel_stops_nobody() {
    let traps = Traps { window: Some(65_535), ..Traps::default() };
    let (proxy, listener) = behind(traps, ListenOptions::default());
    let (dialed, accepted) = session(&proxy, &listener, DialOptions::default()).await;
    let (other_dialed, other_accepted) = session(&proxy, &listener, DialOptions::default()).await;
    assert_eq!(proxy.upstreams(), 1);
    // Both directions of the first session have a channel that is filled and never read.
    let mut kept = Vec::new();
    for (from, to) in [(&dialed, &accepted), (&accepted, &dialed)] {
        let sender = from.open_with("unread", OpenOptions::new().capacity(1000)).unwrap();
        let receiver = soon(to.accept()).await.unwrap().unwrap().receive::<ByteBuf>();
        while let Ok(sent) =
            tokio::time::timeout(Duration::from_millis(200), sender.send(ByteBuf::from(vec![1; 10_000])))
                .await
        {
            sent.unwrap();
        }
        kept.push((sender, receiver));
    }
    ping(&dialed, &accepted).await;
    ping(&other_dialed, &other_accepted).await;
    ping(&other_accepted, &other_dialed).await;
}

#[tokio::test]
async fn t10_a_body_limit_is_a_loss() {
    let traps = Traps { body_limit: Some(1 << 20), ..Traps::default() };
    let (dialed, accepted, _) = through(traps).await;
    let (sender, receiver) = channel::<ByteBuf>(&dialed, &accepted).await;
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        while sender.send(ByteBuf::from(vec![1; 10_000])).await.is_ok() {
            sent += 10_000;
        }
        sent
    });
    let mut got = 0;
    let error = loop {
        match soon(receiver.recv()).await {
            Ok(Some(part)) => got += part.len(),
            Ok(None) => panic!("a cut body looked like a clean end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RecvError::Disconnected(_)));
    assert!(got <= 1 << 20 && soon(sending).await.unwrap() >= got);
    assert_lost(soon(dialed.closed()).await);
    assert_lost(soon(accepted.closed()).await);
}

#[tokio::test(start_paused = true)]
async fn t11_pings_keep_a_silent_session_alive() {
    for idle in [50, 60, 300] {
        let traps = Traps { idle: Some(Duration::from_secs(idle)), ..Traps::default() };
        let (dialed, accepted, _) = through(traps).await;
        sleep(Duration::from_secs(3600)).await;
        ping(&dialed, &accepted).await;
    }
    // The trap does work: pings come every fifteen seconds.
    let traps = Traps { idle: Some(Duration::from_secs(10)), ..Traps::default() };
    let (dialed, accepted, _) = through(traps).await;
    assert_lost(dialed.closed().await);
    assert_lost(accepted.closed().await);
}

#[tokio::test]
async fn data_is_cut_and_joined_anyhow() {
    let (dialed, accepted, _) = through(Traps { rechunk: true, ..Traps::default() }).await;
    for (from, to) in [(&dialed, &accepted), (&accepted, &dialed)] {
        let (sender, receiver) = channel::<ByteBuf>(from, to).await;
        let data = pattern(1_000_000);
        let sent = data.clone();
        let sending = tokio::spawn(async move {
            for part in sent.chunks(7919) {
                sender.send(ByteBuf::from(part)).await.unwrap();
            }
        });
        let mut got = Vec::new();
        while let Some(part) = soon(receiver.recv()).await.unwrap() {
            got.extend_from_slice(&part);
        }
        soon(sending).await.unwrap();
        assert!(got == data, "the bytes differ");
        ping(from, to).await;
    }
    soon(dialed.close()).await.unwrap();
    soon(accepted.closed()).await.unwrap();
}
