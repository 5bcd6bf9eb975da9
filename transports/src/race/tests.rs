//! The race under virtual time, with connectors that answer as they are told.

use std::cell::{Cell, RefCell};
use std::future::pending;

use tokio::time::sleep;

use super::*;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn in_ten_seconds() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn the_families_take_turns_from_the_resolvers_first() {
    let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
    let tried = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    assert_eq!(interleave(given), tried);
    let given = addresses(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]);
    assert_eq!(interleave(given), addresses(&["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]));
    assert_eq!(interleave([]), []);
}

/// Counts what it sees dropped.
struct Dropped<'a>(&'a Cell<u32>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_address_costs_a_quarter_of_a_second_and_is_dropped() {
    let (begun, dropped) = (Instant::now(), Cell::new(0));
    let connect = |address: SocketAddr| {
        let attempt = Dropped(&dropped);
        async move {
            let _attempt = attempt;
            match address.is_ipv6() {
                true => pending().await,
                false => Ok(address),
            }
        }
    };
    let won = first(&addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1"]), in_ten_seconds(), connect).await;
    assert_eq!(won.unwrap(), addresses(&["1.1.1.1:1"])[0]);
    assert_eq!(begun.elapsed(), ATTEMPT_DELAY);
    assert_eq!(dropped.get(), 2, "the third is not tried");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_followed_at_once() {
    let begun = Instant::now();
    let connect = |address: SocketAddr| async move {
        sleep(ms(10)).await;
        match address.port() {
            3 => Ok(()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    };
    first(&addresses(&["[::1]:1", "1.1.1.1:2", "1.1.1.1:3"]), in_ten_seconds(), connect).await.unwrap();
    assert_eq!(begun.elapsed(), ms(30));
}

/// The first is slow and the second slower: both run, and the first wins.
#[tokio::test(start_paused = true)]
async fn a_slow_address_goes_on_beside_the_next() {
    let (begun, tried) = (Instant::now(), RefCell::new(Vec::new()));
    let connect = |address: SocketAddr| {
        tried.borrow_mut().push((address.port(), begun.elapsed()));
        async move {
            sleep(ms(if address.port() == 1 { 600 } else { 900 })).await;
            Ok(address.port())
        }
    };
    let given = addresses(&["[::1]:1", "1.1.1.1:2", "[::1]:3", "1.1.1.1:4"]);
    assert_eq!(first(&given, in_ten_seconds(), connect).await.unwrap(), 1);
    assert_eq!(begun.elapsed(), ms(600));
    assert_eq!(*tried.borrow(), [(1, ms(0)), (2, ms(250)), (3, ms(500))]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_all_and_each_is_named() {
    let begun = Instant::now();
    let connect = |address: SocketAddr| async move {
        match address.port() {
            1 => Err::<(), _>(io::Error::from_raw_os_error(111)),
            2 => Err(io::ErrorKind::TimedOut.into()),
            _ => pending().await,
        }
    };
    let given = addresses(&["1.1.1.1:1", "1.1.1.1:2", "1.1.1.1:3", "1.1.1.1:4"]);
    let failed = first(&given, Instant::now() + ms(100), connect).await.unwrap_err();
    assert_eq!(begun.elapsed(), ms(100));
    let refused = Some(io::Error::from_raw_os_error(111).into());
    let said: Vec<_> = failed.iter().map(|one| (one.address.port(), one.error.clone())).collect();
    assert_eq!(said, [(1, refused), (2, None), (3, None), (4, None)]);
    let error = failure("tcp://host:1", &DialOptions::default(), failed);
    let text = error.to_string();
    assert!(matches!(error, DialError::NoAddress { .. }), "{error:?}");
    assert!(
        text.starts_with("tcp://host:1: none of the host's addresses took the connection: 1.1.1.1:1: "),
        "{text}"
    );
    assert!(text.ends_with("1.1.1.1:4: no answer in time"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_all_say_is_the_error() {
    let given = addresses(&["[::1]:1", "1.1.1.1:1"]);
    let refuse = |_| async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) };
    let failed = first(&given, in_ten_seconds(), refuse).await.unwrap_err();
    let error = failure("tcp://host:1", &DialOptions::default(), failed);
    assert_eq!(error, DialError::Refused { url: "tcp://host:1".into() });
    let failed = first(&given, in_ten_seconds(), |_| pending::<io::Result<()>>()).await.unwrap_err();
    let error = failure("tcp://host:1", &DialOptions::default(), failed);
    assert_eq!(error, DialError::TimedOut { url: "tcp://host:1".into(), after: Duration::from_secs(10) });
}
