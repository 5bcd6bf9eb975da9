//! Panics of the application's code where the library runs it: `Serialize` and `Drop` of values that cross a session. Whoever
//! waits is told, and channel and session go on.

use std::pin::pin;

use libchan_tests::*;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Panics at 1 while it is encoded, and at 2 when it is dropped.
#[derive(Debug, PartialEq)]
struct Trap(u32);

impl Serialize for Trap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => panic!("on purpose"),
            3 => Err(S::Error::custom("on purpose")),
            number => serializer.serialize_u32(number),
        }
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(|number| Self(number + 100))
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        if self.0 == 2 && !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

/// Fault 04: a value queued before its channel crossed panics in the driver's task.
async fn promise_10_a_queued_value_that_panics_is_one_not_encoded(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<Trap>>(&a, &b, 4).await;
    let (sender, receiver) = pipe_with(8);
    for number in [0, 1, 2, 3, 4] {
        assert!(sender.try_send(Trap(number)).is_ok());
    }
    put(&ship, receiver).await;
    let receiver = get(&shipped).await;
    assert_eq!(get(&receiver).await, Trap(100));
    let error = fail(&receiver).await;
    assert!(
        matches!(&error, RecvError::NotEncoded(text) if text.contains("panicked: on purpose")),
        "{error:?}"
    );
    assert_eq!(get(&receiver).await, Trap(102));
    assert!(matches!(fail(&receiver).await, RecvError::NotEncoded(_)));
    assert_eq!(get(&receiver).await, Trap(104));
    put(&sender, Trap(5)).await;
    assert_eq!(get(&receiver).await, Trap(105));
    drop(sender);
    end(&receiver).await;
}

/// Fault 04: with capacity 0 the value waits with its send.
async fn promise_10_a_rendezvous_that_panics_has_its_value_back(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Trap>(&a, &b, 0).await;
    let mut sending = pin!(sender.send(Trap(1)));
    still_pending(sending.as_mut()).await;
    let receiving = tokio::spawn(async move { (get(&receiver).await, receiver) });
    let error = soon(sending).await.unwrap_err();
    assert_eq!(error.value, Trap(1));
    assert!(matches!(&error.reason, SendFailure::Encode(text) if text.contains("panicked")), "{error:?}");
    put(&sender, Trap(7)).await;
    let (got, receiver) = soon(receiving).await.unwrap();
    assert_eq!(got, Trap(107));
    sender.close();
    end(&receiver).await;
}

/// Its kin: what the peer's cancel empties a queue of is dropped by the driver.
async fn promise_10_a_drop_that_panics_leaves_the_session_alone(on: On) {
    let (a, b) = on.pair().await;
    let (other, others) = channel::<u32>(&a, &b, 4).await;
    let (ship, shipped) = channel::<Receiver<Trap>>(&a, &b, 4).await;
    let (sender, receiver) = pipe_with(0);
    let mut sending = pin!(sender.send(Trap(2)));
    assert!(poll_once(sending.as_mut()).await.is_none());
    put(&ship, receiver).await;
    let receiver = get(&shipped).await;
    // The send that waits is completed by the driver, which drops its value.
    assert_eq!(get(&receiver).await, Trap(102));
    soon(sending).await.unwrap();
    drop(receiver);
    soon(sender.closed()).await;
    put(&other, 1).await;
    assert_eq!(get(&others).await, 1);
}

libchan_tests::contract_links! {
    promise_10_a_queued_value_that_panics_is_one_not_encoded,
    promise_10_a_rendezvous_that_panics_has_its_value_back,
    promise_10_a_drop_that_panics_leaves_the_session_alone,
}
