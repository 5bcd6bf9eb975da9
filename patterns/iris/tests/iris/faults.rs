//! What callers see where a member or the relay goes, hangs, or has no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libchan::pipe;
use libchan_iris::{
    Act, Body, Connection, Error, Fault, Limits, Relay, RelayLimits, Service, TopicLimits, Wait,
};
use tokio::sync::Notify;

use crate::support::{On, Place, SECOND, everywhere};

/// A service whose requests say that they have begun, and then never end.
async fn hanging(place: &Place, limits: Limits) -> (Service, libchan::Receiver<u32>) {
    let (tell, begun) = pipe::<u32>();
    let service = Service::builder("hangs").on_request(move |number: u32| {
        let tell = tell.clone();
        async move {
            tell.send(number).await?;
            std::future::pending::<Result<(), Fault>>().await
        }
    });
    (service.register(place.connect().await, limits).await.unwrap(), begun)
}

#[test]
fn a_member_that_is_lost_is_told_at_once() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (service, begun) = hanging(&place, Limits::default()).await;
        let iris = place.connect().await;
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, ()>("hangs", &1_u32, 600 * SECOND).await })
        };
        assert_eq!(begun.recv().await, Ok(Some(1)));
        drop(service);
        let error = asking.await.unwrap().unwrap_err();
        assert_eq!((&error, error.is_safe_to_retry()), (&Error::Lost, false));
    });
}

#[test]
fn a_request_ends_at_its_deadline_and_its_handler_is_dropped() {
    struct OnDrop(Arc<Notify>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tells = (begun.clone(), dropped.clone());
        let service = Service::builder("hangs").on_request(move |(): ()| {
            let (begun, dropped) = tells.clone();
            async move {
                let _guard = OnDrop(dropped);
                begun.notify_one();
                std::future::pending::<Result<(), Fault>>().await
            }
        });
        let _service = service.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        // On a busy machine the time may be up before the handler has begun.
        let mut has_begun = false;
        while !has_begun {
            let late = iris.request::<_, ()>("hangs", &(), Duration::from_millis(50)).await;
            assert_eq!(late, Err(Error::Timeout));
            while place.relay.status().under_way > 0 {
                tokio::task::yield_now().await;
            }
            has_begun = tokio::time::timeout(Duration::ZERO, begun.notified()).await.is_ok();
        }
        dropped.notified().await;
        // Cancelled by its caller before.
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, ()>("hangs", &(), 600 * SECOND).await })
        };
        begun.notified().await;
        asking.abort();
        dropped.notified().await;
        while place.relay.status().under_way > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            iris.request::<_, ()>("nobody", &(), Duration::from_millis(20)).await,
            Err(Error::Timeout)
        );
    });
}

#[test]
fn a_handler_that_panics_is_a_fault_and_the_service_goes_on() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let service = Service::builder("brittle").on_request(|text: String| async move {
            assert_ne!(text, "panic", "asked to");
            Ok(text)
        });
        let service = service.register(place.connect().await, Limits::default().requests(1)).await.unwrap();
        let iris = place.connect().await;
        for _ in 0..3 {
            let failed = iris.request::<_, String>("brittle", "panic", 10 * SECOND).await;
            assert_eq!(failed, Err(Error::Remote("the handler panicked".to_owned())));
            assert_eq!(
                iris.request::<_, String>("brittle", "well", 10 * SECOND).await,
                Ok("well".to_owned())
            );
        }
        service.unregister().await.unwrap();
    });
}

#[test]
fn what_waits_goes_to_another_member_when_one_leaves() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (service, begun) = hanging(&place, Limits::default().requests(1)).await;
        let iris = place.connect().await;
        let ask = |number: u32| {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, u32>("hangs", &number, 600 * SECOND).await })
        };
        let first = ask(1);
        assert_eq!(begun.recv().await, Ok(Some(1)));
        let second = ask(2);
        while place.relay.status().under_way < 2 {
            tokio::task::yield_now().await;
        }
        let other = Service::builder("hangs").on_request(|number: u32| async move { Ok(10 * number) });
        drop(service);
        assert_eq!(first.await.unwrap(), Err(Error::Lost));
        let _other = other.register(place.connect().await, Limits::default()).await.unwrap();
        assert_eq!(second.await.unwrap(), Ok(20));
    });
}

#[test]
fn leaving_lets_what_runs_end() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (release, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (released, begun) = (release.clone(), gate.clone());
        let service = Service::builder("slow").on_request(move |(): ()| {
            let (release, gate) = (release.clone(), gate.clone());
            async move {
                gate.notify_one();
                release.notified().await;
                Ok("done".to_owned())
            }
        });
        let service = service.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, String>("slow", &(), 600 * SECOND).await })
        };
        begun.notified().await;
        let leaving = tokio::spawn(service.unregister());
        // It takes nothing new any more as soon as the relay knows.
        let waiting = {
            let iris = iris.clone();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                iris.request_raw("slow", Body::of(&()).unwrap(), Duration::from_secs(2), Wait::ForAMember)
                    .await
            })
        };
        released.notify_one();
        assert_eq!(asking.await.unwrap(), Ok("done".to_owned()));
        released.notify_one();
        leaving.await.unwrap().unwrap();
        drop(waiting);
    });
}

#[test]
fn a_slow_subscriber_loses_events_and_delays_nobody() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (slow, quick, publisher) = (place.connect().await, place.connect().await, place.connect().await);
        let mut stalled = slow.subscribe_with("prices", TopicLimits::new().events(10)).await.unwrap();
        let mut read = quick.subscribe_with("prices", TopicLimits::new().events(1000)).await.unwrap();
        for price in 0..300_u32 {
            publisher.publish("prices", &price).await.unwrap();
        }
        for price in 0..300 {
            assert_eq!(read.next::<u32>().await.unwrap(), Some(price));
        }
        for price in 0..10 {
            assert_eq!(stalled.next::<u32>().await.unwrap(), Some(price));
        }
        while place.relay.status().dropped < 290 {
            tokio::task::yield_now().await;
        }
        // The next event says what was lost before it. What was taken is known to the relay a moment later.
        let mut price = 300;
        while stalled.lost() == 0 {
            publisher.publish("prices", &price).await.unwrap();
            price += 1;
            if let Ok(next) = tokio::time::timeout(Duration::from_millis(20), stalled.next::<u32>()).await {
                next.unwrap();
            }
        }
        assert!(stalled.lost() >= 290);
    });
}

#[test]
fn two_apps_that_serve_each_other_do_not_lock_up() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let served = Arc::new(AtomicUsize::new(0));
        let mut services = Vec::new();
        for name in ["left", "right"] {
            let served = served.clone();
            let service = Service::builder(name).on_request(move |bytes: String| {
                served.fetch_add(1, Ordering::Relaxed);
                async move { Ok(bytes) }
            });
            services
                .push(service.register(place.connect().await, Limits::default().requests(4)).await.unwrap());
        }
        let mut asking = tokio::task::JoinSet::new();
        for (service, other) in services.iter().zip(["right", "left"]) {
            for _ in 0..16 {
                let iris = service.connection().clone();
                asking.spawn(async move {
                    let text = "x".repeat(3000);
                    for _ in 0..20 {
                        let said: String = iris.request(other, &text, 60 * SECOND).await.unwrap();
                        assert_eq!(said.len(), 3000);
                    }
                });
            }
        }
        while let Some(ended) = asking.join_next().await {
            ended.unwrap();
        }
        assert_eq!(served.load(Ordering::Relaxed), 640);
    });
}

#[test]
fn names_are_checked_and_a_large_request_goes_through() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let iris = place.connect().await;
        let long = "n".repeat(2000);
        let refused = iris.subscribe(&long).await.unwrap_err();
        assert!(matches!(&refused, Error::Refused(text) if text.contains("1024")), "{refused}");
        assert!(matches!(iris.subscribe("").await, Err(Error::Refused(_))));
        let refused = iris.request_raw(&long, Body::bytes("x"), 10 * SECOND, Wait::No).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
        let service = Service::builder("small").on_request(|bytes: String| async move { Ok(bytes.len()) });
        let limits = Limits::default().request_bytes(1000);
        let _service = service.register(place.connect().await, limits).await.unwrap();
        // One that is larger than the limit has the member for itself.
        assert_eq!(iris.request::<_, usize>("small", &"x".repeat(2000), 10 * SECOND).await, Ok(2000));
        assert_eq!(iris.request::<_, usize>("small", &"x".repeat(200), 10 * SECOND).await, Ok(200));
    });
}

#[test]
fn a_member_has_no_more_bytes_in_hand_than_it_takes() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = (now.clone(), most.clone());
        let service = Service::builder("weighs").on_request(move |bytes: String| {
            let (now, most) = counted.clone();
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(bytes.len())
            }
        });
        let limits = Limits::default().requests(100).request_bytes(2500);
        let _service = service.register(place.connect().await, limits).await.unwrap();
        let iris = place.connect().await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let iris = iris.clone();
            asking.spawn(
                async move { iris.request::<_, usize>("weighs", &"x".repeat(1000), 60 * SECOND).await },
            );
        }
        while let Some(asked) = asking.join_next().await {
            assert_eq!(asked.unwrap(), Ok(1000));
        }
        assert!(
            (1..=3).contains(&most.load(Ordering::SeqCst)),
            "{most:?} at the same time, each of 1,000 bytes"
        );
    });
}

#[test]
fn what_an_application_has_no_right_to_is_refused_and_counted() {
    everywhere(|on| async move {
        let relay = Relay::builder()
            .rights(|who: Option<&str>, act: Act<'_>| {
                assert_eq!(who, None, "no authorize hook has named anybody");
                !matches!(
                    act,
                    Act::Request("closed")
                        | Act::Broadcast("closed")
                        | Act::Tunnel("closed")
                        | Act::Register("closed")
                        | Act::Publish("closed")
                        | Act::Subscribe("closed")
                )
            })
            .build();
        let place = Place::of(on, relay).await;
        let iris = place.connect().await;
        let refused = iris.request::<_, ()>("closed", &1, SECOND).await.unwrap_err();
        assert!(matches!(&refused, Error::Refused(text) if text.contains("may not ask cluster \"closed\"")));
        assert!(refused.is_safe_to_retry());
        assert!(matches!(iris.subscribe("closed").await, Err(Error::Refused(_))));
        assert!(matches!(iris.tunnel("closed", 10 * SECOND).await, Err(Error::Refused(_))));
        let service = Service::builder("closed").on_request(|(): ()| async move { Ok(()) });
        let service = service.register(iris.clone(), Limits::default()).await;
        assert!(matches!(&service, Err(Error::Refused(_))), "{service:?}");
        iris.broadcast("closed", &1).await.unwrap();
        iris.publish("closed", &1).await.unwrap();
        while place.relay.status().refused < 6 {
            tokio::task::yield_now().await;
        }
        let mut open = iris.subscribe("open").await.unwrap();
        iris.publish("open", &1).await.unwrap();
        assert_eq!(open.next().await, Ok(Some(1)));
        assert_eq!(place.relay.status().refused, 6);
    });
}

#[test]
fn what_waits_for_an_application_is_bounded_over_all_its_subscriptions() {
    everywhere(|on| async move {
        // In one process nothing is encoded, and the publisher's bytes are shared.
        if matches!(on, On::Memory) {
            return;
        }
        let mut limits = RelayLimits::new();
        limits.event_bytes = 1 << 20;
        let place = Place::of(on, Relay::builder().limits(limits).build()).await;
        let (stalled, publisher) = (place.connect().await, place.connect().await);
        let mut subscriptions = Vec::new();
        for _ in 0..100 {
            subscriptions.push(stalled.subscribe("news").await.unwrap());
        }
        let mut read = publisher.subscribe("news").await.unwrap();
        let event = "x".repeat(10_000);
        for _ in 0..50 {
            publisher.publish("news", &event).await.unwrap();
            assert_eq!(read.next::<String>().await.unwrap().as_ref(), Some(&event));
        }
        let delivered = 50 * 101 - place.relay.status().dropped;
        // What the session has taken over within each window is not counted, and one event may be beyond the limit.
        assert!((50 + 100..2000).contains(&delivered), "{delivered} events of 10,000 bytes");
        // Once it reads, it hears again, and of what it has lost.
        let mut again = 0;
        while again == 0 {
            publisher.publish("news", &event).await.unwrap();
            read.next::<String>().await.unwrap();
            for subscription in &mut subscriptions {
                let next = subscription.next::<String>();
                if let Ok(heard) = tokio::time::timeout(Duration::from_millis(1), next).await {
                    heard.unwrap();
                }
                again += usize::from(subscription.lost() > 0);
            }
        }
    });
}

#[test]
fn a_million_subscriptions_of_one_application_end_at_its_limit_and_go_with_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut limits = RelayLimits::new();
        limits.attachments = 2000;
        let relay = Relay::builder().limits(limits).build();
        let greedy = relay.connect().await.unwrap();
        let mut held = Vec::new();
        let refused = loop {
            match greedy.subscribe("all").await {
                Ok(subscription) => held.push(subscription),
                Err(refused) => break refused,
            }
        };
        assert_eq!(held.len(), 2000);
        assert!(matches!(&refused, Error::Refused(text) if text.contains("2000")), "{refused}");
        let other: Connection = relay.connect().await.unwrap();
        let mut subscription = other.subscribe("all").await.unwrap();
        other.publish("all", &1).await.unwrap();
        assert_eq!(subscription.next().await, Ok(Some(1)));
        assert_eq!(relay.topics()[0].subscriptions, 2001);
        drop((held, greedy));
        while relay.status().subscriptions > 1 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_reply_that_cannot_travel_is_a_fault_and_the_member_stays() {
    everywhere(|on| async move {
        // In one process nothing is too large.
        if matches!(on, On::Memory) {
            return;
        }
        let place = Place::new(on).await;
        let service = Service::builder("large").on_request(|size: usize| async move { Ok("x".repeat(size)) });
        let _service = service.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        let failed = iris.request::<_, String>("large", &(65 << 20), 60 * SECOND).await.unwrap_err();
        assert!(matches!(&failed, Error::Remote(text) if text.contains("cannot be sent")), "{failed}");
        assert_eq!(iris.request::<_, String>("large", &3, 60 * SECOND).await.as_deref(), Ok("xxx"));
    });
}
