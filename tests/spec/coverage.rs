//! Every requirement has a vector, or a reason and a test elsewhere; every vector names requirements that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::{files, json, list, spec, text, word};

/// The ids of all requirements: the first cell of the rows that begin with one.
fn requirements() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["", "carriers", "codecs"] {
        for file in files(folder, ".md") {
            for line in text(&file).lines() {
                let Some(id) = line.strip_prefix("| ").and_then(|rest| rest.split(" |").next()) else {
                    continue;
                };
                if !is_id(id) {
                    continue;
                }
                assert!(line.contains("MUST"), "{id} in spec/{file} has no MUST");
                assert_eq!(line.matches('|').count(), 5, "the columns of {id} in spec/{file}");
                let before = found.insert(id.to_owned(), file.clone());
                assert!(before.is_none(), "{id} is given twice, in {before:?} and {file}");
            }
        }
    }
    found
}

/// Two capital letters, a hyphen, two digits.
fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 5
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2] == b'-'
        && bytes[3..].iter().all(u8::is_ascii_digit)
}

/// All vectors, by file.
pub(crate) fn vectors() -> BTreeMap<String, Vec<Value>> {
    let mut all = BTreeMap::new();
    for folder in ["vectors", "vectors/sessions"] {
        for file in files(folder, ".json") {
            if file != "vectors/schema.json" {
                let entries = json(&file).as_array().unwrap_or_else(|| panic!("{file} is no list")).clone();
                all.insert(file, entries);
            }
        }
    }
    all
}

fn reqs(value: &Value) -> Vec<&str> {
    value["req"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn requirements_and_vectors_name_each_other() {
    let requirements = requirements();
    let mut named = BTreeSet::new();
    for (file, entries) in vectors() {
        for entry in &entries {
            let req = reqs(entry);
            assert!(!req.is_empty(), "{} in {file} names no requirement", entry["id"]);
            let once: BTreeSet<_> = req.iter().collect();
            assert_eq!(once.len(), req.len(), "{} in {file} names a requirement twice", entry["id"]);
            for req in req {
                assert!(
                    requirements.contains_key(req),
                    "{} in {file} names {req}, which is none",
                    entry["id"]
                );
                named.insert(req.to_owned());
            }
        }
    }
    let uncovered = json("uncovered.json");
    let mut excused = BTreeSet::new();
    for entry in uncovered.as_array().expect("a list") {
        let req = word(entry, "req");
        assert!(requirements.contains_key(req), "uncovered.json names {req}, which is none");
        assert!(!named.contains(req), "{req} has a vector and needs no reason");
        let (file, test) = match word(entry, "shown_by").split_once("::") {
            Some((file, test)) => (file, Some(test)),
            None => (word(entry, "shown_by"), None),
        };
        let path = spec().join("..").join(file);
        let code = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{req}: {file}: {error}"));
        assert!(
            test.is_none_or(|test| code.contains(&format!("fn {test}"))),
            "{req}: {file} has no test {test:?}"
        );
        assert!(excused.insert(req.to_owned()), "{req} has two reasons");
    }
    let missing: Vec<&String> =
        requirements.keys().filter(|id| !named.contains(*id) && !excused.contains(*id)).collect();
    assert!(missing.is_empty(), "without a vector and without a reason: {missing:?}");
}

/// Every cell that ends the session because of what a peer sends has a vector with its code and its requirements; a row
/// that gathers inputs has one for each of them.
#[test]
fn every_illegal_cell_has_a_vector() {
    let requirements = requirements();
    let rejects = json("vectors/reject.json");
    let rejects = rejects.as_array().expect("a list");
    let states = json("states.json");
    for table in list(&states, "tables") {
        let name = word(table, "name");
        for entry in list(table, "rows") {
            for (state, cell) in list(table, "states").iter().zip(list(entry, "cells")) {
                let (state, input) = (word(state, "name"), word(entry, "input"));
                for req in reqs(cell) {
                    assert!(requirements.contains_key(req), "{name}, {state}, {input}: {req} is none");
                }
                if cell["code"].is_null() || word(entry, "from") != "peer" {
                    continue;
                }
                let each = entry["each"].as_object();
                let gathered: Vec<(&str, Vec<&str>)> = match each {
                    None => vec![(input, reqs(cell))],
                    Some(each) => each
                        .iter()
                        .map(|(input, req)| {
                            let req = req.as_array().into_iter().flatten();
                            (input.as_str(), req.filter_map(Value::as_str).collect())
                        })
                        .collect(),
                };
                for (input, req) in gathered {
                    let why = format!("{state}: ");
                    let shown = rejects.iter().any(|vector| {
                        vector["code"] == cell["code"]
                            && word(vector, "why").starts_with(&why)
                            && req.iter().all(|req| reqs(vector).contains(req))
                    });
                    assert!(shown, "{name}, {state}, {input}: no vector in reject.json");
                }
            }
        }
    }
}

/// What ids in the text point to exists.
#[test]
fn the_text_names_requirements_that_exist() {
    let requirements = requirements();
    for folder in ["", "carriers", "codecs", "conformance", "vectors"] {
        for file in files(folder, ".md") {
            let md = text(&file);
            for found in md.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|part| is_id(part))
            {
                assert!(requirements.contains_key(found), "spec/{file} names {found}, which is none");
            }
        }
    }
}
