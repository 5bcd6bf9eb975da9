//! A REST API and libchan at one port: see the README beside this file.
//!
//! `cargo run --example rest2ch -- serve`

mod client;
mod notes;
mod server;

use std::error::Error;
use std::process::ExitCode;

use tokio::net::TcpListener;

const USAGE: &str =
    "usage: rest2ch serve [ADDRESS] | add URL TEXT | watch URL (the token is in REST2CH_TOKEN)";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rest2ch: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve"] => serve("127.0.0.1:8080").await,
        ["serve", address] => serve(address).await,
        ["add", url, text] => {
            let session = client::connect(url, &token()?).await?;
            println!("{:?}", client::add(&session, text).await?);
            Ok(session.close().await?)
        }
        ["watch", url] => {
            let session = client::connect(url, &token()?).await?;
            let notes = client::watch(&session).await?;
            while let Some(note) = notes.recv().await? {
                println!("{}: {}", note.author, note.text);
            }
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

/// From the environment: arguments are there for everybody on the machine to see.
fn token() -> Result<String, Box<dyn Error + Send + Sync>> {
    std::env::var("REST2CH_TOKEN").map_err(|_| USAGE.into())
}

async fn serve(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let socket = TcpListener::bind(address).await?;
    println!("http://{}", socket.local_addr()?);
    Ok(server::serve(socket).await?)
}
