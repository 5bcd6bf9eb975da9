//! A peer that is played frame by frame over a real socket: what no well-behaved implementation would send, and what it has
//! to say to it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::bundle::Vector;
use super::live::{Place, Side, fails};
use super::modes::Role;
use super::peer::{Failure, Testee};
use super::played::{OWN, Own};
use super::steps::{Trouble, failed};
use super::{codes, drained, wire};
use crate::json::{Fields, Json, hex, json, shorten, unhex};

/// A case of one testee.
pub(super) struct Case {
    pub(super) id: String,
    pub(super) level: u8,
    pub(super) requirements: Vec<String>,
    pub(super) why: String,
    play: Play,
}

enum Play {
    /// An entry of reject.json.
    Reject(Json),
    Own(&'static Own),
    /// Many channels with much to send.
    Fair,
    /// The testee drains.
    Drain,
}

/// The channels of the case about fairness, and the bytes that wait in each.
const FLOODS: usize = 10;
const FLOOD: usize = 512 * 1024;
/// What one may be ahead beside its share: what a writer had filled its output with, and turns.
const HEAD_START: usize = 128 * 1024;

/// Every case of a testee in this role.
pub(super) fn cases(role: Role, vectors: &[Vector]) -> Vec<Case> {
    let reject =
        vectors.iter().filter(|vector| vector.file == "reject.json" && is_playable(&vector.entry, role));
    let reject = reject.map(|vector| Case {
        id: vector.id().to_owned(),
        level: vector.entry.small("level").unwrap_or(3),
        requirements: vector
            .entry
            .list("req")
            .unwrap_or_default()
            .iter()
            .filter_map(|id| Some(id.as_str()?.to_owned()))
            .collect(),
        why: vector.entry.text("why").unwrap_or_default().to_owned(),
        play: Play::Reject(vector.entry.clone()),
    });
    let case = |id: &str, level, requirements: &[&str], why: &str, play| Case {
        id: id.to_owned(),
        level,
        requirements: requirements.iter().map(|id| (*id).to_owned()).collect(),
        why: why.to_owned(),
        play,
    };
    let own = OWN.iter().map(|own| case(own.id, own.level, own.requirements, own.why, Play::Own(own)));
    let fair =
        "ten channels have as much to send each and are granted all of it at once: they take turns by bytes";
    let drain = "a side that drains cancels what it receives from with GOING_AWAY and what it has taken, refuses new channels, \
                 lets what is at work end, and then says goodbye";
    let rest = [
        case("ro.fair.001", 0, &["MO-05"], fair, Play::Fair),
        case("ro.drain.001", 1, &["CH-08", "CH-14", "AT-11", "SE-15"], drain, Play::Drain),
    ];
    own.chain(rest).chain(reject).collect()
}

/// Whether an entry needs nothing of the testee's application, no clock, and the testee in this role.
fn is_playable(entry: &Json, role: Role) -> bool {
    let testee_is = if role == Role::Server { "acceptor" } else { "dialer" };
    let before = entry.list("before").unwrap_or_default();
    let same_for_both = before.is_empty() && names_no_channel(entry);
    (same_for_both || entry.field("role").as_str().unwrap_or("dialer") == testee_is)
        && matches!(entry.field("scope").as_str(), Some("session") | None)
        && entry.field("local").is_null()
        && entry.field("told") != &Json::Bool(false)
        && before.iter().all(|step| {
            ["recv", "expect", "any_order", "events", "quiet", "skip", "over"]
                .iter()
                .any(|kind| step.get(kind).is_some())
        })
}

/// Whether the bytes are the same for both roles: what comes before the hellos, or a frame of the session itself.
fn names_no_channel(entry: &Json) -> bool {
    let bytes = wire::bytes_of(entry.field("hex")).unwrap_or_default();
    entry.flag("raw")
        || (bytes.len() >= 8 && bytes[4..8] == [0; 4] && wire::frame_length(&bytes) == Some(bytes.len()))
}

/// How long the testee may take to say something.
const PATIENCE: Duration = Duration::from_secs(10);

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The peer's end of the link.
pub(super) struct Rogue {
    link: Box<dyn Io>,
    unread: Vec<u8>,
    /// The preface has been read.
    began: bool,
}

impl Rogue {
    /// Connects with the testee, which has this `hello`.
    pub(super) async fn connect(
        role: Role,
        testee: &Side<'_>,
        carrier: &str,
        place: &Place,
        hello: &Json,
    ) -> Result<(Self, super::peer::Pending), Trouble> {
        let (link, session): (Box<dyn Io>, _) = match role {
            Role::Server => {
                let listener = place.listen(testee.testee, carrier, json!({"hello": hello})).await?;
                let accepting = testee.begin("accept", json!({"listener": listener.number}));
                (dial(&listener.url).await?, accepting)
            }
            Role::Client => {
                let url = place.url(carrier)?;
                if carrier == "unix" {
                    let path = url.trim_start_matches("unix://").to_owned();
                    let listener = UnixListener::bind(&path).map_err(|error| error.to_string())?;
                    let dialing = testee.begin("dial", json!({"url": url, "hello": hello}));
                    let (link, _) = within(listener.accept()).await?;
                    (Box::new(link), dialing)
                } else {
                    let listener =
                        TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
                    let address = listener.local_addr().map_err(|error| error.to_string())?;
                    let arguments = json!({"url": format!("tcp://{address}"), "hello": hello});
                    let dialing = testee.begin("dial", arguments);
                    let (link, _) = within(listener.accept()).await?;
                    (Box::new(link), dialing)
                }
            }
        };
        Ok((Self { link, unread: Vec::new(), began: false }, session))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        // A testee that has seen enough may have dropped the link: its GOODBYE says why.
        let _ = within(self.link.write_all(bytes)).await;
        Ok(())
    }

    /// Reads until frames with these fields have come, in any order, among others: one for each that is due. Gives all that came.
    pub(super) async fn sees(&mut self, mut due: Vec<Json>) -> Result<Vec<Json>, Trouble> {
        let mut seen = Vec::new();
        while !due.is_empty() {
            let Some(frame) = self.next().await? else {
                return failed(format!("the testee drops the link and does not say {}", Json::from(due)));
            };
            if let Some(at) = due.iter().position(|due| has(&frame, due)) {
                due.remove(at);
            } else if frame.field("t") == "GOODBYE" {
                let said = shorten(&frame.to_string(), 300);
                return failed(format!("the testee says {said} where {} is due", Json::from(due)));
            }
            seen.push(frame);
        }
        Ok(seen)
    }

    /// The next frame; `None` at the end of the link.
    async fn next(&mut self) -> Result<Option<Json>, Trouble> {
        loop {
            let length =
                if self.began { wire::frame_length(&self.unread) } else { Some(wire::PREFACE.len()) };
            if let Some(length) = length.filter(|length| self.unread.len() >= *length) {
                let frame: Vec<u8> = self.unread.drain(..length).collect();
                self.began = true;
                return Ok(Some(wire::decode(&frame).map_err(|why| format!("{why}: {}", hex(&frame)))?));
            }
            let mut buffer = [0; 16 * 1024];
            match tokio::time::timeout(PATIENCE, self.link.read(&mut buffer)).await {
                Err(_) => return failed("the testee says nothing more, and does not drop the link"),
                Ok(Ok(n)) if n > 0 => self.unread.extend_from_slice(&buffer[..n]),
                Ok(_) => return Ok(None),
            }
        }
    }
}

async fn dial(url: &str) -> Result<Box<dyn Io>, Trouble> {
    let error = |error: std::io::Error| Trouble::Failed(format!("{url} cannot be dialed: {error}"));
    Ok(match url.split_once("://") {
        Some(("unix", path)) => Box::new(UnixStream::connect(path).await.map_err(error)?),
        Some((_, address)) => Box::new(TcpStream::connect(address).await.map_err(error)?),
        None => return failed(format!("no URL: {url}")),
    })
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => failed(format!("the link fails: {error}")),
        Err(_) => failed("the testee does not connect"),
    }
}

pub(super) async fn run(
    case: &Case,
    role: Role,
    testee: &Testee,
    carrier: &str,
    place: &Place,
) -> Result<(), Trouble> {
    let side = Side::new(testee);
    let result = match &case.play {
        Play::Reject(entry) => reject(entry, role, &side, carrier, place).await,
        Play::Own(own) => own.run(role, &side, carrier, place).await,
        Play::Fair => fair(role, &side, carrier, place).await,
        Play::Drain => drained::run(role, &side, carrier, place).await,
    };
    side.drop_all().await?;
    result
}

/// Plays an entry of reject.json: the testee must say GOODBYE with the code and drop the link.
async fn reject(
    entry: &Json,
    role: Role,
    testee: &Side<'_>,
    carrier: &str,
    place: &Place,
) -> Result<(), Trouble> {
    let (mut rogue, mut session) = Rogue::connect(role, testee, carrier, place, entry.field("hello")).await?;
    let mut bytes = Vec::new();
    if !entry.flag("raw") {
        bytes.extend(beginning(entry.field("peer"))?);
    }
    for frames in entry.list("before")?.iter().filter_map(|step| step.get("recv")) {
        bytes.extend(wire::bytes_of(frames)?);
    }
    bytes.extend(wire::bytes_of(entry.field("hex"))?);
    // In one piece: between two, a testee may have said what ends the session in good order, and read no more.
    rogue.send(&bytes).await?;
    let code = entry.text("code")?;
    let mut told = Json::Null;
    while let Some(frame) = rogue.next().await? {
        if frame.field("t") == "GOODBYE" {
            told = frame;
        }
    }
    // A listener goes on to the next peer.
    if role == Role::Server {
        testee.ask("give_up", json!({"request": session.n})).await?;
    }
    let held = session.answer().await;
    if let Ok(reply) = &held {
        testee.ask("drop", json!({"session": reply.field("session")})).await?;
    }
    if let Err(failure @ (Failure::Silent { .. } | Failure::Broken(_))) = held {
        return Err(failure.into());
    }
    match codes::number(code) {
        Some(number) if told.field("code").as_u64() == Some(u64::from(number)) => Ok(()),
        _ if told.is_null() => failed("the testee drops the link without a GOODBYE"),
        _ => failed(format!("the testee says {told}, and {code} is due")),
    }
}

/// What a peer says first: the preface, and a hello with these fields.
pub(super) fn beginning(hello: &Json) -> Result<Vec<u8>, String> {
    Ok([&wire::PREFACE[..], &wire::encode(&wire::default_hello(hello))?].concat())
}

/// The codecs that a testee need not have.
const CODECS: [(u64, &str); 3] = [(1, "msgpack"), (2, "json"), (3, "cbor")];

impl Own {
    /// The testee's application can read what the peer sends.
    fn need_codecs(&self, testee: &Testee) -> Result<(), Trouble> {
        let frames = parse(self.frames)?;
        let sent = |id| frames.as_array().into_iter().flatten().any(|frame| frame.field("codec") == id);
        match CODECS.iter().find(|(id, name)| sent(*id) && !testee.claims("codecs", name)) {
            Some((_, name)) => Err(Trouble::Skipped(format!("the testee does not speak {name}"))),
            None => Ok(()),
        }
    }

    async fn run(&self, role: Role, testee: &Side<'_>, carrier: &str, place: &Place) -> Result<(), Trouble> {
        self.need_codecs(testee.testee)?;
        let (mut rogue, mut session) = Rogue::connect(role, testee, carrier, place, &json!({})).await?;
        // The channel's id, and those behind it, of the peer's half.
        let first = first_id(role);
        let frames = with_ids(&parse(self.frames)?, first);
        let mut bytes = beginning(&json!({}))?;
        bytes.extend(wire::encode(&json!({"t": "OPEN", "id": first, "capacity": 16, "name": "it"}))?);
        for frame in frames.as_array().into_iter().flatten() {
            match frame.as_str() {
                Some(text) => bytes.extend(unhex(text)?),
                None => bytes.extend(wire::encode(frame)?),
            }
        }
        rogue.send(&bytes).await?;
        testee.set_session(session.answer().await?.number("session")?);
        let receiver = testee.incoming("it").await?;
        for expected in parse(self.receives)?.as_array().into_iter().flatten() {
            match expected.as_str() {
                Some("END") => testee.expect_end(receiver).await?,
                Some("CLOSE") => testee.tell("close", receiver).await?,
                Some("REFUSE") => {
                    let mut arguments = receiver.json();
                    arguments["code"] = 403.into();
                    arguments["text"] = "not you".into();
                    testee.ask("refuse", arguments).await?;
                }
                Some("COPY") => {
                    let out = testee.open("out", 16).await?;
                    let ends = json!({
                        "receiver": receiver.json().field("receiver"), "sender": out.json().field("sender"),
                    });
                    drop(testee.begin("copy", ends));
                }
                Some(name) => drop(fails(testee.ask("recv", receiver.json()).await, &[name])?),
                None => testee.expect(receiver, expected.clone()).await?,
            }
        }
        let due = with_ids(&parse(self.answers)?, first);
        rogue.sees(due.as_array().cloned().unwrap_or_default()).await?;
        // A peer that is gone is a lost session, if no goodbye was said, and the testee lives.
        drop(rogue);
        let left = self.frames.contains("GOODBYE");
        is_over(testee, if left { "closed" } else { "lost" }).await
    }
}

async fn is_over(testee: &Side<'_>, why: &str) -> Result<(), Trouble> {
    let over = testee.ask("incoming", json!({"session": testee.session()})).await?;
    if over.field("over").field("why") != why {
        return failed(format!("incoming gives {over} where the session is {why}"));
    }
    testee.drop_session().await
}

/// Ten channels with as much to send; the peer grants everything at once and reads what comes first.
async fn fair(role: Role, testee: &Side<'_>, carrier: &str, place: &Place) -> Result<(), Trouble> {
    let (mut rogue, mut session) = Rogue::connect(role, testee, carrier, place, &json!({})).await?;
    rogue.send(&beginning(&json!({}))?).await?;
    testee.set_session(session.answer().await?.number("session")?);
    let value = json!({"bytes": "5a".repeat(FLOOD)});
    let mut sends = Vec::new();
    for n in 0..FLOODS {
        let sender = testee.open(&format!("flood {n}"), 4).await?;
        sends.push(testee.begin_send(sender, value.clone()));
    }
    // How much of each is there, and how much it comes to.
    let mut floods: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    let note = |floods: &mut BTreeMap<u64, (usize, usize)>, frame: &Json| {
        let payload = frame.text("payload").unwrap_or_default().len() / 2;
        match frame.text("t") {
            Ok("MESSAGE") => {
                let _ = floods.insert(frame.number("id")?, (payload, frame.number("total")? as usize));
            }
            Ok("FRAGMENT") => floods.entry(frame.number("id")?).or_default().0 += payload,
            Ok("GOODBYE") => return Err(format!("the testee says {frame}")),
            _ => {}
        }
        Ok::<_, String>(())
    };
    while floods.len() < FLOODS {
        let Some(frame) = rogue.next().await? else { return failed("the testee drops the link") };
        note(&mut floods, &frame)?;
    }
    let mut grants = Vec::new();
    for (id, (got, total)) in &floods {
        let grant = json!({"t": "CREDIT", "id": id, "taken": 0, "wanted": 0, "bytes": total - got});
        grants.extend(wire::encode(&grant)?);
    }
    rogue.send(&grants).await?;
    while floods.values().all(|(got, total)| got < total) {
        let Some(frame) = rogue.next().await? else { return failed("the testee drops the link") };
        note(&mut floods, &frame)?;
    }
    let got: Vec<usize> = floods.values().map(|(got, _)| *got).collect();
    let (least, most) = (got.iter().min().copied(), got.iter().max().copied());
    if 2 * least.unwrap_or(0) + HEAD_START < most.unwrap_or(0) {
        return failed(format!("when the first of ten has all of it, the bytes of each are {got:?}"));
    }
    drop(rogue);
    for mut send in sends {
        // It had room in messages, or was cut with the link.
        let _ = send.answer().await;
    }
    is_over(testee, "lost").await
}

/// The first id of the peer's half.
pub(super) fn first_id(role: Role) -> u64 {
    if role == Role::Server { 2 } else { 1 }
}

fn parse(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text}"))
}

/// Frames with the ids of the peer's half: the channel's where none stands, and `+1` to `+3` behind it.
fn with_ids(frames: &Json, first: u64) -> Json {
    let behind = |json: &Json| match json.as_str() {
        Some("+1") => Some(first + 2),
        Some("+2") => Some(first + 4),
        Some("+3") => Some(first + 6),
        // The first that the testee gives.
        Some("out") => Some(3 - first),
        _ => None,
    };
    let mut frames = frames.clone();
    for frame in frames.as_array_mut().into_iter().flatten().filter(|frame| frame.is_object()) {
        frame["id"] = match frame.get("id") {
            Some(id) => behind(id).map_or_else(|| id.clone(), Json::from),
            None => first.into(),
        };
        for entry in frame.get_mut("attachments").and_then(Json::as_array_mut).into_iter().flatten() {
            if let Some(id) = behind(entry.field("id")) {
                entry["id"] = id.into();
            }
        }
    }
    frames
}

/// Whether a frame has all the fields that stand in `due`.
fn has(frame: &Json, due: &Json) -> bool {
    due.as_object().is_some_and(|due| due.iter().all(|(name, value)| frame.get(name) == Some(value)))
}
