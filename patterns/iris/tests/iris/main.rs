//! Iris over its native face: the original's tests by name, and what happens where things go wrong.

#![allow(missing_docs)]

mod binding;
mod draft2;
mod faults;

mod patterns;
mod returns;
mod support;
