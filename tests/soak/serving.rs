//! The side that does what it is asked.

use std::pin::Pin;

use libchan_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::work::{Gone, Manner, Outcome, Work, receive, send, sum};

/// Serves until nobody asks any more.
pub(crate) fn serve(works: Receiver<Work>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
    Box::pin(async move {
        let mut serving = JoinSet::new();
        // Not within a time: nothing may be asked for long.
        let outcome = loop {
            match works.recv().await {
                Ok(Some(work)) => drop(serving.spawn(serve_one(work))),
                Ok(None) => break Ok(()),
                Err(RecvError::Disconnected(_)) => break Err(Gone),
                Err(error) => panic!("{error:?}"),
            }
        };
        while let Some(served) = soon(serving.join_next()).await {
            match served {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => return Err(Gone),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        outcome
    })
}

async fn serve_one(work: Work) -> Outcome {
    match work {
        Work::Sum { blob, manner, reply } => reply_with(&reply, manner, sum(&blob.0)).await,
        Work::Numbers { numbers, manner, reply } => {
            let mut total = 0;
            for _ in 0..manner.steps() {
                let Some(number) = receive(&numbers).await? else { break };
                total += u64::from(number);
            }
            reply_with(&reply, manner, total).await
        }
        Work::Count { below, manner, to } => {
            for number in 0..below.min(manner.steps()) {
                if !send(&to, number).await? {
                    return Ok(());
                }
            }
            if let Manner::Error(steps, code) = manner
                && steps < below
            {
                to.close_with(RemoteError::new(code, "enough"));
            }
            Ok(())
        }
        Work::Echo { mut body, manner } => {
            let mut chunk = vec![0; 10_000];
            for _ in 0..manner.steps() {
                // Errors are the other side's to tell: it may have given up.
                let Ok(count) = soon(body.read(&mut chunk)).await else { return Ok(()) };
                if count == 0 || soon(body.write_all(&chunk[..count])).await.is_err() {
                    break;
                }
            }
            let _ = soon(body.shutdown()).await;
            Ok(())
        }
        Work::File { fd, manner, reply } => {
            let mut bytes = Vec::new();
            if manner == Manner::Answer {
                let mut stream = fd.into_stream().unwrap();
                if soon(stream.read_to_end(&mut bytes)).await.is_err() {
                    return Err(Gone);
                }
            }
            reply_with(&reply, manner, sum(&bytes)).await
        }
        Work::Home { sender, home } => send(&home, sender).await.map(drop),
        Work::Share { jobs, done } => {
            while let Some(job) = receive(&jobs).await? {
                send(&done, job).await?;
            }
            Ok(())
        }
        Work::More { works } => serve(works).await,
    }
}

async fn reply_with(reply: &Sender<u64>, manner: Manner, answer: u64) -> Outcome {
    match manner {
        Manner::Answer => send(reply, answer).await.map(drop),
        Manner::Drop(_) => Ok(()),
        Manner::Error(_, code) => {
            reply.close_with(RemoteError::new(code, "as asked"));
            Ok(())
        }
    }
}
