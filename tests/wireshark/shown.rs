//! What tshark shows of a capture with our dissector: the frames, as JSON.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::pcap::PORT;

/// The dissector.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/wireshark/libchan.lua")
}

/// tshark's words about a capture. It must have nothing to say on its standard error, but for a word to root.
pub(crate) fn tshark(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("tshark")
        .arg("-X")
        .arg(format!("lua_script:{}", script().display()))
        .arg("-r")
        .arg(file)
        .args(arguments)
        .output()
        .expect("tshark: run tests/setup-peers.sh");
    let errors = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = errors.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "tshark: {errors}");
    String::from_utf8(output.stdout).expect("tshark writes UTF-8")
}

/// The dissector has no fault, and neither Lua nor Wireshark has seen one. The packets are dissected twice, as in
/// Wireshark's window, and shown in full.
pub(crate) fn assert_sound(file: &Path, more: &[&str]) {
    let bad = "libchan.fault || _ws.lua.error || _ws.malformed.dissector_bug";
    let said = tshark(file, &[&["-2", "-V", "-Y", bad], more].concat());
    assert!(said.is_empty(), "{more:?}: {said}");
}

/// The same if the streams are taken for libchan whatever they begin with.
pub(crate) fn assert_sound_by_port(file: &Path) {
    assert_sound(file, &["-d", &format!("tcp.port=={PORT},libchan")]);
    let port = format!("libchan.ports:{PORT}");
    assert_sound(file, &["-o", &port, "-o", "tcp.desegment_tcp_streams:FALSE"]);
}

/// A frame of the protocol.
#[derive(Debug)]
pub(crate) struct Frame(Value);

/// All frames of a capture, in its order.
pub(crate) fn frames(file: &Path, more: &[&str]) -> Vec<Frame> {
    let arguments = [&["-T", "json", "--no-duplicate-keys", "-J", "libchan http2"], more].concat();
    let packets: Value = serde_json::from_str(&tshark(file, &arguments)).expect("JSON");
    let mut found = Vec::new();
    collect(&packets, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<Frame>) {
    match value {
        Value::Object(members) if members.contains_key("libchan.type") => found.push(Frame(value.clone())),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, found)),
        _ => {}
    }
}

fn values<'a>(value: &'a Value, field: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == field => found.push(text),
                    Value::Array(entries) if name == field => {
                        found.extend(entries.iter().filter_map(Value::as_str))
                    }
                    _ => values(member, field, found),
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| values(entry, field, found)),
        _ => {}
    }
}

impl Frame {
    /// All values of a field.
    pub(crate) fn all(&self, field: &str) -> Vec<&str> {
        let mut found = Vec::new();
        values(&self.0, field, &mut found);
        found
    }

    /// The first value of a field, or nothing.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.all(field).first().copied().unwrap_or_default()
    }

    /// Its type as a number.
    pub(crate) fn kind(&self) -> u8 {
        let kind = self.get("libchan.type");
        u8::from_str_radix(kind.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("a type {kind}"))
    }

    /// Whether the dissector has found it malformed.
    pub(crate) fn is_malformed(&self) -> bool {
        !self.all("libchan.malformed").is_empty()
    }
}
