//! Every way in which a request can fail, and what its caller is told. `cargo run --example failures`
//!
//! A client calls a service in another process. For each line the service does something else with the request: it refuses it,
//! does not understand it, panics, drops it, leaves while it has it, or is killed. Each failure is one `CallError`, which says
//! whether asking again could do something twice.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use libchan::{CallError, Cut, Incoming, Session, oneshot};
use libchan_transports::{dial, listen};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

#[derive(Serialize, Deserialize)]
struct Double {
    number: u32,
    reply: oneshot::Sender<u32>,
}

/// What a service expects that was built from other sources.
#[derive(Serialize, Deserialize)]
struct Triple {
    three: [u32; 3],
}

/// What the service does. It is the name of the channel.
const CASES: [&str; 9] = [
    "answers",
    "refuses",
    "expects another type",
    "panics",
    "drops it",
    "is slow",
    "drains",
    "closes",
    "is killed",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("service") {
        return service().await;
    }
    for case in CASES {
        let (mut process, url) = start().await?;
        let session = dial(&url).await?;
        let outcome = call(&session, case, &mut process).await?;
        match outcome {
            Ok(answer) => println!("{case:21} {answer}"),
            Err(error) => {
                let retry = if error.is_safe_to_retry() { "safe to retry" } else { "may have been seen" };
                println!("{case:21} {retry:19} {error}");
            }
        }
        // The service may be gone already.
        let _ = session.close().await;
        let _ = process.kill().await;
    }
    Ok(())
}

/// One request.
async fn call(
    session: &Session,
    case: &str,
    process: &mut Child,
) -> Result<Result<u32, CallError<()>>, Box<dyn Error>> {
    let requests = session.open::<Double>(case)?;
    let answer = requests.call(|reply| Double { number: 21, reply }).within(Duration::from_secs(2));
    let killing = async {
        if case == "is killed" {
            // It has the request by then.
            session.flush().await?;
            process.kill().await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let (answer, killed) = tokio::join!(answer, killing);
    killed?;
    Ok(answer.map_err(CallError::without_request))
}

/// Starts the service and reads where it listens.
async fn start() -> Result<(Child, String), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let mut process = Command::new(program)
        .arg("service")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let output = process.stdout.take().ok_or("the service has no output")?;
    let url = BufReader::new(output).lines().next_line().await?.ok_or("the service did not start")?;
    Ok((process, url))
}

async fn service() -> Result<(), Box<dyn Error>> {
    let listener = listen("tcp://127.0.0.1:0").await?;
    println!("{}", listener.url());
    let session = listener.accept().await?;
    while let Some(incoming) = session.accept().await? {
        serve(&session, incoming).await?;
    }
    Ok(())
}

async fn serve(session: &Session, incoming: Incoming) -> Result<(), Box<dyn Error>> {
    let case = incoming.name().to_owned();
    if case == "refuses" {
        incoming.refuse("not for you");
        return Ok(());
    }
    if case == "expects another type" {
        let error = incoming.receive::<Triple>().recv().await.err();
        eprintln!("{error:?}");
        return Ok(());
    }
    let requests = incoming.receive::<Double>();
    if case == "drains" {
        // It leaves before it has taken anything.
        session.flush().await?;
        session.clone().drain(Duration::from_secs(1)).await?;
        return Ok(());
    }
    let Some(request) = requests.recv().await? else { return Ok(()) };
    match case.as_str() {
        "answers" => request.reply.send(2 * request.number)?,
        "drops it" => drop(request),
        "closes" => session.clone().close().await?,
        "is slow" => {
            // The caller gives up, and the handler learns of it.
            let closed = timeout(Duration::from_secs(9), request.reply.closed()).await?;
            eprintln!("{closed}");
        }
        "panics" => {
            let handler = tokio::spawn(async move {
                let _request = request;
                panic!("on purpose");
            });
            assert!(handler.await.is_err_and(|error| error.is_panic()));
        }
        _ => {
            let closed = request.reply.closed().await;
            eprintln!("{closed}, {}", Cut::NoReply);
        }
    }
    Ok(())
}
