//! `libchan iris subscribe`: prints what is published under a topic, an event a line.

use std::process::ExitCode;

use libchan_iris::{Body, Error, TopicLimits};
use tokio::io::AsyncWriteExt;

use super::exit::Ended;
use super::{Attach, show};
use crate::iris::units::size;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    attach: Attach,
    /// The topic.
    topic: String,
    /// Ends after so many events. Without it, only with the relay, or a signal.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Prints each event as the bytes it is, with their number before them in four bytes, the highest first. Without it an event
    /// is a line: JSON if it is a value, else its text, where a line break is written \n, a backslash \\, and other control
    /// characters and what is no UTF-8 \x and two digits.
    #[arg(long)]
    raw: bool,
    /// Events that may wait for who reads this output; what does not fit is lost, and said on standard error.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
    /// Bytes of these.
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    bytes: usize,
}

pub(crate) fn subscribe(args: Args) -> ExitCode {
    super::run(async move {
        let iris = args.attach.connect().await?;
        let limits = TopicLimits::new().events(args.events as usize).bytes(args.bytes);
        let mut events = iris.subscribe_with(&args.topic, limits).await?;
        eprintln!("subscribed to {:?}", args.topic);
        let mut out = tokio::io::stdout();
        let (mut seen, mut lost) = (0, 0);
        while args.count.is_none_or(|count| seen < count) {
            match events.next_body().await {
                Ok(Some(body)) => {
                    let told = if args.raw { framed(&body)? } else { line(body) };
                    out.write_all(&told).await.map_err(|error| Ended::output(&error))?;
                    out.flush().await.map_err(|error| Ended::output(&error))?;
                    seen += 1;
                }
                Ok(None) => return Err(Error::Lost.into()),
                Err(Error::NotDecoded(why)) => eprintln!("libchan: an event does not decode: {why}"),
                Err(error) => return Err(error.into()),
            }
            if events.lost() > lost {
                eprintln!(
                    "libchan: {} events were lost: they are not read fast enough",
                    events.lost() - lost
                );
                lost = events.lost();
            }
        }
        drop(events);
        super::leave(iris).await;
        Ok(())
    })
}

fn line(body: Body) -> Vec<u8> {
    let bytes = body.as_bytes().to_vec();
    let mut line = show::as_json(body).unwrap_or_else(|| show::on_one_line(&bytes)).into_bytes();
    line.push(b'\n');
    line
}

fn framed(body: &Body) -> Result<Vec<u8>, Ended> {
    let bytes = body.as_bytes();
    let length = u32::try_from(bytes.len()).map_err(|_| Ended::Local("an event of over 4 GiB".to_owned()))?;
    Ok([&length.to_be_bytes()[..], bytes].concat())
}
