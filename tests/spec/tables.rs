//! The tables in the md files are those of registry.json and states.json, as spec/tools/tables.py writes them.

use serde_json::Value;

use crate::{json, list, text, word};

fn row(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn form(value: &Value, how: &str) -> String {
    match (value.as_u64(), how) {
        (Some(number), "hex") => format!("{number:02x}"),
        (Some(number), "grouped") => grouped(number),
        (Some(number), _) => number.to_string(),
        (None, _) => value.as_str().unwrap_or_else(|| panic!("a cell {value}")).to_owned(),
    }
}

fn of_registry(table: &Value) -> Vec<String> {
    let columns = list(table, "columns");
    let mut lines = vec![row(columns.iter().map(|column| word(column, "title").to_owned()))];
    lines.push(format!("|{}", "---|".repeat(columns.len())));
    for entry in list(table, "rows") {
        lines.push(row(columns.iter().map(|column| form(&entry[word(column, "key")], word(column, "form")))));
    }
    lines
}

fn cell(cell: &Value) -> String {
    if cell["never"] == true {
        return "-".to_owned();
    }
    let req: Vec<&str> = cell["req"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let req = req.join(", ");
    if let Some(code) = cell["code"].as_str() {
        return format!("**{code}** ({req})");
    }
    let mut out = word(cell, "do").to_owned();
    if let Some(to) = cell["to"].as_str() {
        out += &format!("; to *{to}*");
    }
    if req.is_empty() { out } else { format!("{out} ({req})") }
}

fn of_states(table: &Value) -> Vec<String> {
    let states = list(table, "states");
    let mut lines: Vec<String> = states
        .iter()
        .chain(table.get("last"))
        .map(|state| format!("* *{}*: {}", word(state, "name"), word(state, "means")))
        .collect();
    lines.push(String::new());
    let heads = states.iter().map(|state| format!("*{}*", word(state, "name")));
    lines.push(row(["from".to_owned(), "input".to_owned()].into_iter().chain(heads)));
    lines.push(format!("|{}", "---|".repeat(2 + states.len())));
    for entry in list(table, "rows").iter().filter(|entry| entry["shown"] != false) {
        let head = [word(entry, "from").to_owned(), word(entry, "input").to_owned()];
        lines.push(row(head.into_iter().chain(list(entry, "cells").iter().map(cell))));
    }
    lines
}

fn stands(name: &str, file: &str, lines: &[String]) {
    let md = text(file);
    let begin = format!("<!-- table: {name} -->\n");
    let (_, rest) = md.split_once(&begin).unwrap_or_else(|| panic!("spec/{file} has no table {name}"));
    let (table, _) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("the table {name} has no end"));
    let found: Vec<&str> = table.lines().collect();
    assert_eq!(found, lines, "spec/{file}, table {name}: run python3 spec/tools/tables.py");
}

#[test]
fn tables_are_those_of_the_registry() {
    let registry = json("registry.json");
    let tables = registry["tables"].as_object().expect("the registry's tables");
    for (name, table) in tables {
        stands(name, word(table, "file"), &of_registry(table));
    }
}

#[test]
fn state_tables_have_no_empty_cell_and_stand_in_the_text() {
    let states = json("states.json");
    for table in list(&states, "tables") {
        let name = word(table, "name");
        let columns = list(table, "states").len();
        let names: Vec<&str> =
            list(table, "states").iter().chain(table.get("last")).map(|state| word(state, "name")).collect();
        for entry in list(table, "rows") {
            let cells = list(entry, "cells");
            assert_eq!(cells.len(), columns, "{name}, {}", word(entry, "input"));
            for cell in cells {
                let filled = ["do", "code", "never"].into_iter().filter(|key| !cell[*key].is_null()).count();
                assert_eq!(filled, 1, "{name}, {}: {cell}", word(entry, "input"));
                assert!(cell["do"].as_str() != Some(""), "{name}, {}: an empty cell", word(entry, "input"));
                if let Some(to) = cell["to"].as_str() {
                    assert!(names.contains(&to), "{name}: no state {to}");
                }
            }
        }
        stands(&format!("states of {name}"), word(table, "file"), &of_states(table));
    }
}
