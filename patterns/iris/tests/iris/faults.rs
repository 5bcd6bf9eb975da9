//! What callers see where a member or the relay goes, hangs, or has no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libchan::pipe;
use libchan_iris::{Body, Error, Fault, Limits, Service, Wait};
use tokio::sync::Notify;

use crate::support::{Place, SECOND, everywhere};

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
        let dropped = Arc::new(Notify::new());
        let told = dropped.clone();
        let service = Service::builder("hangs").on_request(move |(): ()| {
            let guard = OnDrop(told.clone());
            async move {
                let _guard = guard;
                std::future::pending::<Result<(), Fault>>().await
            }
        });
        let _service = service.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        let late = iris.request::<_, ()>("hangs", &(), Duration::from_millis(50)).await;
        assert_eq!(late, Err(Error::Timeout));
        dropped.notified().await;
        while place.relay.status().under_way > 0 {
            tokio::task::yield_now().await;
        }
        // Cancelled by its caller before.
        let asking = {
            let iris = iris.clone();
            tokio::spawn(async move { iris.request::<_, ()>("hangs", &(), 600 * SECOND).await })
        };
        while place.relay.status().under_way == 0 {
            tokio::task::yield_now().await;
        }
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
        let mut stalled = slow.subscribe_with("prices", 10).await.unwrap();
        let mut read = quick.subscribe_with("prices", 1000).await.unwrap();
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
fn names_are_checked_and_a_service_too_large_is_busy() {
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
        let busy = iris.request::<_, usize>("small", &"x".repeat(2000), 10 * SECOND).await.unwrap_err();
        assert_eq!((&busy, busy.is_safe_to_retry()), (&Error::Busy, true));
        assert_eq!(iris.request::<_, usize>("small", &"x".repeat(200), 10 * SECOND).await, Ok(200));
    });
}
