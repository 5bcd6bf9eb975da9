//! One small program over three transports: only the URL changes.
//!
//! A client sends a job to a worker. In the job travel a file descriptor (the text to read), a byte stream (where the
//! result goes) and a reply (by which the worker reports). `cargo run --example quickstart`

use std::error::Error;
use std::fs::File;
use std::path::Path;

use libchan::{ByteStream, CallError, Fd, oneshot};
use libchan_transports::{Listener, dial, listen};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Job {
    title: String,
    text: Fd,
    result: ByteStream,
    done: oneshot::Sender<Report>,
}

#[derive(Serialize, Deserialize)]
struct Report {
    lines: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("libchan-quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = everywhere(&dir).await;
    std::fs::remove_dir_all(&dir)?;
    outcome
}

async fn everywhere(dir: &Path) -> Result<(), Box<dyn Error>> {
    let file = dir.join("proverb.txt");
    std::fs::write(&file, "do not communicate by sharing memory;\nshare memory by communicating\n")?;

    let socket = format!("unix://{}", dir.join("worker.sock").display());
    for url in ["mem:quickstart", &socket, "tcp://127.0.0.1:0"] {
        let listener = listen(url).await?;
        println!("{}", listener.url());
        tokio::try_join!(worker(&listener), client(listener.url(), &file))?;
    }
    Ok(())
}

async fn worker(listener: &Listener) -> Result<(), Box<dyn Error>> {
    let session = listener.accept().await?;
    let Some(incoming) = session.accept().await? else { return Ok(()) };
    println!("  worker: a channel called {:?}", incoming.name());
    let jobs = incoming.receive::<Job>();
    while let Some(mut job) = jobs.recv().await? {
        let came = if job.text.is_passed() { "as a descriptor" } else { "as a byte stream" };
        println!("  worker: job {:?}, the file came {came}", job.title);

        let mut text = String::new();
        job.text.into_stream()?.read_to_string(&mut text).await?;
        job.result.write_all(text.to_uppercase().as_bytes()).await?;
        job.result.shutdown().await?;
        job.done.send(Report { lines: text.lines().count() })?;
    }
    println!("  worker: no more jobs");
    Ok(())
}

async fn client(url: &str, file: &Path) -> Result<(), Box<dyn Error>> {
    let session = dial(url).await?;
    let jobs = session.open::<Job>("jobs")?;

    let (mut shouted, result) = ByteStream::pair();
    let text = File::open(file)?.into();
    let report = jobs.call(|done| Job { title: "shout".to_owned(), text, result, done });
    let reading = async {
        let mut text = String::new();
        shouted.read_to_string(&mut text).await?;
        for line in text.lines() {
            println!("  client: {line}");
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let (report, read) = tokio::join!(report, reading);
    read?;
    println!("  client: {} lines done", report.map_err(CallError::without_request)?.lines);

    drop(jobs);
    session.close().await?;
    Ok(())
}
