//! A chat room for web browsers: see the README beside this file.
//!
//! `cargo run --example chat`

mod room;
mod server;

use std::error::Error;

use tokio::net::TcpListener;

const USAGE: &str = "usage: chat [ADDRESS]";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = match &arguments[..] {
        [] => "127.0.0.1:8080",
        [address] if !address.starts_with('-') => address,
        _ => return Err(USAGE.into()),
    };
    let socket = TcpListener::bind(address).await?;
    println!("http://{}/", socket.local_addr()?);
    Ok(server::serve(socket).await?)
}
