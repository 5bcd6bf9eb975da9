//! Iris in one process: a relay, load-balanced workers, a topic with a slow reader, and a tunnel.
//!
//! ```sh
//! cargo run --example iris
//! cargo run --example iris -- --listen unix:///tmp/iris.sock   # the relay alone, for programs elsewhere
//! ```

use std::time::Duration;

use libchan::{Sender, pipe};
use libchan_iris::{Connection, Error, Limits, Relay, Service, TopicLimits};
use serde::{Deserialize, Serialize};

const SECOND: Duration = Duration::from_secs(1);

/// A request whose reply is a channel of rows.
#[derive(Serialize, Deserialize)]
struct Query {
    from: u32,
    rows: Sender<u32>,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let relay = Relay::new();
    if let [_, flag, url] = &std::env::args().collect::<Vec<_>>()[..]
        && flag == "--listen"
    {
        let listener =
            libchan_transports::listen(url).await.map_err(|error| Error::Local(error.to_string()))?;
        println!("listening on {}", listener.url());
        return relay.serve(listener).await.map_err(|error| Error::Local(error.to_string()));
    }
    let listener = libchan_transports::listen("tcp://127.0.0.1:0").await.expect("a free port");
    let url = listener.url().to_owned();
    let serving = relay.clone();
    tokio::spawn(async move { serving.serve(listener).await });

    // Three workers of one cluster: requests go to free ones.
    let mut workers = Vec::new();
    for worker in 0..3 {
        let service = Service::builder("squares").on_request(move |number: u64| async move {
            Ok(format!("{} by worker {worker}", number * number))
        });
        workers.push(service.register(Connection::connect(&url).await?, Limits::default()).await?);
    }
    let iris = Connection::connect(&url).await?;
    for number in 1..=3_u64 {
        let square: String = iris.request("squares", &number, SECOND).await?;
        println!("{number} squared is {square}");
    }

    // A request whose reply is a channel.
    let table = Service::builder("table").on_request(|query: Query| async move {
        for row in query.from..query.from + 3 {
            query.rows.send(row).await?;
        }
        Ok(())
    });
    let table = table.register(iris.clone(), Limits::default()).await?;
    let (rows, found) = pipe();
    iris.request::<_, ()>("table", &Query { from: 7, rows }, SECOND).await?;
    while let Ok(Some(row)) = found.recv().await {
        println!("row {row}");
    }

    // A slow reader loses what does not fit, and is told how much.
    let mut slow = iris.subscribe_with("prices", TopicLimits::new().events(2)).await?;
    let mut quick = iris.subscribe("prices").await?;
    for price in 0..10_u32 {
        iris.publish("prices", &price).await?;
    }
    for _ in 0..10 {
        quick.next::<u32>().await?;
    }
    println!("the slow reader reads {:?} and {:?}", slow.next::<u32>().await?, slow.next::<u32>().await?);
    println!("the relay dropped {} of its events", relay.status().dropped);

    // A cluster that is not there: an error of its own, at once if the request is not to wait.
    let nobody =
        iris.request_raw("nobody", libchan_iris::Body::bytes("?"), SECOND, libchan_iris::Wait::No).await;
    println!("a request to nobody: {}", nobody.expect_err("there is no member"));

    table.unregister().await?;
    for worker in workers {
        worker.unregister().await?;
    }
    Ok(())
}
