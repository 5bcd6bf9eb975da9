//! The cases of a played peer that are no rejects: what it sends on one channel, what the testee's application does, and what
//! the peer must see.

/// A case that is written here: what the peer sends, and what the testee's application and the peer see.
pub(super) struct Own {
    pub(super) id: &'static str,
    pub(super) level: u8,
    pub(super) requirements: &'static [&'static str],
    pub(super) why: &'static str,
    /// Messages on the channel, as frames behind its OPEN.
    pub(super) frames: &'static str,
    /// What the receives of the channel come to: a value, or the name of an error.
    pub(super) receives: &'static str,
    /// Frames that the peer must see, in any order, among others.
    pub(super) answers: &'static str,
}

/// Makes the table: id, level, requirements, why; then the frames, what the receives come to, and what is answered, if that matters.
macro_rules! own {
    ($($id:literal $level:literal [$($req:literal),*] $why:literal: $frames:literal => $receives:literal $(=> $answers:literal)?;)*) => {
        pub(super) const OWN: &[Own] = &[$(Own {
            id: $id,
            level: $level,
            requirements: &[$($req),*],
            why: $why,
            frames: $frames,
            receives: $receives,
            answers: own!(@answers $($answers)?),
        }),*];
    };
    (@answers) => { "[]" };
    (@answers $answers:literal) => { $answers };
}

own! {
    "ro.decode.001" 0 ["CH-12", "MP-04"] "a message that does not decode is one error; the next one is unharmed":
        r#"[{"t":"MESSAGE","codec":1,"payload":"dd"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["DECODE",42]"#;
    "ro.decode.002" 0 ["LI-05"] "bytes behind the value are a decode error":
        r#"[{"t":"MESSAGE","codec":1,"payload":"2a00"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["DECODE",42]"#;
    "ro.decode.003" 1 ["CH-12", "AT-11"] "what a message that does not decode carries is closed as NOT_DECODED":
        r#"[{"t":"MESSAGE","flags":2,"codec":1,"payload":"dd","attachments":[{"kind":1,"id":"+1","capacity":4},{"kind":2,"id":"+2","capacity":4}]},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["DECODE",42]"#
            => r#"[{"t":"CLOSE","id":"+1","scope":0,"code":38},{"t":"CANCEL","id":"+2","scope":0,"code":38}]"#;
    "ro.decode.004" 1 ["AT-13"] "an index that is not in the table is a decode error":
        r#"[{"t":"MESSAGE","codec":1,"payload":"d40100"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["DECODE",42]"#;
    "ro.unclaimed.001" 1 ["AT-11"] "what a value does not name is closed as UNCLAIMED when it has decoded":
        r#"[{"t":"MESSAGE","flags":2,"codec":1,"payload":"2a","attachments":[{"kind":1,"id":"+1","capacity":4},{"kind":2,"id":"+2","capacity":4}]}]"#
            => "[42]"
            => r#"[{"t":"CLOSE","id":"+1","scope":0,"code":37},{"t":"CANCEL","id":"+2","scope":0,"code":37}]"#;
    "ro.unclaimed.002" 2 ["AT-11", "BY-09"] "a stream that a value does not name is ended in both directions":
        r#"[{"t":"MESSAGE","flags":2,"codec":1,"payload":"2a","attachments":[{"kind":3,"id":"+1"}]}]"#
            => "[42]"
            => r#"[{"t":"END","id":"+1","code":37},{"t":"STOP","id":"+1","code":37}]"#;
    "ro.flaw.001" 0 ["CH-11"] "a message that its sender could not encode is one error; the next one is unharmed":
        r#"[{"t":"MESSAGE","flags":4,"codec":1,"payload":"6e6f"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["NOT_ENCODED",42]"#;
    "ro.flaw.002" 0 ["CH-11"] "a message that a relay could not forward is one error; the next one is unharmed":
        r#"[{"t":"MESSAGE","flags":8,"codec":1,"payload":"6e6f"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["NOT_FORWARDED",42]"#;
    "ro.codec.001" 0 ["CH-12"] "a message in a codec that nobody here knows is one error; the next one is unharmed":
        r#"[{"t":"MESSAGE","codec":250,"payload":"00"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => r#"["DECODE",42]"#;
    "ro.codec.002" 0 ["RA-01"] "a message in raw is received whatever the hello says":
        r#"[{"t":"MESSAGE","codec":0,"payload":"00ff"}]"#
            => r#"[{"bytes":"00ff"}]"#;
    "ro.frame.001" 0 ["FR-03"] "a frame of unknown type that may be skipped is skipped":
        r#"["00000280000000000102",{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => "[42]";
    "ro.ping.001" 0 ["SE-09"] "a PING is answered with the same eight bytes":
        r#"[{"t":"PING","id":0,"payload":"0102030405060708"},{"t":"MESSAGE","codec":1,"payload":"2a"}]"#
            => "[42]"
            => r#"[{"t":"PONG","id":0,"payload":"0102030405060708"}]"#;
    "ro.close.001" 0 ["CH-16"] "CLOSE is answered with CANCEL once what had arrived was taken":
        r#"[{"t":"MESSAGE","codec":1,"payload":"2a"},{"t":"CLOSE","scope":0,"code":0}]"#
            => r#"[42,"END"]"#
            => r#"[{"t":"CANCEL","scope":0,"code":0}]"#;
    "ro.close.002" 1 ["FR-25", "AT-11"] "a CLOSE with a code cuts a message: what was whole comes first, what the other carries is not delivered":
        r#"[{"t":"MESSAGE","codec":1,"payload":"2a"},{"t":"MESSAGE","flags":3,"codec":1,"total":9,"payload":"00","attachments":[{"kind":1,"id":"+1","capacity":4}]},{"t":"CLOSE","scope":0,"code":300,"text":"cut"}]"#
            => r#"[42,"ENDED_WITH"]"#
            => r#"[{"t":"CLOSE","id":"+1","scope":0,"code":39},{"t":"CANCEL","scope":0,"code":0}]"#;
    "ro.drop.001" 2 ["AT-11", "CH-14"] "a channel is left with messages unread: what they carry is closed as NOT_DELIVERED":
        r#"[{"t":"MESSAGE","codec":1,"payload":"2a"},{"t":"MESSAGE","flags":2,"codec":1,"payload":"d40100","attachments":[{"kind":1,"id":"+1","capacity":4},{"kind":2,"id":"+2","capacity":4},{"kind":3,"id":"+3"}]}]"#
            => r#"[42,"CLOSE"]"#
            => r#"[{"t":"CANCEL","scope":1},{"t":"CLOSE","id":"+1","scope":0,"code":39},{"t":"CANCEL","id":"+2","scope":0,"code":39},{"t":"END","id":"+3","code":39},{"t":"STOP","id":"+3","code":39}]"#;
    "ro.refuse.001" 1 ["CH-08", "AT-11"] "a channel is refused: it has the refusal's code, and what waited in it is not delivered":
        r#"[{"t":"MESSAGE","flags":2,"codec":1,"payload":"d40100","attachments":[{"kind":1,"id":"+1","capacity":4}]}]"#
            => r#"["REFUSE"]"#
            => r#"[{"t":"CANCEL","scope":1,"code":403,"text":"not you"},{"t":"CLOSE","id":"+1","scope":0,"code":39}]"#;
    "ro.goodbye.001" 0 ["SE-15", "SE-18"] "a GOODBYE is answered at once; what had not ended was closed with the session, and is no clean end":
        r#"[{"t":"MESSAGE","codec":1,"payload":"2a"},{"t":"GOODBYE","id":0}]"#
            => r#"[42,"SESSION_CLOSED"]"#
            => r#"[{"t":"GOODBYE","id":0,"code":0}]"#;
    "ro.headers.001" 0 ["FR-34", "FR-35"] "headers that nobody knows are skipped":
        r#"[{"t":"MESSAGE","flags":16,"codec":1,"headers":"0901ff7f00","payload":"2a"}]"#
            => "[42]";
    "ro.relay.001" 0 ["FR-35"] "a relay passes headers on as they are":
        r#"[{"t":"MESSAGE","flags":16,"codec":1,"headers":"020800000000000005dc0901ff","payload":"2a"}]"#
            => r#"["COPY"]"#
            => r#"[{"t":"OPEN","id":"out","name":"out"},{"t":"MESSAGE","id":"out","flags":16,"codec":1,"headers":"020800000000000005dc0901ff","payload":"2a"}]"#;
    "ro.relay.002" 0 ["CH-11", "CH-12"] "a relay passes on what it cannot read: a codec that nobody here knows, and a flaw":
        r#"[{"t":"MESSAGE","codec":250,"payload":"c1"},{"t":"MESSAGE","flags":4,"codec":1,"payload":"6e6f"}]"#
            => r#"["COPY"]"#
            => r#"[{"t":"MESSAGE","id":"out","flags":0,"codec":250,"payload":"c1"},{"t":"MESSAGE","id":"out","flags":4,"payload":"6e6f"}]"#;
    "ro.relay.003" 0 ["ER-05"] "a relay passes on the code and the text of the end":
        r#"[{"t":"MESSAGE","codec":1,"payload":"2a"},{"t":"CLOSE","scope":0,"code":40,"text":"a handler failed"}]"#
            => r#"["COPY"]"#
            => r#"[{"t":"MESSAGE","id":"out","payload":"2a"},{"t":"CLOSE","id":"out","code":40,"text":"a handler failed"}]"#;
}
