//! The vectors, played against a testee through its pipe.

use super::peer::Testee;
use super::steps::{Cut, Machine, Trouble, failed};
use super::wire;
use crate::json::{Fields, Json, hex, json, shorten};

/// Plays one entry of the file `name`.
pub(super) async fn play(file: &str, entry: &Json, testee: &Testee) -> Result<(), Trouble> {
    match file {
        "frames.json" => frame(entry, testee).await,
        "reject.json" => reject(entry, testee).await,
        _ if file.starts_with("values.") => values(file, entry, testee).await,
        _ if file.starts_with("sessions/") => session(entry, testee).await,
        _ => Err(Trouble::Skipped("the runner does not know such a file".to_owned())),
    }
}

fn needs_machine(testee: &Testee) -> Result<(), Trouble> {
    match testee.claims("verbs", "machine") {
        true => Ok(()),
        false => Err(Trouble::Skipped("the testee has no machine".to_owned())),
    }
}

// ---- frames

/// The longest frame that is cut at every place, in bytes; longer ones are cut near their ends.
const CUT_ALL: usize = 96;

fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (1..length).filter(move |at| length <= CUT_ALL || *at < 24 || *at + 4 > length)
}

async fn frame(entry: &Json, testee: &Testee) -> Result<(), Trouble> {
    let bytes = wire::bytes_of(entry.field("hex"))?;
    if entry.get("error").is_some() {
        return refused_frame(entry.text("error")?, &bytes, testee).await;
    }
    let frame = wire::whole(entry.field("frame"))?;
    check_vector(entry, &bytes, &frame)?;
    let decoded = testee.ask("frame.decode", json!({"hex": hex(&bytes)})).await?;
    let decoded = wire::whole(&decoded)?;
    if decoded != frame {
        return failed(format!("decodes as {}", shorten(&decoded.to_string(), 1000)));
    }
    if entry.text("mode")? == "both" {
        let encoded = testee.ask("frame.encode", json!({"frame": frame})).await?.bytes("hex")?;
        if encoded != bytes {
            return failed(format!("is encoded as {}", shorten(&hex(&encoded), 1000)));
        }
    }
    for at in cuts(bytes.len()) {
        let cut = testee.ask("frame.decode", json!({"hex": hex(&bytes[..at])})).await;
        match cut {
            Err(failure) if failure.name().is_some() => {}
            Err(failure) => return Err(failure.into()),
            Ok(frame) => return failed(format!("the first {at} bytes of it decode as {frame}")),
        }
    }
    if testee.claims("verbs", "machine") {
        cut_in_a_session(&frame, &bytes, testee).await?;
    }
    Ok(())
}

async fn refused_frame(name: &str, bytes: &[u8], testee: &Testee) -> Result<(), Trouble> {
    match testee.ask("frame.decode", json!({"hex": hex(bytes)})).await {
        Err(failure) if failure.name() == Some(name) => Ok(()),
        Err(failure) => Err(failure.into()),
        Ok(frame) => failed(format!("decodes as {}", shorten(&frame.to_string(), 1000))),
    }
}

/// A vector that contradicts the runner's own reading is the vector's fault, or the runner's.
fn check_vector(entry: &Json, bytes: &[u8], frame: &Json) -> Result<(), Trouble> {
    let ours = wire::whole(&wire::decode(bytes).map_err(|why| format!("the runner cannot read it: {why}"))?)?;
    if ours != *frame {
        return failed(format!("the runner reads it as {ours}"));
    }
    if entry.text("mode")? == "both" && wire::encode(frame)? != bytes {
        return failed(format!("the runner writes it as {}", hex(&wire::encode(frame)?)));
    }
    Ok(())
}

/// How the bytes of a frame arrive makes no difference to a session.
async fn cut_in_a_session(frame: &Json, bytes: &[u8], testee: &Testee) -> Result<(), Trouble> {
    let outcome = async |cut: Cut| {
        let raw = json!({"role": "acceptor", "raw": matches!(frame.text("t"), Ok("PREFACE" | "HELLO"))});
        let mut machine = Machine::established(testee, &raw).await?;
        if frame.text("t")? == "HELLO" {
            machine.receive(&wire::PREFACE, Cut::Whole).await?;
        }
        machine.receive(bytes, cut).await?;
        let outcome = json!([machine.sent, machine.over]);
        machine.end().await?;
        Ok::<_, Trouble>(outcome)
    };
    let whole = outcome(Cut::Whole).await?;
    let others = [Cut::ByteByByte].into_iter().chain(cuts(bytes.len()).map(Cut::At));
    for cut in others.filter(|cut| *cut != Cut::ByteByByte || bytes.len() <= 4096) {
        let other = outcome(cut).await?;
        if other != whole {
            let how = match cut {
                Cut::At(at) => format!("cut at byte {at}"),
                _ => "byte by byte".to_owned(),
            };
            return failed(format!("in a session it leads to {whole} as a whole, and {how} to {other}"));
        }
    }
    Ok(())
}

/// What an entry wants where it failed, and what went before: lines for whoever reads the failure.
pub(super) fn due(entry: &Json, failure: &str) -> String {
    let mut lines = Vec::new();
    let code = entry.text("code").unwrap_or_default();
    if !code.is_empty() {
        let (at, hex) = (entry.number("at").unwrap_or_default(), entry.text("hex").unwrap_or_default());
        lines.push(format!("due: the session is over with {code} at byte {at} of {}", shorten(hex, 200)));
    } else if let Some(error) = entry.get("error") {
        lines.push(format!("due: {}", error.as_str().unwrap_or_default()));
    }
    let sides = ["role", "hello", "peer", "local"].iter().filter_map(|name| {
        let value = entry.get(name)?;
        Some(format!("{name} {value}"))
    });
    let sides = sides.collect::<Vec<_>>().join(", ");
    let before = entry.list("before").unwrap_or_default();
    let steps = entry.list("steps").unwrap_or_default();
    if !before.is_empty() || !steps.is_empty() {
        lines.push(format!("a machine with {sides}, and then:"));
    }
    // The steps of a conversation up to the one that failed, which the failure names.
    let failed = failure.split("step ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let steps = &steps[..failed.unwrap_or(steps.len()).min(steps.len())];
    lines.extend(
        before
            .iter()
            .chain(steps)
            .enumerate()
            .map(|(at, step)| format!("{:>4} {}", at + 1, shorten(&step.to_string(), 200))),
    );
    lines.join("\n")
}

// ---- what must be refused

async fn reject(entry: &Json, testee: &Testee) -> Result<(), Trouble> {
    needs_machine(testee)?;
    let bytes = wire::bytes_of(entry.field("hex"))?;
    if !matches!(entry.text("scope")?, "session" | "") {
        for cut in [Cut::Whole, Cut::ByteByByte] {
            let mut machine = prepared(entry, testee).await?;
            machine.receive(&bytes, cut).await?;
            if !machine.over.is_null() {
                return failed(format!("the session is over: {}", machine.over));
            }
            machine.play(entry.list("after")?, Cut::Whole).await?;
            machine.check_quiet()?;
            machine.end().await?;
        }
        return Ok(());
    }
    let at: usize = entry.small("at")?;
    if at == 0 || at > bytes.len() {
        return failed(format!("the vector has {} bytes and no byte {at}", bytes.len()));
    }
    let mut machine = prepared(entry, testee).await?;
    let mut arrived = 0;
    for piece in Cut::ByteByByte.pieces(&bytes[..at - 1]) {
        machine.receive(piece, Cut::Whole).await?;
        arrived += piece.len();
        if !machine.over.is_null() {
            return failed(format!("is over at byte {arrived} already: {}", machine.over));
        }
    }
    machine.receive(&bytes[at - 1..at], Cut::Whole).await?;
    check_refused(&machine, entry, &format!("at byte {at}"))?;
    machine.end().await?;
    let mut machine = prepared(entry, testee).await?;
    machine.receive(&bytes, Cut::Whole).await?;
    check_refused(&machine, entry, "after the whole")?;
    machine.end().await
}

async fn prepared<'a>(entry: &Json, testee: &'a Testee) -> Result<Machine<'a>, Trouble> {
    let mut machine = Machine::established(testee, entry).await?;
    machine.play(entry.list("before")?, Cut::Whole).await?;
    machine.sent.clear();
    Ok(machine)
}

/// The session is over with this code, and the peer was told so, by GOODBYE as the last frame, if it still can be.
fn check_refused(machine: &Machine<'_>, entry: &Json, when: &str) -> Result<(), Trouble> {
    let (over, code) = (&machine.over, entry.text("code")?);
    if over.is_null() {
        return failed(format!("the session goes on {when}"));
    }
    if over.text("why")? != "broken" || over.text("code")? != code {
        return failed(format!("the session is over {when} with {over}"));
    }
    if entry.get("told") == Some(&Json::Bool(false)) {
        return Ok(());
    }
    let told = machine.sent.last().filter(|frame| frame.field("t") == "GOODBYE");
    let Some(told) = told else { return failed("the peer was not told by GOODBYE") };
    match super::codes::number(code) {
        Some(number) if told.number("code")? != u64::from(number) => {
            failed(format!("the GOODBYE has another code: {told}"))
        }
        _ => Ok(()),
    }
}

// ---- values

async fn values(file: &str, entry: &Json, testee: &Testee) -> Result<(), Trouble> {
    let codec = file.trim_start_matches("values.").trim_end_matches(".json");
    if !testee.claims("codecs", codec) {
        return Err(Trouble::Skipped(format!("the testee does not speak {codec}")));
    }
    let refusal = entry.text("error")?;
    let value = plain(&wire::expand(entry.field("value"))?);
    let encodings = entry.list("encodings")?.iter().map(wire::bytes_of).collect::<Result<Vec<_>, _>>()?;
    if refusal != "ENCODE" {
        for encoding in &encodings {
            let attachments = entry.number("attachments")?;
            let arguments = json!({"codec": codec, "hex": hex(encoding), "attachments": attachments});
            let decoded = testee.ask("value.decode", arguments).await;
            check_decoded(decoded, refusal, &value, encoding)?;
        }
    }
    let encodes = refusal == "ENCODE" || (refusal.is_empty() && entry.text("mode")? != "decode");
    if !encodes {
        return Ok(());
    }
    match testee.ask("value.encode", json!({"codec": codec, "value": value})).await {
        Err(failure) if failure.name() == Some("ENCODE") && refusal == "ENCODE" => Ok(()),
        Err(failure) => Err(failure.into()),
        Ok(reply) if refusal == "ENCODE" => failed(format!("is encoded: {reply}")),
        Ok(reply) if is_encoding(codec, &encodings, &reply.bytes("hex")?) => Ok(()),
        Ok(reply) => failed(format!("is encoded as {}", shorten(reply.text("hex")?, 1000))),
    }
}

/// Whether these bytes are one of the encodings; JSON may be spelt in any way.
fn is_encoding(codec: &str, encodings: &[Vec<u8>], bytes: &[u8]) -> bool {
    let document = |bytes: &[u8]| serde_json::from_slice::<Json>(bytes).ok();
    encodings.iter().any(|encoding| {
        encoding == bytes
            || codec == "json" && document(bytes).is_some_and(|it| Some(it) == document(encoding))
    })
}

fn check_decoded(
    decoded: super::peer::Answer,
    refusal: &str,
    value: &Json,
    encoding: &[u8],
) -> Result<(), Trouble> {
    let encoding = shorten(&hex(encoding), 200);
    match decoded {
        Err(failure) if !refusal.is_empty() && failure.name() == Some(refusal) => Ok(()),
        Err(failure) => match Trouble::from(failure) {
            Trouble::Failed(why) => failed(format!("{encoding}: {why}")),
            skipped => Err(skipped),
        },
        Ok(reply) if !refusal.is_empty() => failed(format!("{encoding} decodes as {}", reply.field("value"))),
        Ok(reply) if plain(reply.field("value")) == *value => Ok(()),
        Ok(reply) => {
            failed(format!("{encoding} decodes as {}", shorten(&reply.field("value").to_string(), 1000)))
        }
    }
}

/// A value in one of the forms that it may be written in.
fn plain(value: &Json) -> Json {
    const EXACT: i64 = (1 << 53) - 1;
    match value {
        Json::Array(list) => list.iter().map(plain).collect(),
        Json::Object(object) => {
            if let Some(number) = object.get("int").and_then(|text| text.as_str()?.parse::<i64>().ok())
                && (-EXACT..=EXACT).contains(&number)
            {
                return number.into();
            }
            if let Some(number) = object.get("float").and_then(Json::as_f64) {
                return json!({"float": number});
            }
            object.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        other => other.clone(),
    }
}

// ---- sessions

async fn session(entry: &Json, testee: &Testee) -> Result<(), Trouble> {
    needs_machine(testee)?;
    // What is said in the meantime may change what comes of the rest.
    let cuts = if entry.flag("whole") { &[Cut::Whole][..] } else { &[Cut::Whole, Cut::ByteByByte] };
    for &cut in cuts {
        let mut machine = Machine::established(testee, entry).await?;
        let played = match machine.play(entry.list("steps")?, cut).await {
            Ok(()) => machine.check_quiet(),
            trouble => trouble,
        };
        match (played, cut) {
            (Err(Trouble::Failed(why)), Cut::ByteByByte) => {
                return failed(format!("passes with whole frames and fails byte by byte: {why}"));
            }
            (played, _) => played?,
        }
        machine.end().await?;
    }
    Ok(())
}
