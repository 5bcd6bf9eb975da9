//! Section 6 of the design: the session's codec is chosen from both sides' lists, every message names its own, and
//! ends pass through each codec in each shape that it can say.

use std::collections::HashMap;

use libchan_tests::*;
use serde::{Deserialize, Serialize};

fn speaking(codecs: &[AnyCodec]) -> SessionOptions {
    SessionOptions::new().codecs(codecs.iter().cloned())
}

/// The codec of what `a` sends to `b`.
async fn codec_used(a: &Session, b: &Session) -> CodecId {
    let sender = a.open::<u32>("codec").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    put(&sender, 5).await;
    get(&receiver).await.codec()
}

async fn the_dialers_order_decides(on: On) {
    let (m, j, c) = (AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor());
    let lists: [(&[AnyCodec], &[AnyCodec], CodecId); 4] = [
        (&[m.clone(), j.clone(), c.clone()], &[c.clone(), j.clone(), m.clone()], CodecId::MSGPACK),
        (&[c.clone(), j.clone()], &[j.clone(), c.clone()], CodecId::CBOR),
        (&[m.clone(), j.clone()], std::slice::from_ref(&j), CodecId::JSON),
        (std::slice::from_ref(&c), &[m.clone(), j.clone(), c.clone()], CodecId::CBOR),
    ];
    for (dialer, acceptor, expected) in lists {
        let (a, b) = on.pair_with(speaking(dialer), speaking(acceptor)).await;
        assert_eq!(codec_used(&a, &b).await, expected);
        assert_eq!(codec_used(&b, &a).await, expected);
    }
    let (a, b) = on.pair().await;
    assert_eq!(codec_used(&a, &b).await, CodecId::MSGPACK);
}

#[derive(Serialize, Deserialize)]
struct Inner {
    tx: Sender<u32>,
}

#[derive(Serialize, Deserialize)]
enum External {
    New(Sender<u32>),
    Tuple(u8, Sender<u32>),
    Struct { tx: Sender<u32> },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t")]
enum Internal {
    Struct { tx: Sender<u32>, more: String },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    New(Sender<u32>),
    Struct { tx: Sender<u32> },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Struct { a: u32, tx: Sender<u32> },
    New(Sender<u32>),
}

#[derive(Serialize, Deserialize)]
struct Flattened {
    number: u32,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: HashMap<String, Sender<u32>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Renamed {
    the_sender: Sender<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nothing: Option<Sender<u32>>,
}

/// Sends one shape through and uses the end that came out of it.
async fn shape<T: Message>(
    a: &Session,
    b: &Session,
    make: impl Fn(Sender<u32>) -> T,
    take: impl Fn(T) -> Sender<u32>,
) {
    let (ship, shipped) = channel::<T>(a, b, 1).await;
    let (sender, receiver) = pipe();
    put(&ship, make(sender)).await;
    let sender = take(get(&shipped).await);
    put(&sender, 7).await;
    assert_eq!(get(&receiver).await, 7, "{}", std::any::type_name::<T>());
    drop(sender);
    end(&receiver).await;
}

async fn ends_pass_in_every_shape(on: On) {
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let (a, b) = on.pair_with(speaking(std::slice::from_ref(&codec)), speaking(&[codec])).await;
        let (a, b) = (&a, &b);
        shape(a, b, |tx| tx, |tx| tx).await;
        shape(a, b, |tx| Inner { tx }, |s| s.tx).await;
        shape(a, b, Some, |s| s.unwrap()).await;
        shape(a, b, Box::new, |s| *s).await;
        shape(a, b, |tx| vec![tx], |mut s| s.pop().unwrap()).await;
        shape(a, b, |tx| (1u8, tx, "x".to_owned()), |s| s.1).await;
        shape(a, b, |tx| HashMap::from([("k".to_owned(), tx)]), |mut s| s.remove("k").unwrap()).await;
        shape(a, b, Ok::<_, String>, |s| s.unwrap()).await;
        shape(a, b, External::New, |s| if let External::New(tx) = s { tx } else { panic!("variant") }).await;
        shape(
            a,
            b,
            |tx| External::Tuple(1, tx),
            |s| if let External::Tuple(1, tx) = s { tx } else { panic!("variant") },
        )
        .await;
        shape(
            a,
            b,
            |tx| External::Struct { tx },
            |s| if let External::Struct { tx } = s { tx } else { panic!("variant") },
        )
        .await;
        let make = |tx| Internal::Struct { tx, more: "m".to_owned() };
        shape(a, b, make, |Internal::Struct { tx, .. }| tx).await;
        shape(a, b, Adjacent::New, |s| if let Adjacent::New(tx) = s { tx } else { panic!("variant") }).await;
        shape(
            a,
            b,
            |tx| Adjacent::Struct { tx },
            |s| if let Adjacent::Struct { tx } = s { tx } else { panic!("variant") },
        )
        .await;
        shape(
            a,
            b,
            |tx| Untagged::Struct { a: 1, tx },
            |s| match s {
                Untagged::Struct { a: 1, tx } => tx,
                _ => panic!("variant"),
            },
        )
        .await;
        shape(a, b, Untagged::New, |s| if let Untagged::New(tx) = s { tx } else { panic!("variant") }).await;
        let make = |tx: Sender<u32>| Flattened {
            number: 1,
            inner: Inner { tx: tx.clone() },
            rest: HashMap::from([("other".to_owned(), tx)]),
        };
        shape(a, b, make, |mut s| {
            assert!(s.rest.remove("other").unwrap().same_channel(&s.inner.tx));
            s.inner.tx
        })
        .await;
        shape(a, b, |the_sender| Renamed { the_sender, nothing: None }, |s| s.the_sender).await;
    }
}

async fn raw_sessions_carry_bytes_as_they_are(on: On) {
    let raw = speaking(&[AnyCodec::raw()]);
    let (a, b) = on.pair_with(raw.clone(), raw).await;
    let (sender, receiver) = channel::<serde_bytes::ByteBuf>(&a, &b, 4).await;
    put(&sender, serde_bytes::ByteBuf::from(&b"\x00\xff as they are"[..])).await;
    assert_eq!(get(&receiver).await.as_slice(), b"\x00\xff as they are");
    // Attachments have no place in it.
    let (ship, _shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (inner, inners) = pipe();
    let error = refused(&ship, inner).await;
    assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
    put(&error.value, 1).await;
    assert_eq!(get(&inners).await, 1);
}

async fn a_codec_of_the_users_plugs_in(on: On) {
    struct Reversed;
    impl Codec for Reversed {
        fn id(&self) -> CodecId {
            CodecId(222)
        }
        fn name(&self) -> &'static str {
            "reversed-json"
        }
        fn placeholder(&self) -> Placeholder {
            Placeholder::Map
        }
        fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
            let json = serde_json::to_vec(value).map_err(|error| CodecError::new(error.to_string()))?;
            out.extend(json.iter().rev());
            Ok(())
        }
        fn decode(
            &self,
            payload: &[u8],
            read: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
        ) -> Result<(), CodecError> {
            let bytes: Vec<u8> = payload.iter().rev().copied().collect();
            let mut json = serde_json::Deserializer::from_slice(&bytes);
            read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut json))?;
            json.end().map_err(|error| CodecError::new(error.to_string()))
        }
    }
    let options = speaking(&[AnyCodec::custom(Reversed).unwrap(), AnyCodec::msgpack()]);
    let (a, b) = on.pair_with(options.clone(), options).await;
    let raws = a.open::<(String, u8)>("look").unwrap();
    let looked = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    put(&raws, ("hello".to_owned(), 7)).await;
    let raw = get(&looked).await;
    assert_eq!((raw.codec(), &raw.payload()[..]), (CodecId(222), &br#"]7,"olleh"["#[..]));
    assert_eq!(raw.decode::<(String, u8)>().unwrap(), ("hello".to_owned(), 7));
    shape(&a, &b, |tx| Inner { tx }, |s| s.tx).await;
    shape(
        &a,
        &b,
        |tx| Untagged::Struct { a: 1, tx },
        |s| match s {
            Untagged::Struct { tx, .. } | Untagged::New(tx) => tx,
        },
    )
    .await;
}

async fn a_channel_may_carry_several_codecs(on: On) {
    // Forwarded from two sessions with a codec each, the messages keep theirs.
    let (sender, receiver) = pipe::<(u32, String)>();
    let mut sessions = Vec::new();
    for (number, codec) in [AnyCodec::json(), AnyCodec::cbor()].into_iter().enumerate() {
        let options = speaking(&[codec]);
        let (a, b) = on.pair_with(options.clone(), options).await;
        let (ship, shipped) = channel::<Sender<(u32, String)>>(&a, &b, 1).await;
        put(&ship, sender.clone()).await;
        let away = get(&shipped).await;
        put(&away, (number as u32, "from away".to_owned())).await;
        sessions.push((a, b, away));
    }
    let (c, d) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<(u32, String)>>(&c, &d, 1).await;
    put(&ship, receiver).await;
    let receiver = get(&shipped).await;
    let mut got = vec![get(&receiver).await.0, get(&receiver).await.0];
    got.sort_unstable();
    assert_eq!(got, [0, 1]);
    drop((sender, sessions));
}

async fn values_of_every_kind_keep_their_meaning(on: On) {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    struct All {
        small: i8,
        large: u64,
        negative: i64,
        float: f64,
        text: String,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        none: Option<u8>,
        some: Option<Option<u8>>,
        unit: (),
        map: std::collections::BTreeMap<String, Vec<i32>>,
        character: char,
    }
    let all = All {
        small: -128,
        large: u64::MAX,
        negative: i64::MIN,
        float: -0.1,
        text: "grüße\0\u{1f980}".to_owned(),
        bytes: vec![0, 255, 1],
        none: None,
        some: Some(Some(3)),
        unit: (),
        map: [("a".to_owned(), vec![1, -1]), (String::new(), vec![])].into(),
        character: 'ß',
    };
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let options = speaking(&[codec]);
        let (a, b) = on.pair_with(options.clone(), options).await;
        let (sender, receiver) = channel::<All>(&a, &b, 4).await;
        put(&sender, all.clone()).await;
        assert_eq!(get(&receiver).await, all);
    }
}

libchan_tests::contract! {
    ends_pass_in_every_shape,
    a_channel_may_carry_several_codecs,
    values_of_every_kind_keep_their_meaning,
}

mod remote {
    use super::*;
    libchan_tests::contract_links! {
        the_dialers_order_decides,
        raw_sessions_carry_bytes_as_they_are,
        a_codec_of_the_users_plugs_in,
    }
}
