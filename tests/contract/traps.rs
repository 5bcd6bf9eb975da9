//! What was cut, or passed over, in silence is an error now; and what a transport of somebody else's can do.

use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::task::{Context, Poll};

use libchan::{End, MAX_CAPACITY, Metadata, Shipped, Transport};
use libchan_tests::*;

async fn metadata_that_does_not_fit_is_an_error(on: On) {
    let (a, b) = on.pair().await;
    for (key, value) in [("k".repeat(256), 1), ("k".to_owned(), 65_536)] {
        let options = OpenOptions::new().metadata(key, vec![b'v'; value]);
        assert_eq!(a.open_with::<u32>("x", options).unwrap_err(), OpenError::NameTooLong);
    }
    let options = OpenOptions::new().metadata("k".repeat(255), vec![b'v'; 60_000]);
    let _sender = a.open_with::<u32>("x", options).unwrap();
    let incoming = soon(b.accept()).await.unwrap().unwrap();
    assert_eq!(incoming.metadata().get(&"k".repeat(255)).map(<[u8]>::len), Some(60_000));
}

async fn a_capacity_that_no_channel_can_have_is_an_error(on: On) {
    let (a, _b) = on.pair().await;
    let error = a.open_with::<u32>("x", OpenOptions::new().capacity(usize::MAX)).unwrap_err();
    assert!(matches!(&error, OpenError::Limit(text) if text.contains("2147483647")), "{error}");
    assert!(catch_unwind(|| drop(pipe_with::<u32>(MAX_CAPACITY + 1))).is_err());
    assert_eq!(pipe_with::<u32>(MAX_CAPACITY).0.capacity(), MAX_CAPACITY);
}

async fn a_hello_that_does_not_fit_is_an_error() {
    for (key, value) in [("k".repeat(256), 1), ("k".to_owned(), 65_536), ("k".to_owned(), 65_533)] {
        let (link, _other, _) = wire(1);
        let options = SessionOptions::new().metadata(key, vec![b'v'; value]);
        let error = soon(Session::start(link, Role::Dialer, options.clone())).await.unwrap_err();
        assert_eq!(error, SessionError::MetadataTooLong);
        let (link, _other, _) = wire(1);
        let error = soon(PendingSession::accept(link, options)).await.unwrap_err();
        assert_eq!(error, SessionError::MetadataTooLong);
    }
}

async fn an_error_code_is_not_changed() {
    let max = RemoteError::MAX_CODE;
    assert_eq!((max, RemoteError::new(max, "").code()), (65_279, Some(max)));
    assert_eq!(RemoteError::try_new(max, "text").unwrap().wire_code(), 65_535);
    for code in [max + 1, u16::MAX] {
        assert_eq!(RemoteError::try_new(code, ""), None);
        assert!(catch_unwind(|| RemoteError::new(code, "")).is_err());
    }
}

async fn limits_over_memory_are_those_in_force() {
    let options = SessionOptions::new().limits(Limits::default().max_message(10));
    let (a, b) = On::Memory.pair_with(options.clone(), options).await;
    let (sender, receiver) = channel::<String>(&a, &b, 1).await;
    put(&sender, "longer than that".to_owned()).await;
    assert_eq!(get(&receiver).await, "longer than that");
    assert_eq!(a.limits(), Limits::unlimited().max_pending_accepts(256));
}

/// A protocol of somebody else's: what its peer opens is made of `Shipped::new` and `End::from`.
struct Foreign {
    info: LinkInfo,
    metadata: Metadata,
    incoming: Mutex<VecDeque<Shipped>>,
    opened: Mutex<Vec<Receiver<Raw>>>,
}

impl Transport for Foreign {
    fn info(&self) -> &LinkInfo {
        &self.info
    }

    fn peer_metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn open(&self, _name: &str, _options: OpenOptions, end: End) -> Result<(), OpenError> {
        self.opened.lock().unwrap().push(end.into_receiver());
        Ok(())
    }

    fn poll_accept(&self, _cx: &mut Context<'_>) -> Poll<Result<Option<Shipped>, SessionError>> {
        Poll::Ready(Ok(self.incoming.lock().unwrap().pop_front()))
    }

    fn close(&self) {}

    fn abort(&self) {}

    fn poll_closed(&self, _cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        Poll::Pending
    }

    fn open_channels(&self) -> usize {
        0
    }
}

async fn a_foreign_transport_opens_channels_to_its_session() {
    let (to_session, shipped) = Shipped::new::<Raw>("jobs", OpenOptions::new().capacity(3));
    let (more, receiver) = pipe::<(String, Sender<u32>)>();
    let second = Shipped { name: "more".to_owned(), options: OpenOptions::new(), end: End::from(receiver) };
    let session = Session::over(Foreign {
        info: LinkInfo::new("elsewhere"),
        metadata: Metadata::default(),
        incoming: Mutex::new([shipped, second].into()),
        opened: Mutex::default(),
    });
    assert_eq!(session.limits(), Limits::unlimited());
    let jobs = soon(session.accept()).await.unwrap().unwrap();
    assert_eq!(jobs.name(), "jobs");
    let jobs = jobs.receive::<(u32, String)>();
    put(&to_session, Raw::from_parts(CodecId::JSON, r#"[7,"job"]"#)).await;
    assert_eq!(get(&jobs).await, (7, "job".to_owned()));
    drop(to_session);
    end(&jobs).await;
    // Under its own type, as it is.
    let accepted = soon(session.accept()).await.unwrap().unwrap().receive::<(String, Sender<u32>)>();
    let (reply, answer) = pipe();
    put(&more, ("ask".to_owned(), reply)).await;
    put(&get(&accepted).await.1, 9).await;
    assert_eq!(get(&answer).await, 9);
    assert!(soon(session.accept()).await.unwrap().is_none());
}

mod remote {
    use super::metadata_that_does_not_fit_is_an_error;
    libchan_tests::contract_links! { metadata_that_does_not_fit_is_an_error }
}

libchan_tests::contract! { a_capacity_that_no_channel_can_have_is_an_error }

mod alone {
    use super::{
        a_foreign_transport_opens_channels_to_its_session, a_hello_that_does_not_fit_is_an_error,
        an_error_code_is_not_changed, limits_over_memory_are_those_in_force,
    };
    libchan_tests::in_process! {
        a_foreign_transport_opens_channels_to_its_session,
        a_hello_that_does_not_fit_is_an_error,
        an_error_code_is_not_changed,
        limits_over_memory_are_those_in_force,
    }
}
