//! `libchan iris` as users call it: the real programs, attached to by the library and by each other.
#![allow(missing_docs)]

mod page;
mod relay;
mod support;
mod verbs;
