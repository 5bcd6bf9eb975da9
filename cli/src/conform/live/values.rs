//! Values, codecs, metadata.

use super::super::steps::failed;
use super::{Done, Live, cases, fails};
use crate::json::{Fields, Json, json};

cases! { CASES:
    "li.value.001" 0 ["MO-01", "SE-05"] msgpack "every kind of value comes back as it went, in msgpack" dial r#"{"codecs":["msgpack"]}"#;
    "li.value.002" 0 ["MO-01", "SE-05"] json_codec "every kind of value comes back as it went, in json" dial r#"{"codecs":["json"]}"#;
    "li.value.003" 0 ["MO-01", "SE-05"] cbor "every kind of value comes back as it went, in cbor" dial r#"{"codecs":["cbor"]}"#;
    "li.value.004" 0 ["MO-01", "RA-01"] raw "bytes come back as they went, in raw" dial r#"{"codecs":["raw"]}"#;
    "li.value.005" 0 ["MO-01"] raw_encode "a value that raw has no form for is refused where it is sent" dial r#"{"codecs":["raw"]}"#;
    "li.value.006" 0 ["LI-04"] deep "a value that nests 100 levels deep passes";
    "li.metadata.001" 0 ["FR-12"] hello_metadata "each side sees what the other says in its hello" dial r#"{"no":"session"}"#;
    "li.metadata.002" 0 ["FR-14"] open_metadata "a named channel arrives with its name and metadata";
    "li.codec.001" 0 ["SE-05"] no_common_codec "two lists of codecs with nothing in common give no session" dial r#"{"no":"session"}"# => Over;
}

/// Sends values there and back.
async fn echo(live: &Live<'_>, values: &[Json]) -> Done {
    let (there, at_two) = live.channel(4).await?;
    let (back, at_one) = live.channel_back(4).await?;
    for value in values {
        live.one.send(there, value.clone()).await?;
        let arrived = live.two.recv(at_two).await?;
        live.two.send(back, arrived).await?;
        let came_back = live.one.recv(at_one).await?;
        if came_back != *value {
            return failed(format!("{value} comes back as {came_back}"));
        }
    }
    Ok(())
}

fn plain_values() -> Vec<Json> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(127),
        json!(-129),
        json!(65_536),
        json!(9_007_199_254_740_991_i64),
        json!(-9_007_199_254_740_991_i64),
        json!({"float": 1.5}),
        json!({"float": -0.25}),
        json!(""),
        json!("one"),
        json!("grüße, 世界 \u{1f600} \u{0} \" \\"),
        json!([]),
        json!([1, [2, [3, []]], "four"]),
        json!({"map": []}),
        json!({"map": [["a", 1], ["b", {"map": [["c", [null]]]}]]}),
        json!("x".repeat(70_000)),
    ]
}

async fn msgpack(live: &Live<'_>) -> Done {
    let mut values = plain_values();
    values.extend([
        json!({"int": "18446744073709551615"}),
        json!({"int": "-9223372036854775808"}),
        json!({"float": "inf"}),
        json!({"bytes": ""}),
        json!({"bytes": "00ff80"}),
        json!({"map": [[1, "one"], [2, "two"]]}),
    ]);
    echo(live, &values).await
}

async fn json_codec(live: &Live<'_>) -> Done {
    echo(live, &plain_values()).await
}

async fn cbor(live: &Live<'_>) -> Done {
    let mut values = plain_values();
    values.extend([
        json!({"int": "18446744073709551615"}),
        json!({"bytes": "00ff80"}),
        json!({"float": "-inf"}),
    ]);
    echo(live, &values).await
}

async fn raw(live: &Live<'_>) -> Done {
    echo(live, &[json!({"bytes": ""}), json!({"bytes": "00ff80"}), json!({"bytes": "61".repeat(5000)})]).await
}

async fn raw_encode(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send_fails(sender, json!({"map": [["a", 1]]}), "ENCODE").await?;
    live.one.send(sender, json!({"bytes": "01"})).await?;
    live.two.expect(receiver, json!({"bytes": "01"})).await
}

async fn deep(live: &Live<'_>) -> Done {
    let value = (0..100).fold(json!(1), |value, _| json!([value]));
    let (sender, receiver) = live.channel(1).await?;
    live.one.send(sender, value.clone()).await?;
    live.two.expect(receiver, value).await
}

async fn hello_metadata(live: &Live<'_>) -> Done {
    let (listens, dials) = (json!([["name", "6c"], ["empty", ""]]), json!([["token", "00ff"]]));
    let listener =
        live.place.listen(live.acceptor().testee, live.carrier, json!({"metadata": listens})).await?;
    let accepted = live.acceptor().begin("accept", json!({"listener": listener.number}));
    let dialed = live.dialer().ask("dial", listener.dial(json!({"metadata": dials}))).await?;
    let accepted = live.acceptor().answer(accepted).await?;
    live.dialer().set_session(dialed.number("session")?);
    live.acceptor().set_session(accepted.number("session")?);
    live.acceptor().ask("drop", json!({"listener": listener.number})).await?;
    match (dialed.field("metadata"), accepted.field("metadata")) {
        (of_listener, of_dialer) if *of_listener == listens && *of_dialer == dials => Ok(()),
        (of_listener, of_dialer) => {
            failed(format!("the dialer sees {of_listener}, the listener {of_dialer}"))
        }
    }
}

async fn open_metadata(live: &Live<'_>) -> Done {
    let metadata = json!([["topic", "6a6f6273"], ["token", "00"]]);
    let name = "a name / with spaces, ü and \u{1f600}";
    let arguments = json!({"session": live.one.session(), "name": name, "capacity": 3, "metadata": metadata});
    live.one.ask("open", arguments).await?;
    let reply = live.two.ask("incoming", json!({"session": live.two.session()})).await?;
    if reply.text("name")? == name && *reply.field("metadata") == metadata {
        return Ok(());
    }
    failed(format!("the channel arrives as {reply}"))
}

async fn no_common_codec(live: &Live<'_>) -> Done {
    live.need_codecs(&["json", "msgpack"])?;
    let listens = json!({"codecs": ["json"]});
    let listener = live.place.listen(live.acceptor().testee, live.carrier, listens).await?;
    let waits = live.acceptor().begin("accept", json!({"listener": listener.number}));
    let dialed = live.dialer().ask("dial", listener.dial(json!({"codecs": ["msgpack"]}))).await;
    fails(dialed, &["NO_COMMON_CODEC"])?;
    live.acceptor().ask("give_up", json!({"request": waits.n})).await?;
    live.acceptor().ask("drop", json!({"listener": listener.number})).await?;
    Ok(())
}
