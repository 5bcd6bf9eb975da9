//! The body of what is sent: an argument, or standard input; bytes as they are, or a value.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libchan_iris::Body;
use tokio::io::AsyncReadExt;

use super::exit::Ended;
use crate::json::Json;

#[derive(clap::Args)]
pub(super) struct BodyArgs {
    /// The body. Without it, standard input to its end.
    body: Option<OsString>,
    /// The body is JSON, and is sent as a value, as a service with types reads it, rather than as plain bytes.
    #[arg(long)]
    value: bool,
}

impl BodyArgs {
    pub(super) async fn read(self) -> Result<Body, Ended> {
        let bytes = match self.body {
            Some(body) => body.into_vec(),
            None => {
                let mut bytes = Vec::new();
                let read = tokio::io::stdin().read_to_end(&mut bytes).await;
                read.map_err(|error| Ended::Local(format!("standard input: {error}")))?;
                bytes
            }
        };
        if !self.value {
            return Ok(Body::bytes(bytes));
        }
        let value: Json = serde_json::from_slice(&bytes)
            .map_err(|error| Ended::Usage(format!("--value, and the body is no JSON: {error}")))?;
        Ok(Body::of(&value)?)
    }
}
