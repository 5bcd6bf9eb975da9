//! Errors of the library, by the names of the testee's protocol.

use std::io;

use libchan::{CloseError, Closed, OpenError, RecvError, RemoteError, SendFailure, SessionError};
use libchan_transports::{DialError, ListenError};

use super::super::Fault;
use super::super::frames::code_name;

fn with_code(name: &str, error: &RemoteError) -> Fault {
    Fault { code: Some(error.wire_code()), ..Fault::new(name, error.text()) }
}

fn closed(why: Closed) -> Fault {
    match why {
        Closed::Dropped => Fault { code: Some(0), ..Fault::new("CANCELLED", "") },
        Closed::Refused(error) => with_code("REFUSED", &error),
        Closed::BySender => Fault::new("CLOSED", why),
        Closed::Disconnected(_) => Fault::new("DISCONNECTED", why),
        Closed::SessionClosed(_) => Fault::new("SESSION_CLOSED", why),
        other => Fault::new("CLOSED", other),
    }
}

pub(super) fn send(why: SendFailure) -> Fault {
    let name = match &why {
        SendFailure::Closed(reason) => return closed(reason.clone()),
        SendFailure::AttachmentInUse => "IN_USE",
        SendFailure::Disconnected { .. } => "DISCONNECTED",
        SendFailure::Encode(_) => "ENCODE",
        SendFailure::Limit(_) => "LIMIT",
        SendFailure::TooLarge { .. } => "TOO_LARGE",
        SendFailure::TooManyAttachments { .. } => "TOO_MANY_ATTACHMENTS",
        _ => "IO",
    };
    Fault::new(name, why)
}

pub(super) fn recv(why: RecvError) -> Fault {
    let name = match &why {
        RecvError::Decode(_) => "DECODE",
        RecvError::Disconnected(_) => "DISCONNECTED",
        RecvError::NotForwarded(_) => "NOT_FORWARDED",
        RecvError::NotEncoded(_) => "NOT_ENCODED",
        RecvError::Remote(error) => return with_code("ENDED_WITH", error),
        RecvError::SessionClosed(_) => "SESSION_CLOSED",
        _ => "IO",
    };
    Fault::new(name, why)
}

pub(super) fn close(why: &CloseError) -> Fault {
    match why {
        CloseError::Session(error) => session(error),
        other => Fault::new("DISCONNECTED", other),
    }
}

pub(super) fn session(why: &SessionError) -> Fault {
    let name = match why {
        SessionError::Closed => "CLOSED".to_owned(),
        SessionError::Lost | SessionError::Link(_) => "DISCONNECTED".to_owned(),
        SessionError::PeerClosed(reason) => code_name(reason.code),
        broken => code_name(broken.code()),
    };
    Fault::new(name, why)
}

pub(super) fn open(why: OpenError) -> Fault {
    match why {
        OpenError::SessionOver(over) => session(&over),
        other => Fault::new("LIMIT", other),
    }
}

pub(super) fn dial(why: DialError) -> Fault {
    match why {
        DialError::Session(over) => session(&over),
        DialError::Url(_) => Fault::not_supported(why),
        other => Fault::new("IO", other),
    }
}

pub(super) fn listen(why: ListenError) -> Fault {
    match why {
        ListenError::Url(_) => Fault::not_supported(why),
        other => Fault::new("IO", other),
    }
}

/// A read of a stream that was cut: the library's reason is inside.
pub(super) fn read(error: io::Error) -> Fault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>()) {
        Some(why) => recv(why.clone()),
        None => io(error),
    }
}

pub(super) fn io(error: io::Error) -> Fault {
    let name = match error.kind() {
        io::ErrorKind::ConnectionReset => "DISCONNECTED",
        io::ErrorKind::BrokenPipe => "CLOSED",
        _ => "IO",
    };
    Fault::new(name, error)
}
