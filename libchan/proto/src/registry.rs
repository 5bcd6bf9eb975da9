//! The wire's numbers as this crate has them, for the test that compares them with spec/registry.json.

use crate::frame::{self, Type, flag};
use crate::hello::Hello;
use crate::inbox::Kind;

/// What both sides send first.
pub const PREFACE: [u8; 8] = frame::PREFACE;

/// The longest text of a reason, in bytes.
pub const MAX_TEXT: usize = frame::MAX_TEXT;

/// The flags of a MESSAGE.
pub const FLAGS: [(&str, u8); 5] = [
    ("MORE", flag::MORE),
    ("ATTACHMENTS", flag::ATTACHMENTS),
    ("NOT_ENCODED", flag::NOT_ENCODED),
    ("NOT_FORWARDED", flag::NOT_FORWARDED),
    ("HEADERS", flag::HEADERS),
];

/// All flags together: no other is known.
pub const ALL_FLAGS: u8 = flag::ALL;

/// The kinds of attachments that may be sent.
pub const KINDS: [u8; 5] = [
    Kind::Sender as u8,
    Kind::Receiver as u8,
    Kind::Stream as u8,
    Kind::Descriptor as u8,
    Kind::SenderHome as u8,
];

/// The name of a frame type. `Ok(None)`: unknown, and skipped. `Err`: unknown, and an error.
#[allow(clippy::result_unit_err)]
pub fn frame_type(byte: u8) -> Result<Option<String>, ()> {
    Type::parse(byte).map(|kind| kind.map(|kind| format!("{kind:?}").to_uppercase())).map_err(drop)
}

/// The body of a HELLO.
pub fn hello(hello: &Hello) -> Vec<u8> {
    hello.encode()
}
