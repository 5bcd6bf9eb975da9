//! `spec/` against itself and against the code: its tables are those of the registry, the registry has the code's numbers,
//! every requirement has a vector and every vector its requirements, and every file has its shape. The vectors themselves
//! are run by the conformance runner.

#![allow(missing_docs)]

mod carriers;
mod coverage;
mod registry;
mod shape;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of the specification.
fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec")
}

fn text(path: &str) -> String {
    fs::read_to_string(spec().join(path)).unwrap_or_else(|error| panic!("spec/{path}: {error}"))
}

fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("spec/{path}: {error}"))
}

/// The files with this ending in a folder of the specification, by their paths in it, sorted.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(spec().join(folder)).unwrap_or_else(|error| panic!("spec/{folder}: {error}"));
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(ending))
        .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") })
        .collect();
    found.sort();
    found
}

/// A member that is a list.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name} in {value}"))
}

/// A member that is a text.
fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}
