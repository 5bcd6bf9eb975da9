//! Channels: sending, receiving, closing, forwarding.

use libchan::{CopyError, RemoteError, SendFailure, pipe_with};

use super::super::Fault;
use super::super::values::Value;
use super::held::{Held, Table};
use super::sessions::capacity;
use super::{Work, at_once, errors};
use crate::json::{Fields, Json, json};

/// The first code of the application's own.
const APPLICATION: u16 = 256;

/// `code` and `text` as an application states them.
pub(super) fn remote_error(request: &Json) -> Result<RemoteError, Fault> {
    let code: u16 = request.small("code")?;
    let own = code.checked_sub(APPLICATION);
    let own = own.ok_or_else(|| Fault::not_supported(format!("code {code}, which is the protocol's own")))?;
    Ok(RemoteError::new(own, request.text("text")?))
}

pub(super) fn pipe(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (table, capacity) = (table.clone(), capacity(request)?);
    at_once(move || {
        let (sender, receiver) = pipe_with(capacity);
        let sender = table.put(Held::Sender(sender));
        Ok(json!({"sender": sender, "receiver": table.put(Held::Receiver(receiver))}))
    })
}

pub(super) fn clone(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (kind, held) = match request.field("sender") {
        Json::Null => ("receiver", Held::Receiver(table.receiver(request)?)),
        _ => ("sender", Held::Sender(table.sender(request)?)),
    };
    let table = table.clone();
    at_once(move || Ok(json!({kind: table.put(held)})))
}

pub(super) fn send(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (table, sender, turn) = (table.clone(), table.sender(request)?, table.turn(request));
    let mut taken = Vec::new();
    let value = Value::from_json(request.field("value"), &mut |named| table.take_end(named, &mut taken))?;
    // No other handle of an end is here while it is sent: the peer is to get the only one.
    let numbers: Vec<u64> = taken.into_iter().map(|(number, _)| number).collect();
    Ok(Box::pin(async move {
        let _turn = turn.lock().await;
        match sender.send(value).await {
            Ok(()) => Ok(json!({})),
            Err(error) => {
                table.give_back(error.value, &numbers);
                Err(errors::send(error.reason))
            }
        }
    }))
}

pub(super) fn recv(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (table, receiver) = (table.clone(), table.receiver(request)?);
    Ok(Box::pin(async move {
        match receiver.recv().await {
            Ok(Some(value)) => Ok(json!({"value": value.into_json(&mut |end| table.hold(end))})),
            Ok(None) => Ok(json!({"end": true})),
            Err(why) => Err(errors::recv(why)),
        }
    }))
}

/// For the whole channel, with a reason or without.
pub(super) fn close(table: &Table, request: &Json, with: bool) -> Result<Work, Fault> {
    let reason = if with { Some(remote_error(request)?) } else { None };
    if request.field("sender").is_null() {
        let receiver = table.receiver(request)?;
        return at_once(move || {
            match reason {
                Some(reason) => receiver.close_with(reason),
                None => receiver.close(),
            }
            Ok(json!({}))
        });
    }
    let sender = table.sender(request)?;
    at_once(move || {
        match reason {
            Some(reason) => sender.close_with(reason),
            None => sender.close(),
        }
        Ok(json!({}))
    })
}

pub(super) fn copy(table: &Table, request: &Json) -> Result<Work, Fault> {
    // A channel that waits to be accepted is accepted.
    drop((table.receiver(request)?, table.sender(request)?));
    let (Held::Receiver(from), Held::Sender(to)) =
        (table.take(request, "receiver")?, table.take(request, "sender")?)
    else {
        return Err(Fault::new("NO_SUCH_HANDLE", request));
    };
    Ok(Box::pin(async move {
        match libchan::copy(from, to).await {
            Ok(_) => Ok(json!({})),
            Err(CopyError::Receive(why)) => Err(errors::recv(why)),
            Err(CopyError::Send(why)) => Err(errors::send(why)),
            Err(other) => Err(errors::send(SendFailure::Encode(other.to_string()))),
        }
    }))
}
