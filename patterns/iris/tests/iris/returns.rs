//! Relays that go and come back, and applications that find another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libchan::pipe;
use libchan_iris::{Connection, Error, Fault, Limits, Relay, Service};
use libchan_transports::{Backoff, Redial, RedialOptions};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::binding::{Binding, Came};
use crate::support::SECOND;

/// A relay with a runtime of its own, which dies with it.
struct Killable {
    relay: Relay,
    url: String,
    runtime: Option<Runtime>,
}

impl Killable {
    /// At this port; 0 takes one that is free.
    async fn start(port: u16) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn(async move {
            let relay = Relay::new();
            let url = format!("tcp://127.0.0.1:{port}");
            // The port is free again a moment after its relay was killed.
            let listener = loop {
                match libchan_transports::listen(&url).await {
                    Ok(listener) => break listener,
                    Err(_in_use) => tokio::task::yield_now().await,
                }
            };
            let url = listener.url().to_owned();
            let serving = relay.clone();
            tokio::spawn(async move { serving.serve(listener).await });
            (relay, url)
        });
        let (relay, url) = started.await.unwrap();
        Self { relay, url, runtime: Some(runtime) }
    }

    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn kill(mut self) -> u16 {
        self.runtime.take().unwrap().shutdown_background();
        self.port()
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn redialing(urls: &[&str]) -> Connection {
    let quick = Backoff::new().min(Duration::from_millis(5)).max(Duration::from_millis(50));
    Connection::redialing(Redial::with(urls.iter().copied(), RedialOptions::default().backoff(quick)))
}

fn run(case: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(60 * SECOND, case).await });
    assert!(ended.is_ok(), "nothing came of it in time");
    runtime.shutdown_background();
}

#[test]
fn memberships_and_subscriptions_come_back_after_the_relay_was_killed() {
    run(async {
        let relay = Killable::start(0).await;
        let (told, hears) = pipe::<String>();
        let (begun, hung) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tells = (told.clone(), told.clone(), begun.clone(), hung.clone());
        let service = Service::builder("echo")
            .on_request(move |text: String| {
                let (begun, hung) = (tells.2.clone(), tells.3.clone());
                async move {
                    if text == "hang" {
                        begun.notify_one();
                        hung.notified().await;
                    }
                    Ok(text)
                }
            })
            .on_drop(move |why| {
                let told = tells.0.clone();
                async move { told.send(format!("dropped: {why}")).await.unwrap() }
            })
            .on_return(move || {
                let told = tells.1.clone();
                async move { told.send("returned".to_owned()).await.unwrap() }
            });
        let service = service.register(redialing(&[&relay.url]), Limits::default()).await.unwrap();
        let iris = redialing(&[&relay.url]);
        let mut news = iris.subscribe("news").await.unwrap();
        assert_eq!(iris.request::<_, String>("echo", "one", 10 * SECOND).await.unwrap(), "one");
        iris.publish("news", &1).await.unwrap();
        assert_eq!(news.next().await, Ok(Some(1)));
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, String>("echo", "hang", 600 * SECOND).await })
        };
        begun.notified().await;
        let port = relay.kill();
        let lost = asking.await.unwrap().unwrap_err();
        assert_eq!(
            (&lost, lost.is_safe_to_retry()),
            (&Error::Lost, false),
            "it may have run, and is not repeated"
        );
        assert!(hears.recv().await.unwrap().unwrap().starts_with("dropped"));
        // Asked while there is no relay: it waits, in time or not. One that dies may have taken another session before.
        let late = loop {
            match iris.request::<_, String>("echo", "late", Duration::from_millis(20)).await.unwrap_err() {
                Error::Lost | Error::Timeout => {}
                late => break late,
            }
        };
        assert!(late == Error::Closed && late.is_safe_to_retry(), "{late}");
        let patient = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, String>("echo", "two", 600 * SECOND).await })
        };
        let relay = Killable::start(port).await;
        assert_eq!(patient.await.unwrap().as_deref(), Ok("two"));
        assert_eq!(hears.recv().await.unwrap().as_deref(), Some("returned"));
        while relay.relay.status().subscriptions == 0 {
            tokio::task::yield_now().await;
        }
        iris.publish("news", &2).await.unwrap();
        assert_eq!((news.next().await, news.returns()), (Ok(Some(2)), 1));
        service.unregister().await.unwrap();
        assert_eq!(relay.relay.status().members, 0);
        iris.close().await.unwrap();
        assert_eq!(news.next::<u32>().await, Ok(None), "closed, and it says so");
    });
}

#[test]
fn a_relay_that_drains_lets_requests_end_and_its_applications_go_to_another() {
    run(async {
        let (first, second) = (Killable::start(0).await, Killable::start(0).await);
        let urls = [&*first.url, &*second.url];
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tells = (begun.clone(), go_on.clone());
        let service = Service::builder("slow").on_request(move |number: u32| {
            let (begun, go_on) = tells.clone();
            async move {
                if number == 1 {
                    begun.notify_one();
                    go_on.notified().await;
                }
                Ok(number)
            }
        });
        let service = service.register(redialing(&urls), Limits::default()).await.unwrap();
        let iris = redialing(&urls);
        let mut news = iris.subscribe("news").await.unwrap();
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, u32>("slow", &1, 600 * SECOND).await })
        };
        begun.notified().await;
        let leaving = first.relay.clone();
        let runtime = first.runtime.as_ref().unwrap();
        let drained = runtime.spawn(async move { leaving.drain(600 * SECOND).await });
        // What is asked from now on goes to the other one, as soon as all are there.
        while second.relay.status().subscriptions == 0 || first.relay.status().subscriptions > 0 {
            tokio::task::yield_now().await;
        }
        iris.publish("news", &7).await.unwrap();
        assert_eq!((news.next().await, news.returns()), (Ok(Some(7)), 1));
        assert!(!drained.is_finished(), "a request is in hand");
        go_on.notify_one();
        assert_eq!(asking.await.unwrap(), Ok(1), "what was in hand is answered");
        drained.await.unwrap();
        assert_eq!(first.relay.status().clients, 0);
        assert_eq!(iris.request::<_, u32>("slow", &2, 60 * SECOND).await, Ok(2));
        service.unregister().await.unwrap();
    });
}

#[test]
fn a_relay_that_drains_has_left_when_connections_that_do_not_come_back_are_done() {
    run(async {
        let first = Killable::start(0).await;
        let go_on = Arc::new(Notify::new());
        let waits = go_on.clone();
        let slow = Service::builder("slow").on_request(move |number: u32| {
            let go_on = waits.clone();
            async move {
                go_on.notified().await;
                Ok(number)
            }
        });
        let served = Connection::connect(&first.url).await.unwrap();
        let service = slow.register(served, Limits::default()).await.unwrap();
        let iris = Connection::connect(&first.url).await.unwrap();
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, u32>("slow", &1, 600 * SECOND).await })
        };
        while first.relay.status().under_way == 0 {
            tokio::task::yield_now().await;
        }
        let leaving = first.relay.clone();
        let runtime = first.runtime.as_ref().unwrap();
        let drained = runtime.spawn(async move { leaving.drain(600 * SECOND).await });
        go_on.notify_one();
        assert_eq!(asking.await.unwrap(), Ok(1));
        drained.await.unwrap();
        drop((service, iris));
    });
}

#[test]
fn a_relay_that_drains_takes_leave_of_bindings_when_they_are_done() {
    run(async {
        let relay = Relay::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = relay.clone();
        let served = tokio::spawn(async move { serving.serve_draft2(listener).await });
        let (server, mut heard) = Binding::attach(port, "slow").await;
        let (client, told) = Binding::attach(port, "").await;
        let asking = tokio::spawn(async move { client.request("slow", b"x", 60_000).await });
        let asked = heard.requests.recv().await.unwrap();
        let leaving = relay.clone();
        let drained = tokio::spawn(async move { leaving.drain(600 * SECOND).await });
        tokio::task::yield_now().await;
        server.reply(asked.id, Ok(b"done")).await;
        assert_eq!(asking.await.unwrap(), Came::Reply(b"done".to_vec()));
        assert_eq!(told.closed.await.unwrap(), "the relay leaves");
        assert_eq!(heard.closed.await.unwrap(), "the relay leaves");
        drained.await.unwrap();
        served.await.unwrap().unwrap();
    });
}

#[test]
fn a_relay_that_drains_does_not_wait_longer_than_it_was_told() {
    run(async {
        let first = Killable::start(0).await;
        let hangs = Service::builder("hangs")
            .on_request(|(): ()| async { std::future::pending::<Result<(), Fault>>().await });
        let dropped = Arc::new(AtomicUsize::new(0));
        let counted = dropped.clone();
        let hangs = hangs.on_drop(move |_why| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        let connection = Connection::connect(&first.url).await.unwrap();
        let service = hangs.register(connection, Limits::default()).await.unwrap();
        let iris = Connection::connect(&first.url).await.unwrap();
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, ()>("hangs", &(), 600 * SECOND).await })
        };
        while first.relay.status().under_way == 0 {
            tokio::task::yield_now().await;
        }
        let leaving = first.relay.clone();
        first.runtime.as_ref().unwrap().spawn(async move { leaving.drain(Duration::from_millis(100)).await });
        assert_eq!(asking.await.unwrap(), Err(Error::Lost));
        // The relay refuses it, goes with it, or is gone already: this connection does not come back.
        let refused = iris.request::<_, ()>("hangs", &(), 60 * SECOND).await.unwrap_err();
        assert!(matches!(refused, Error::Busy | Error::Lost | Error::Closed), "{refused}");
        // With the request its caller is gone, and nothing is in the member's hand: it may leave in good order then.
        let lost = usize::from(service.unregister().await.is_err());
        assert_eq!(dropped.load(Ordering::SeqCst), lost);
    });
}

#[test]
fn what_no_further_dial_can_mend_is_told_to_all_who_wait() {
    run(async {
        let iris = redialing(&["nonsense://nowhere"]);
        let failed = iris.request::<_, ()>("echo", &(), 600 * SECOND).await.unwrap_err();
        assert!(matches!(&failed, Error::Local(text) if text.contains("nonsense")), "{failed}");
        assert!(matches!(iris.subscribe("news").await, Err(Error::Local(_))));
        assert!(matches!(iris.publish("news", &1).await, Err(Error::Local(_))));
    });
}

#[test]
fn a_service_is_initialised_before_it_is_found_and_a_fault_ends_its_registration() {
    run(async {
        let relay = Relay::new();
        let refused = Service::builder("db").init(|_iris| async { Err("the disk is full".into()) });
        let refused = refused.register(relay.connect().await.unwrap(), Limits::default()).await;
        assert!(
            matches!(&refused, Err(Error::Local(text)) if text.contains("the disk is full")),
            "{refused:?}"
        );
        assert_eq!(relay.status().members, 0);
        let ready = Arc::new(AtomicUsize::new(0));
        let (sets, sees) = (ready.clone(), ready.clone());
        let service = Service::builder("db")
            .init(move |iris| {
                let ready = sets.clone();
                async move {
                    iris.publish("started", &"db").await?;
                    ready.store(1, Ordering::SeqCst);
                    Ok(())
                }
            })
            .on_request(move |(): ()| {
                let seen = sees.load(Ordering::SeqCst);
                async move { Ok(seen) }
            });
        let _service = service.register(relay.connect().await.unwrap(), Limits::default()).await.unwrap();
        let iris = relay.connect().await.unwrap();
        assert_eq!(iris.request::<_, usize>("db", &(), 10 * SECOND).await, Ok(1));
    });
}
