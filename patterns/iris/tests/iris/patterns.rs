//! Requests, broadcasts, events and tunnels where all goes well.

use bytes::Bytes;
use libchan::{ByteStream, Sender, pipe};
use libchan_iris::{Body, Error, Limits, Service, Wait};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Place, SECOND, everywhere};

#[test]
fn a_request_is_answered_by_a_typed_service() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let adder = Service::builder("adder").on_request(|(a, b): (u64, u64)| async move { Ok(a + b) });
        let adder = adder.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        let sum: u64 = iris.request("adder", &(2, 3), 10 * SECOND).await.unwrap();
        assert_eq!(sum, 5);
        let wrong = iris.request::<_, u64>("adder", "text", 10 * SECOND).await;
        assert!(matches!(&wrong, Err(Error::Remote(text)) if text.contains("expected")), "{wrong:?}");
        let wrong = iris.request::<_, String>("adder", &(2, 3), 10 * SECOND).await;
        assert!(
            matches!(&wrong, Err(error @ Error::NotDecoded(_)) if !error.is_safe_to_retry()),
            "{wrong:?}"
        );
        adder.unregister().await.unwrap();
        let none = iris.request_raw("adder", Body::bytes("x"), 10 * SECOND, Wait::No).await;
        assert_eq!(none.unwrap_err(), Error::NoMember);
        let status = place.relay.status();
        assert_eq!((status.requests, status.answered, status.faults, status.no_member), (4, 2, 1, 1));
    });
}

#[derive(Serialize, Deserialize)]
struct Query {
    rows: Sender<u32>,
    notes: ByteStream,
}

#[test]
fn a_request_may_hold_channels_and_streams() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let table = Service::builder("table").on_request(|query: Query| async move {
            for row in 0..100 {
                query.rows.send(row).await?;
            }
            let mut notes = query.notes;
            notes.write_all(b"a hundred rows").await?;
            notes.shutdown().await?;
            Ok(())
        });
        let _table = table.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        let (rows, found) = pipe();
        let (notes, mut read) = ByteStream::pair();
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(row) = found.recv().await.unwrap() {
                all.push(row);
            }
            all
        });
        iris.request::<_, ()>("table", &Query { rows, notes }, 10 * SECOND).await.unwrap();
        assert_eq!(reader.await.unwrap(), (0..100).collect::<Vec<_>>());
        let mut text = String::new();
        read.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "a hundred rows");
    });
}

#[test]
fn events_keep_their_senders_order_and_reach_each_subscription() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let (one, other) = (place.connect().await, place.connect().await);
        let mut subscriptions = [
            one.subscribe("prices").await.unwrap(),
            one.subscribe("prices").await.unwrap(),
            other.subscribe("prices").await.unwrap(),
        ];
        for price in 0..500_u32 {
            one.publish("prices", &price).await.unwrap();
        }
        for subscription in &mut subscriptions {
            for price in 0..500 {
                assert_eq!(subscription.next::<u32>().await.unwrap(), Some(price));
            }
            assert_eq!(subscription.lost(), 0);
        }
        drop(subscriptions);
        // The relay hears of it; what is published then goes to nobody.
        while place.relay.status().subscriptions > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(place.relay.status().topics, 0);
    });
}

#[test]
fn a_tunnel_carries_messages_of_any_size_both_ways() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let echo = Service::builder("echo").on_tunnel(|mut tunnel| async move {
            while let Ok(Some(message)) = tunnel.recv().await {
                if tunnel.send(message).await.is_err() {
                    return;
                }
            }
            tunnel.close();
        });
        let _echo = echo.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        let mut tunnel = iris.tunnel("echo", 10 * SECOND).await.unwrap();
        for size in [0, 1, 1000, 256 * 1024, 256 * 1024 + 1, 3 << 20] {
            let message = Bytes::from(vec![size as u8; size]);
            tunnel.send(message.clone()).await.unwrap();
            assert_eq!(tunnel.recv().await.unwrap(), Some(message), "{size} bytes");
        }
        tunnel.close();
        assert_eq!(tunnel.recv().await.unwrap(), None, "the other side has ended it cleanly");
        let none = iris.tunnel("nobody", 10 * SECOND).await;
        assert_eq!(none.unwrap_err(), Error::NoMember);
    });
}

#[test]
fn broadcasts_reach_each_member_in_order_and_hold_no_ends() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let mut heard = Vec::new();
        let mut members = Vec::new();
        for _ in 0..3 {
            let (tell, told) = pipe::<u32>();
            let member = Service::builder("workers").on_broadcast(move |number: u32| {
                let tell = tell.clone();
                async move { tell.send(number).await.unwrap() }
            });
            members.push(member.register(place.connect().await, Limits::default()).await.unwrap());
            heard.push(told);
        }
        let iris = place.connect().await;
        for number in 0..50_u32 {
            iris.broadcast("workers", &number).await.unwrap();
        }
        for told in &heard {
            for number in 0..50 {
                assert_eq!(told.recv().await, Ok(Some(number)));
            }
        }
        let (tell, _told) = pipe::<u32>();
        let refused = iris.broadcast("workers", &tell).await;
        assert!(matches!(&refused, Err(Error::Local(text)) if text.contains("request")), "{refused:?}");
    });
}

#[test]
fn a_tunnel_is_a_stream_of_bytes_that_never_ends_cleanly_by_itself() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let service = Service::builder("files").on_tunnel(|tunnel| async move {
            let mut stream = tunnel.into_io();
            let mut asked = [0; 4];
            if stream.read_exact(&mut asked).await.is_err() {
                return;
            }
            stream.write_all(&vec![7; 300_000]).await.unwrap();
            if &asked == b"good" {
                stream.shutdown().await.unwrap();
            }
        });
        let _service = service.register(place.connect().await, Limits::default()).await.unwrap();
        let iris = place.connect().await;
        for (ask, ends) in [(b"good", true), (b"drop", false)] {
            let mut stream = iris.tunnel("files", 10 * SECOND).await.unwrap().into_io();
            stream.write_all(ask).await.unwrap();
            let mut read = Vec::new();
            let ended = stream.read_to_end(&mut read).await;
            assert_eq!((ended.is_ok(), read.len()), (ends, 300_000), "{ended:?}");
            stream.shutdown().await.ok();
        }
    });
}

#[test]
fn messages_that_are_sent_at_the_same_time_go_whole() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let service = Service::builder("sums").on_tunnel(|mut tunnel| async move {
            while let Ok(Some(message)) = tunnel.recv().await {
                let whole = message.iter().all(|byte| *byte == message[0]);
                if tunnel.send(vec![u8::from(whole), message[0]]).await.is_err() {
                    return;
                }
            }
            tunnel.close();
        });
        let _service = service.register(place.connect().await, Limits::default()).await.unwrap();
        let mut tunnel = place.connect().await.tunnel("sums", 10 * SECOND).await.unwrap();
        let large = |byte: u8| vec![byte; 700_000];
        let (one, two, three) =
            tokio::join!(tunnel.send(large(1)), tunnel.send(large(2)), tunnel.send(large(3)));
        one.and(two).and(three).unwrap();
        for _ in 0..3 {
            assert_eq!(tunnel.recv().await.unwrap().unwrap()[0], 1, "a message in one piece");
        }
    });
}

#[test]
fn what_was_posted_before_a_close_arrives() {
    everywhere(|on| async move {
        let place = Place::new(on).await;
        let mut news = place.connect().await.subscribe("news").await.unwrap();
        for round in 0..5_u32 {
            let publisher = place.connect().await;
            for number in 0..40_u32 {
                publisher.publish("news", &(round, number)).await.unwrap();
            }
            publisher.close().await.unwrap();
            for number in 0..40 {
                assert_eq!(news.next().await, Ok(Some((round, number))));
            }
        }
    });
}
