//! Byte streams and descriptors.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::Poll;

use libchan::{ByteStream, Fd};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::Fault;
use super::held::{Held, Shared, Stream, Table};
use super::{Work, at_once, errors};
use crate::json::{Fields, Json, hex, json};

pub(super) fn stream(table: &Table) -> Result<Work, Fault> {
    let table = table.clone();
    at_once(move || {
        let (one, other) = ByteStream::pair();
        let hold = |stream| table.put(Stream::held(stream));
        Ok(json!({"stream": hold(one), "other": hold(other)}))
    })
}

/// A pipe, from which the payload and then the end are read.
pub(super) fn fd(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (table, payload) = (table.clone(), request.bytes("payload")?);
    at_once(move || {
        let (reader, mut writer) = io::pipe().map_err(errors::io)?;
        // The pipe may hold less than the payload; a reader that goes away ends the thread.
        std::thread::spawn(move || writer.write_all(&payload));
        Ok(json!({"fd": table.put(Held::Fd(Fd::from(reader)))}))
    })
}

/// Polls a stream without keeping others from it in the meantime.
async fn poll<R>(
    stream: &Shared,
    fault: fn(io::Error) -> Fault,
    mut poll: impl FnMut(Pin<&mut ByteStream>, &mut std::task::Context<'_>) -> Poll<io::Result<R>>,
) -> Result<R, Fault> {
    poll_fn(|cx| {
        let mut stream = stream.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = stream.as_mut() else {
            return Poll::Ready(Err(Fault::new("NO_SUCH_HANDLE", "the stream has been sent")));
        };
        poll(Pin::new(stream), cx).map_err(fault)
    })
    .await
}

pub(super) fn read(table: &Table, request: &Json) -> Result<Work, Fault> {
    let stream = table.stream(request)?;
    let max: usize = request.small("max")?;
    Ok(Box::pin(async move {
        let _turn = stream.reading.lock().await;
        let mut bytes = vec![0; max.clamp(1, 1 << 20)];
        let n = poll(&stream, errors::read, |stream, cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            stream.poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
        })
        .await?;
        Ok(if n == 0 { json!({"end": true}) } else { json!({"payload": hex(&bytes[..n])}) })
    }))
}

pub(super) fn write(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (stream, payload) = (table.stream(request)?, request.bytes("payload")?);
    Ok(Box::pin(async move {
        let _turn = stream.writing.lock().await;
        let mut rest = &payload[..];
        while !rest.is_empty() {
            let n = poll(&stream, errors::io, |stream, cx| stream.poll_write(cx, rest)).await?;
            rest = &rest[n..];
        }
        poll(&stream, errors::io, |stream, cx| stream.poll_flush(cx)).await?;
        Ok(json!({}))
    }))
}

pub(super) fn finish(table: &Table, request: &Json) -> Result<Work, Fault> {
    let stream = table.stream(request)?;
    Ok(Box::pin(async move {
        let _turn = stream.writing.lock().await;
        poll(&stream, errors::io, |stream, cx| stream.poll_shutdown(cx)).await?;
        Ok(json!({}))
    }))
}
