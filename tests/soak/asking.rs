//! The side that asks, and checks what comes of it.

use std::io::Write;
use std::pin::{Pin, pin};

use libchan_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::task::JoinSet;

use crate::work::{Gone, Manner, Outcome, Work, answered, done, receive, send, sum};

fn capacity(rng: &mut Rng) -> usize {
    [0, 1, 3, 64][rng.below(4) as usize]
}

/// Asks for something, `depth` channels deep at the most.
pub(crate) fn ask(
    asks: Sender<Work>,
    mut rng: Rng,
    depth: u32,
) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
    Box::pin(async move {
        match rng.below(9) {
            0 => add_up(&asks, &mut rng).await,
            1 => numbers(&asks, &mut rng).await,
            2 => count(&asks, &mut rng).await,
            3 => echo(&asks, &mut rng).await,
            4 => file(&asks, &mut rng).await,
            5 => home(&asks, &mut rng).await,
            6 => share(&asks, &mut rng).await,
            7 => give_up(&asks, &mut rng).await,
            _ if depth > 0 => more(&asks, rng, depth - 1).await,
            _ => add_up(&asks, &mut rng).await,
        }
    })
}

/// The other side serves as long as we ask, unless the link is lost.
async fn ask_for(asks: &Sender<Work>, work: Work) -> Outcome {
    if send(asks, work).await? { Ok(()) } else { Err(Gone) }
}

async fn add_up(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (reply, replies) = pipe_with(capacity(rng));
    let most = [10, 3_000, 200_000][rng.below(3) as usize];
    let (blob, manner) = (blob(rng.below(most) as usize, rng.next()), Manner::any(rng));
    let expected = sum(&blob.0);
    ask_for(asks, Work::Sum { blob, manner, reply }).await?;
    answered(&replies, manner, expected).await
}

async fn numbers(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (reply, replies) = pipe_with(capacity(rng));
    let (feed, numbers) = pipe_with(capacity(rng));
    let (count, early, manner) = (rng.below(60) as u32, rng.below(2) == 0, Manner::any(rng));
    let feeding = tokio::spawn(async move {
        for number in 0..count {
            if !send(&feed, number).await? {
                break;
            }
        }
        Ok::<(), Gone>(())
    });
    if early {
        tokio::task::yield_now().await;
    }
    ask_for(asks, Work::Numbers { numbers, manner, reply }).await?;
    answered(&replies, manner, (0..count).map(u64::from).sum()).await?;
    soon(feeding).await.unwrap()
}

async fn count(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (to, numbers) = pipe_with(capacity(rng));
    let (below, manner) = (rng.below(60) as u32, Manner::any(rng));
    let taken = rng.below(80) as u32;
    ask_for(asks, Work::Count { below, manner, to }).await?;
    for expected in 0..below.min(manner.steps()) {
        if expected == taken {
            // Enough: the other side is told.
            return Ok(());
        }
        assert_eq!(receive(&numbers).await?, Some(expected));
    }
    match manner {
        Manner::Error(steps, _) if steps < below => answered(&numbers, manner, 0).await,
        _ => {
            assert_eq!(receive(&numbers).await?, None);
            Ok(())
        }
    }
}

async fn echo(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (mut here, body) = ByteStream::pair();
    let most = [10, 3_000, 200_000][rng.below(3) as usize];
    let (bytes, manner) = (pattern(rng.below(most) as usize, rng.next()), Manner::any(rng));
    if manner != Manner::Answer {
        // What is written and what is read before it is cut off is up to the schedule.
        ask_for(asks, Work::Echo { body, manner }).await?;
        let _ = soon(here.write_all(&bytes)).await;
        let _ = soon(here.shutdown()).await;
        let mut got = Vec::new();
        let _ = soon(here.read_to_end(&mut got)).await;
        assert!(bytes.starts_with(&got), "other bytes came back");
        return Ok(());
    }
    ask_for(asks, Work::Echo { body, manner }).await?;
    let (mut reader, mut writer) = split(here);
    let expected = bytes.clone();
    let writing = tokio::spawn(async move {
        done(soon(writer.write_all(&bytes)).await)?;
        done(soon(writer.shutdown()).await)
    });
    let mut got = Vec::new();
    done(soon(reader.read_to_end(&mut got)).await)?;
    assert!(got == expected, "{} of {} bytes came back", got.len(), expected.len());
    soon(writing).await.unwrap()
}

async fn file(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (reply, replies) = pipe_with(capacity(rng));
    let (bytes, manner) = (pattern(rng.below(4_096) as usize, rng.next()), Manner::any(rng));
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&bytes).unwrap();
    drop(writer);
    ask_for(asks, Work::File { fd: reader.into(), manner, reply }).await?;
    answered(&replies, manner, sum(&bytes)).await
}

async fn home(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (sender, numbers) = pipe_with(capacity(rng));
    let (home, returned) = pipe_with(capacity(rng));
    ask_for(asks, Work::Home { sender, home }).await?;
    let Some(sender) = receive(&returned).await? else { panic!("the sender did not come home") };
    let sending = tokio::spawn(async move {
        for number in 0..10 {
            send(&sender, number).await?;
        }
        Ok::<(), Gone>(())
    });
    for number in 0..10 {
        assert_eq!(receive(&numbers).await?, Some(number));
    }
    assert_eq!(receive(&numbers).await?, None);
    soon(sending).await.unwrap()
}

async fn share(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (feed, jobs) = pipe_with(capacity(rng));
    let (done, taken) = pipe();
    let count = rng.below(40) as u32;
    for _ in 0..1 + rng.below(2) {
        ask_for(asks, Work::Share { jobs: jobs.clone(), done: done.clone() }).await?;
    }
    let here = tokio::spawn(async move {
        while let Some(job) = receive(&jobs).await? {
            send(&done, job).await?;
        }
        Ok::<(), Gone>(())
    });
    let feeding = tokio::spawn(async move {
        for job in 0..count {
            send(&feed, job).await?;
        }
        Ok::<(), Gone>(())
    });
    let mut got = Vec::new();
    while let Some(job) = receive(&taken).await? {
        got.push(job);
    }
    soon(feeding).await.unwrap()?;
    soon(here).await.unwrap()?;
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..count), "{got:?} of {count}: each job goes to exactly one");
    Ok(())
}

/// Asks, and drops everything in the middle of it.
async fn give_up(asks: &Sender<Work>, rng: &mut Rng) -> Outcome {
    let (reply, replies) = pipe_with(capacity(rng));
    let (feed, numbers) = pipe_with(capacity(rng));
    let (to, counted) = pipe_with(capacity(rng));
    let (mut here, body) = ByteStream::pair();
    let manner = Manner::Answer;
    ask_for(asks, Work::Numbers { numbers, manner, reply }).await?;
    ask_for(asks, Work::Count { below: 1_000, manner, to }).await?;
    ask_for(asks, Work::Echo { body, manner }).await?;
    let busy = tokio::spawn(async move {
        for number in 0.. {
            if !send(&feed, number).await? {
                break;
            }
            receive(&counted).await?;
            done(soon(here.write_all(&[0; 100])).await)?;
            done(soon(here.read_exact(&mut [0; 100])).await)?;
        }
        Ok::<(), Gone>(())
    });
    for _ in 0..rng.below(50) {
        tokio::task::yield_now().await;
    }
    busy.abort();
    let _ = soon(busy).await;
    drop(replies);
    Ok(())
}

async fn more(asks: &Sender<Work>, mut rng: Rng, depth: u32) -> Outcome {
    let (nested, works) = pipe_with(capacity(&mut rng));
    let before = rng.below(2) == 0;
    let asking = |mut rng: Rng, nested: Sender<Work>| async move {
        let mut all = JoinSet::new();
        for _ in 0..1 + rng.below(3) {
            all.spawn(ask(nested.clone(), Rng::from_seed(rng.next()), depth));
        }
        all_asked(all).await
    };
    if before {
        // Begun before the other end of the channel has left. If that comes back to us, or we are dropped with it, nobody is to
        // ask any more: what waits in the channel then ends as if nobody wanted it.
        let mut sending = pin!(soon(asks.send(Work::More { works })));
        let mut asked = JoinSet::new();
        asked.spawn(asking(Rng::from_seed(rng.next()), nested));
        if let Err(_works) = sending.as_mut().await {
            asked.shutdown().await;
            return Err(Gone);
        }
        return all_asked(asked).await;
    }
    ask_for(asks, Work::More { works }).await?;
    asking(Rng::from_seed(rng.next()), nested).await
}

async fn all_asked(mut all: JoinSet<Outcome>) -> Outcome {
    while let Some(asked) = all.join_next().await {
        match asked {
            Ok(outcome) => outcome?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(())
}
