//! Every file of vectors has the shape that schema.json describes. Checked by hand: one rule a line, and no library.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use crate::coverage::vectors;
use crate::{json, list, word};

/// The names in a table of the registry.
fn names(table: &str) -> BTreeSet<String> {
    list(&json("registry.json")["tables"][table], "rows")
        .iter()
        .map(|row| word(row, "name").to_owned())
        .collect()
}

static FRAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| names("frames"));
static CODES: LazyLock<BTreeSet<String>> = LazyLock::new(|| names("errors"));

const HEAD: [&str; 4] = ["id", "req", "level", "why"];
const SIDES: [&str; 6] = ["role", "hello", "peer", "local", "raw", "whole"];
const STEPS: [&str; 10] =
    ["app", "recv", "tick", "eof", "expect", "any_order", "events", "quiet", "skip", "over"];

fn is_hex(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.len().is_multiple_of(2) && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    })
}

fn is_bytes(value: &Value) -> bool {
    is_hex(value) || value["fill"] == "mod251" && value["len"].is_u64()
}

/// No member but these, and those marked `!` are there.
fn members(id: &str, value: &Value, known: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("{id}: no object: {value}"));
    for name in object.keys() {
        assert!(known.iter().any(|one| one.trim_end_matches('!') == name), "{id}: a member {name}");
    }
    for name in known.iter().filter_map(|one| one.strip_suffix('!')) {
        assert!(object.contains_key(name), "{id}: no member {name}");
    }
}

fn frame(id: &str, frame: &Value) {
    let kind = word(frame, "t");
    assert!(FRAMES.contains(kind) || ["PREFACE", "UNKNOWN"].contains(&kind), "{id}: a frame {frame}");
    assert!(frame["payload"].is_null() || is_bytes(&frame["payload"]), "{id}: the payload of {frame}");
}

fn steps(id: &str, steps: &[Value]) {
    for step in steps {
        let kind = STEPS.iter().find(|kind| step.get(**kind).is_some());
        let kind = kind.unwrap_or_else(|| panic!("{id}: a step {step}"));
        members(id, step, &[&format!("{kind}!"), if *kind == "app" { "gives" } else { kind }]);
        let value = &step[*kind];
        match *kind {
            "app" => assert!(!word(value, "op").is_empty()),
            "recv" if value.is_string() => assert!(is_hex(value), "{id}: {step}"),
            "recv" | "expect" | "any_order" => list(step, kind).iter().for_each(|one| frame(id, one)),
            "events" => list(step, kind).iter().for_each(|event| assert!(!word(event, "event").is_empty())),
            "tick" => assert!(value.is_u64(), "{id}: {step}"),
            "over" => assert!(value.is_null() || !word(value, "why").is_empty(), "{id}: {step}"),
            _ => assert_eq!(value, true, "{id}: {step}"),
        }
    }
}

fn error_name(id: &str, name: &Value) {
    assert!(name.as_str().is_some_and(|name| CODES.contains(name)), "{id}: no code {name}");
}

fn one_of(id: &str, entry: &Value, names: [&str; 2]) {
    assert_eq!(names.iter().filter(|name| entry.get(**name).is_some()).count(), 1, "{id}: one of {names:?}");
}

fn shape(file: &str, id: &str, entry: &Value) {
    let with = |more: &[&'static str]| [&HEAD[..], more].concat();
    match file {
        "vectors/frames.json" => {
            members(id, entry, &with(&["mode!", "hex!", "frame", "error"]));
            one_of(id, entry, ["frame", "error"]);
            assert!(is_hex(&entry["hex"]), "{id}");
            match entry.get("frame") {
                Some(found) => frame(id, found),
                None => error_name(id, &entry["error"]),
            }
        }
        "vectors/reject.json" => {
            members(
                id,
                entry,
                &with(&[&SIDES[..], &["before!", "hex!", "code!", "scope!", "at!", "told"]].concat()),
            );
            steps(id, list(entry, "before"));
            error_name(id, &entry["code"]);
            let length = word(entry, "hex").len() as u64 / 2;
            assert!(is_hex(&entry["hex"]) && entry["scope"] == "session", "{id}");
            assert!(entry["at"].as_u64().is_some_and(|at| (1..=length).contains(&at)), "{id}: at");
        }
        "vectors/carriers.json" => {
            assert!(!word(entry, "carrier").is_empty() && !word(entry, "kind").is_empty())
        }
        "vectors/iris.json" => {
            members(id, entry, &with(&["message!", "value", "error", "hex!", "ends!"]));
            one_of(id, entry, ["value", "error"]);
            assert!(!word(entry, "message").is_empty() && is_hex(&entry["hex"]), "{id}");
            let kinds = ["sender", "receiver", "stream"];
            assert!(list(entry, "ends").iter().all(|end| kinds.iter().any(|kind| end == kind)), "{id}");
            assert!(entry["error"].is_null() || entry["error"] == "DECODE", "{id}");
        }
        _ if file.starts_with("vectors/values.") => {
            members(id, entry, &with(&["value", "error", "encodings!", "attachments!", "mode"]));
            one_of(id, entry, ["value", "error"]);
            assert!(
                !list(entry, "encodings").is_empty() && list(entry, "encodings").iter().all(is_hex),
                "{id}"
            );
            assert!(entry["error"].is_null() || entry["error"] == "DECODE", "{id}");
        }
        _ => {
            members(id, entry, &with(&[&SIDES[..], &["steps!"]].concat()));
            assert!(["dialer", "acceptor"].contains(&word(entry, "role")), "{id}");
            steps(id, list(entry, "steps"));
        }
    }
}

#[test]
fn vectors_have_the_shape_of_the_schema() {
    let prefixes = json("vectors/schema.json")["$defs"]["head"]["properties"]["id"]["pattern"].to_string();
    let mut ids = BTreeSet::new();
    for (file, entries) in vectors() {
        assert!(!entries.is_empty(), "{file} is empty");
        for entry in &entries {
            let id = word(entry, "id");
            assert!(ids.insert(id.to_owned()), "{id} is given twice");
            let (group, number) = id.rsplit_once('.').unwrap_or_default();
            let group = group.split('.').next().unwrap_or_default();
            assert!(prefixes.contains(group) && group.len() == 2, "{id} in {file}: the group");
            assert!(
                number.len() == 3 && number.bytes().all(|c| c.is_ascii_digit()),
                "{id} in {file}: the number"
            );
            assert!(entry["level"].as_u64().is_some_and(|level| level <= 3), "{id}: the level");
            assert!(!word(entry, "why").is_empty(), "{id}: why");
            shape(&file, id, entry);
        }
    }
    assert!(ids.len() >= 400, "{} vectors", ids.len());
}
