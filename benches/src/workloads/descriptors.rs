//! One descriptor a message, over unix.

use crate::case::{Case, case};
use crate::contenders::{libchan, raw_fd};

const OPERATIONS: u64 = 4_000;

pub fn cases() -> Vec<Case> {
    vec![
        case!(flow, "descriptors", "raw", OPERATIONS, || raw_fd::descriptors()),
        case!(flow, "descriptors", "libchan", OPERATIONS, || libchan::descriptors()),
    ]
}
