//! The runner as a program: the Rust implementation against itself, testees that lie, known failures, exit codes.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The tool, with these arguments.
fn libchan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_libchan")).args(arguments).output().unwrap()
}

/// What it wrote, both ways.
fn text(output: &Output) -> String {
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{errors}")
}

#[track_caller]
fn ends_with(code: i32, output: &Output) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

/// A file in a folder of this test run.
fn file(name: &str, content: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

/// A testee that passes requests on to the real one and lies: `sed` edits its replies.
fn liar(edit: &str) -> Vec<String> {
    let script = format!("'{}' testee | sed -u '{edit}'", env!("CARGO_BIN_EXE_libchan"));
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

fn with_testee(mode: &[&str], testee: &[String]) -> Output {
    let mut arguments: Vec<&str> = ["conform"].iter().chain(mode).copied().collect();
    arguments.push("--");
    arguments.extend(testee.iter().map(String::as_str));
    libchan(&arguments)
}

/// The verdicts of a run, by id.
fn verdicts(path: &PathBuf) -> BTreeMap<String, String> {
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let word = |case: &serde_json::Value, name: &str| case[name].as_str().unwrap().to_owned();
    report["cases"].as_array().unwrap().iter().map(|case| (word(case, "id"), word(case, "verdict"))).collect()
}

// ---- the implementation against itself

#[test]
fn the_rust_testee_passes_every_vector_in_process() {
    let json = file("vectors.json", "");
    let output = libchan(&["conform", "vectors", "--json", json.to_str().unwrap()]);
    ends_with(0, &output);
    let verdicts = verdicts(&json);
    assert!(verdicts.len() > 800, "{} vectors", verdicts.len());
    assert!(verdicts.values().all(|verdict| verdict == "pass"), "{}", text(&output));
}

#[test]
fn the_rust_testee_passes_vectors_as_a_program() {
    let testee = [env!("CARGO_BIN_EXE_libchan").to_owned(), "testee".to_owned()];
    ends_with(0, &with_testee(&["vectors", "--filter", "fr.close", "--filter", "cr."], &testee));
}

#[test]
fn rust_as_a_server_over_tcp() {
    ends_with(0, &libchan(&["conform", "server", "--carrier", "tcp", "--timeout", "60", "--verbose"]));
}

#[test]
fn rust_as_a_client_over_unix() {
    ends_with(0, &libchan(&["conform", "client", "--carrier", "unix", "--timeout", "60", "--verbose"]));
}

#[test]
fn three_in_a_row() {
    let three = ["conform", "interop", "--a", "rust", "--b", "rust", "--c", "rust"];
    let output =
        libchan(&[&three[..], &["--carrier", "unix", "--filter", "li.chain", "--timeout", "60"]].concat());
    ends_with(0, &output);
    assert!(text(&output).contains("39 passed"), "{}", text(&output));
}

#[test]
fn the_carriers_with_a_handshake_carry_ends_streams_and_errors() {
    for carrier in ["tls", "http2", "websocket"] {
        let filters = ["--filter", "li.nested.00", "--filter", "li.stream.001", "--filter", "li.end.00"];
        let output = libchan(
            &[&["conform", "server", "--carrier", carrier, "--timeout", "60"], &filters[..]].concat(),
        );
        ends_with(0, &output);
    }
}

// ---- testees that lie

#[test]
fn a_testee_that_flips_a_bit_fails_what_it_touches() {
    let json = file("flip.json", "");
    // The taken of every CREDIT that it decodes is one off.
    let testee = liar(r#"s/"taken":32/"taken":33/"#);
    let output = with_testee(&["vectors", "--filter", "fr.", "--json", json.to_str().unwrap()], &testee);
    ends_with(1, &output);
    let failed: Vec<String> =
        verdicts(&json).into_iter().filter(|(_, verdict)| verdict == "fail").map(|(id, _)| id).collect();
    assert!(!failed.is_empty() && failed.iter().all(|id| id.starts_with("fr.credit")), "{failed:?}");
}

#[test]
fn a_testee_that_accepts_everything_fails_what_must_be_refused() {
    let json = file("accepts.json", "");
    let testee = liar(r#"s/"err":{[^}]*}/"ok":{"t":"DATA"}/"#);
    let output = with_testee(&["vectors", "--filter", "fr.data", "--json", json.to_str().unwrap()], &testee);
    ends_with(1, &output);
    assert!(verdicts(&json).values().all(|verdict| verdict == "fail"), "{}", text(&output));
}

#[test]
fn a_testee_that_answers_nothing_fails_in_time() {
    let output = with_testee(&["vectors", "--timeout", "1"], &["sleep", "60"].map(str::to_owned));
    ends_with(2, &output);
    assert!(text(&output).contains("no reply to hello within 3 s"), "{}", text(&output));
}

#[test]
fn a_testee_that_falls_silent_fails_the_case() {
    let testee = liar(r#"/"hex"/d"#);
    let output = with_testee(&["vectors", "--filter", "fr.close.00", "--timeout", "1", "--verbose"], &testee);
    ends_with(1, &output);
    assert!(text(&output).contains("no reply to frame.encode within 1 s"), "{}", text(&output));
    assert!(text(&output).contains("> {"), "the transcript is missing: {}", text(&output));
}

#[test]
fn a_testee_that_dies_fails_the_case_and_is_started_again() {
    let json = file("dies.json", "");
    // A program that ends as a whole.
    let script = format!("read line; echo \"$line\" | '{}' testee; exit 3", env!("CARGO_BIN_EXE_libchan"));
    let testee = ["sh", "-c", &script].map(str::to_owned);
    let output = with_testee(
        &["vectors", "--filter", "fr.ping", "--filter", "fr.pong", "--json", json.to_str().unwrap()],
        &testee,
    );
    ends_with(1, &output);
    assert!(text(&output).contains("the testee has ended (exit status: 3)"), "{}", text(&output));
    let verdicts = verdicts(&json);
    assert!(verdicts.len() > 2 && verdicts.values().all(|verdict| verdict == "fail"), "{verdicts:?}");
}

#[test]
fn a_testee_that_talks_nonsense_is_named() {
    for said in ["hello, world", "{\"n\":1}", "{\"n\":99,\"ok\":{}}", "{\"n\":1,\"ok\":{\"level\":9}}"] {
        let testee = ["sh", "-c", &format!("echo '{said}'; cat >/dev/null")].map(str::to_owned);
        let output = with_testee(&["vectors", "--timeout", "5"], &testee);
        ends_with(2, &output);
        assert!(text(&output).contains("nonsense"), "{}", text(&output));
    }
}

#[test]
fn a_testee_that_loses_messages_fails_the_live_case() {
    // What is received last is told as the first.
    let testee = liar(r#"s/"ok":{"value":2}/"ok":{"value":1}/"#);
    let mode = ["server", "--carrier", "tcp", "--filter", "li.end.001", "--timeout", "30"];
    let output = with_testee(&mode, &testee);
    ends_with(1, &output);
    assert!(text(&output).contains("recv gives 1 in the place of 2"), "{}", text(&output));
}

#[test]
fn a_testee_that_leaks_fails_the_live_case() {
    // What it has at first is true; later it has more.
    let testee = liar(r#"0,/"sessions":/b; s/"sessions":0/"sessions":7/"#);
    let mode = ["server", "--carrier", "tcp", "--filter", "li.end.002", "--timeout", "30"];
    let output = with_testee(&mode, &testee);
    ends_with(1, &output);
    assert!(text(&output).contains("sessions left where it had"), "{}", text(&output));
}

#[test]
fn a_failure_says_why_what_was_due_and_what_went_before() {
    let testee = liar(r#"s/"over":{"code":"FLOW_CONTROL","why":"broken"}/"over":null/"#);
    let output = with_testee(&["vectors", "--filter", "rj.limit.02"], &testee);
    ends_with(1, &output);
    let said = text(&output);
    for due in [
        "it shows: ",
        "due: the session is over with FLOW_CONTROL at byte",
        "   1 {\"recv\":[{\"capacity\"",
        "the last lines (> asked",
        "The first failure has the last lines",
    ] {
        assert!(said.contains(due), "{due}: {said}");
    }
    assert_eq!(said.matches("the last lines (> asked").count(), 1, "{said}");
}

#[test]
fn a_case_is_repeated_up_to_its_first_failure() {
    // The first run has 18 lines, with that of `hello`; from the second on it reads another frame.
    let testee = liar(r#"s/"verbs":\[[^]]*\]/"verbs":[]/; 19,999s/"t":"PING"/"t":"PONG"/"#);
    let mode = ["vectors", "--filter", "fr.ping.001", "--repeat"];
    let run = |times: &str| with_testee(&[&mode[..], &[times]].concat(), &testee);
    ends_with(0, &run("1"));
    let output = run("4");
    ends_with(1, &output);
    assert!(text(&output).contains("in run 2 of 4: "), "{}", text(&output));
}

// ---- lists, levels, exit codes

#[test]
fn known_failures_may_fail_and_must_not_pass() {
    let testee = liar(r#"s/"t":"PING"/"t":"PONG"/"#);
    let known = file("known", "# of the liar\nfr.ping.001  # one of them\n");
    let mode = ["vectors", "--filter", "fr.ping.001", "--known-failing", known.to_str().unwrap()];
    let output = with_testee(&mode, &testee);
    ends_with(0, &output);
    assert!(text(&output).contains("known failure   fr.ping.001"), "{}", text(&output));
    let output = libchan(&[&["conform"], &mode[..]].concat());
    ends_with(1, &output);
    assert!(text(&output).contains("UNEXPECTED PASS fr.ping.001"), "{}", text(&output));
}

#[test]
fn a_level_leaves_out_what_is_above_it() {
    let (low, all) = (file("low.json", ""), file("all.json", ""));
    let run = |level: &str, path: &PathBuf| {
        let path = path.to_str().unwrap();
        ends_with(0, &libchan(&["conform", "vectors", "--filter", "fr.", "--level", level, "--json", path]));
    };
    run("0", &low);
    run("3", &all);
    assert!(verdicts(&low).len() < verdicts(&all).len());
}

#[test]
fn a_testee_is_held_to_the_level_that_it_claims() {
    let testee = liar(r#"s/"level":3/"level":0/"#);
    let output = with_testee(&["vectors", "--filter", "ne.", "--filter", "se.ping"], &testee);
    ends_with(0, &output);
    assert!(text(&output).contains("to level 0"), "{}", text(&output));
    assert!(!text(&output).contains("ne.drop"), "{}", text(&output));
}

#[test]
fn what_a_testee_cannot_do_is_skipped() {
    let testee = liar(r#"s/"verbs":\[[^]]*\]/"verbs":[]/; s/,"json","cbor"//"#);
    let output =
        with_testee(&["vectors", "--filter", "se.", "--filter", "fr.end", "--filter", "co.json"], &testee);
    ends_with(0, &output);
    assert!(text(&output).contains("the testee has no machine"), "{}", text(&output));
    let output = with_testee(&["server"], &testee);
    ends_with(2, &output);
    assert!(text(&output).contains("has no live verbs"), "{}", text(&output));
}

#[test]
fn a_played_peer_sends_no_codec_that_the_testee_does_not_speak() {
    let json = file("codecs.json", "");
    let testee = liar(r#"s/"codecs":\["msgpack"[^]]*\]/"codecs":["raw"]/"#);
    let mode = ["server", "--carrier", "tcp", "--filter", "ro.decode", "--filter", "ro.codec", "--json"];
    let output = with_testee(&[&mode[..], &[json.to_str().unwrap()]].concat(), &testee);
    ends_with(0, &output);
    let passed = |(id, verdict): (String, String)| (verdict == "pass").then_some(id);
    let passed: Vec<String> = verdicts(&json).into_iter().filter_map(passed).collect();
    assert_eq!(passed, ["ro.codec.002"], "{}", text(&output));
    assert!(text(&output).contains("the testee does not speak msgpack"), "{}", text(&output));
}

#[test]
fn misuse_ends_with_2_and_says_why() {
    let cases: [(&[&str], &str); 8] = [
        (&["conform", "vectors", "--", "/no/such/program"], "does not start"),
        (&["conform", "vectors", "--vectors", "/no/such/folder"], "cannot be read"),
        (&["conform", "vectors", "--filter", "no.such.case"], "no case was run"),
        (&["conform", "vectors", "--known-failing", "/no/such/list"], "cannot be read"),
        (&["conform", "vectors", "--level", "4"], "4 is not in 0..=3"),
        (&["conform", "interop", "--a", "rust"], "--b"),
        (&["conform"], "Usage"),
        (&["conform", "vectors", "--repeat", "0"], "0 is not in 1.."),
    ];
    for (arguments, said) in cases {
        let output = libchan(arguments);
        ends_with(2, &output);
        assert!(text(&output).contains(said), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn the_list_names_every_case_and_runs_none() {
    let modes = [
        ("vectors", "fr.close.001"),
        ("server", "li.nested.001"),
        ("client", "ro.decode.001"),
        ("all", "fr.close.001"),
        ("all", "li.chain.001"),
        ("all", "ro.fair.001"),
    ];
    for (mode, id) in modes {
        let output = libchan(&["conform", mode, "--list"]);
        ends_with(0, &output);
        assert!(text(&output).contains(id) && !text(&output).contains("pass  "), "{}", text(&output));
    }
}

#[test]
fn junit_has_a_test_case_for_each_and_the_failure() {
    let (testee, xml) = (liar(r#"s/"t":"PING"/"t":"<\&>"/"#), file("junit.xml", ""));
    let mode =
        ["vectors", "--filter", "fr.ping.001", "--filter", "fr.end.001", "--junit", xml.to_str().unwrap()];
    ends_with(1, &with_testee(&mode, &testee));
    let xml = std::fs::read_to_string(xml).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\" skipped=\"0\""), "{xml}");
    assert!(xml.contains("<failure message=") && xml.contains("&lt;&amp;&gt;"), "{xml}");
}

#[test]
fn vectors_are_read_from_a_folder() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    let output =
        libchan(&["conform", "vectors", "--vectors", folder.to_str().unwrap(), "--filter", "fr.hello"]);
    ends_with(0, &output);
}
