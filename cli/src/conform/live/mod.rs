//! Live cases: two testees, or three, with real sessions between them.

mod chain;
mod channels;
mod drains;
mod ends;
mod nested;
mod sessions;
mod side;
mod streams;
mod values;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use libchan_transports::tls::DevCertificate;

use super::peer::{Pending, Testee};
use super::steps::{Trouble, failed};
use crate::json::{Fields, Json, json};

pub(super) use self::chain::{CHAINS, Chain, run as run_chain};
pub(super) use self::side::{End, Side, end_of, fails, says};

/// What a part of a case comes to.
pub(super) type Done = Result<(), Trouble>;

type Running<'a> = Pin<Box<dyn Future<Output = Done> + 'a>>;

/// A live case between two.
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) level: u8,
    pub(super) requirements: &'static [&'static str],
    pub(super) why: &'static str,
    /// Arguments of `dial`, as JSON.
    dial: &'static str,
    /// How the session is when the case ends.
    after: After,
    run: for<'a> fn(&'a Live<'a>) -> Running<'a>,
}

/// What is left of the session when a case has ended.
#[derive(Clone, Copy, PartialEq)]
enum After {
    /// It stands, and both sides leave it in good order.
    Stands,
    /// It is over, or there is none.
    Over,
}

/// Makes a table of cases: id, level, requirements, function, why; then how they differ from the usual.
macro_rules! cases {
    ($name:ident: $($id:literal $level:literal [$($req:literal),*] $run:ident $why:literal $(dial $dial:literal)? $(=> $after:ident)?;)*) => {
        pub(super) const $name: &[super::Case] = &[$(super::Case {
            id: $id,
            level: $level,
            requirements: &[$($req),*],
            why: $why,
            dial: cases!(@dial $($dial)?),
            after: cases!(@after $($after)?),
            run: |live| Box::pin($run(live)),
        }),*];
    };
    (@dial) => { "{}" };
    (@dial $dial:literal) => { $dial };
    (@after) => { super::After::Stands };
    (@after $after:ident) => { super::After::$after };
}
use cases;

/// Every case between two.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    let rest = [streams::CASES, sessions::CASES, drains::CASES];
    [values::CASES, channels::CASES, nested::CASES, ends::CASES].into_iter().chain(rest).flatten()
}

/// Two testees and the session between them. Cases are written for `one` and `two`; who of them has dialed differs.
pub(super) struct Live<'a> {
    pub(super) one: Side<'a>,
    pub(super) two: Side<'a>,
    /// Whether `one` is the dialer.
    one_dials: bool,
    pub(super) carrier: &'a str,
    place: &'a Place,
}

impl<'a> Live<'a> {
    pub(super) fn new(
        one: &'a Testee,
        two: &'a Testee,
        one_dials: bool,
        carrier: &'a str,
        place: &'a Place,
    ) -> Self {
        Self { one: Side::new(one), two: Side::new(two), one_dials, carrier, place }
    }

    pub(super) fn dialer(&self) -> &Side<'a> {
        if self.one_dials { &self.one } else { &self.two }
    }

    pub(super) fn acceptor(&self) -> &Side<'a> {
        if self.one_dials { &self.two } else { &self.one }
    }

    /// Whether descriptors are passed between these two.
    fn passes_descriptors(&self) -> bool {
        self.carrier == "unix" && self.one.testee.level() == 3 && self.two.testee.level() == 3
    }

    /// Both speak these.
    fn need_codecs(&self, codecs: &[&str]) -> Done {
        for testee in [self.one.testee, self.two.testee] {
            if let Some(codec) = codecs.iter().find(|codec| !testee.claims("codecs", codec)) {
                return Err(Trouble::Skipped(format!("{} does not speak {codec}", testee.name())));
            }
        }
        Ok(())
    }

    /// Begins a session.
    pub(super) async fn connect(&self, listen: Json, dial: Json) -> Done {
        let listener = self.place.listen(self.acceptor().testee, self.carrier, listen).await?;
        let accepted = self.acceptor().begin("accept", json!({"listener": listener.number}));
        let dialed = self.dialer().ask("dial", listener.dial(dial)).await?;
        let accepted = self.acceptor().answer(accepted).await?;
        self.dialer().set_session(dialed.number("session")?);
        self.acceptor().set_session(accepted.number("session")?);
        self.acceptor().ask("drop", json!({"listener": listener.number})).await?;
        Ok(())
    }

    /// A channel that `one` has opened: its sender there and its receiver at `two`.
    pub(super) async fn channel(&self, capacity: u32) -> Result<(End, End), Trouble> {
        let sender = self.one.open("channel", capacity).await?;
        Ok((sender, self.two.incoming("channel").await?))
    }

    /// A channel that `two` has opened: its sender there and its receiver at `one`.
    pub(super) async fn channel_back(&self, capacity: u32) -> Result<(End, End), Trouble> {
        let sender = self.two.open("back", capacity).await?;
        Ok((sender, self.one.incoming("back").await?))
    }

    /// Everything that both have said so far has arrived: messages have gone to and fro behind it.
    pub(super) async fn settle(&self) -> Done {
        let (there, here) = (self.one.open("there", 1).await?, self.two.open("here", 1).await?);
        let (at_two, at_one) = (self.two.incoming("there").await?, self.one.incoming("here").await?);
        for n in 0..3 {
            self.one.send(there, n).await?;
            self.two.expect(at_two, n).await?;
            self.two.send(here, n).await?;
            self.one.expect(at_one, n).await?;
        }
        self.one.tell("drop", there).await?;
        self.two.tell("drop", here).await?;
        self.two.expect_end(at_two).await?;
        self.one.expect_end(at_one).await?;
        self.two.tell("drop", at_two).await?;
        self.one.tell("drop", at_one).await
    }

    /// A request that must not have been answered yet, although everything else has come to rest.
    pub(super) async fn still_waits(&self, pending: &mut Pending, what: &str) -> Done {
        self.settle().await?;
        match pending.try_answer() {
            None => Ok(()),
            Some(Ok(reply)) => failed(format!("{what} does not wait: {reply}")),
            Some(Err(why)) => failed(format!("{what} does not wait: {why}")),
        }
    }
}

/// Runs a case: a session of its own, the case, the end, and whether anything is left.
pub(super) async fn run(case: &Case, live: &Live<'_>) -> Done {
    let before = [stats(live.one.testee).await?, stats(live.two.testee).await?];
    let dial: Json = serde_json::from_str(case.dial).map_err(|error| error.to_string())?;
    let codecs: Vec<&str> = dial.list("codecs")?.iter().filter_map(Json::as_str).collect();
    live.need_codecs(&codecs)?;
    if dial != json!({"no": "session"}) {
        live.connect(json!({}), dial).await?;
    }
    (case.run)(live).await?;
    live.one.drop_all().await?;
    live.two.drop_all().await?;
    let leaving = [(&live.one, "one"), (&live.two, "two")].map(|(side, name)| (side.begin_leave(), name));
    for (pending, name) in leaving {
        let Some(mut pending) = pending else { continue };
        match pending.answer().await {
            Err(why) if case.after == After::Stands => {
                return failed(format!("{name} does not leave in good order: {why}"));
            }
            _ => {}
        }
    }
    for (side, before) in [&live.one, &live.two].into_iter().zip(&before) {
        check_leaks(side.testee, before).await?;
    }
    Ok(())
}

async fn stats(testee: &Testee) -> Result<Json, Trouble> {
    Ok(testee.ask("stats", json!({})).await?)
}

/// How long what has ended may take to go, and how often it is looked at.
const SETTLES: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// As much is alive as before the case, or less.
pub(super) async fn check_leaks(testee: &Testee, before: &Json) -> Done {
    let begun = Instant::now();
    loop {
        let now = stats(testee).await?;
        let more = ["sessions", "channels", "streams", "descriptors", "tasks"]
            .into_iter()
            .find(|what| now.field(what).as_u64() > before.field(what).as_u64());
        match more {
            None => return Ok(()),
            Some(what) if begun.elapsed() > SETTLES => {
                let (n, had) = (now.field(what), before.field(what));
                return failed(format!("{} has {n} {what} left where it had {had}", testee.name()));
            }
            Some(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Where sockets and certificates are: a folder of this run.
pub(super) struct Place {
    folder: PathBuf,
    certificate: DevCertificate,
    next: std::cell::Cell<u32>,
}

/// A listener of a testee's, and how it is dialed.
pub(super) struct Listening {
    pub(super) number: u64,
    pub(super) url: String,
    pin: Option<String>,
}

impl Listening {
    fn dial(&self, mut arguments: Json) -> Json {
        arguments["url"] = self.url.as_str().into();
        if let Some(pin) = &self.pin {
            arguments["tls"] = json!({"pin": pin});
        }
        arguments
    }
}

impl Place {
    pub(super) fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("libchan-conform-{}", std::process::id()));
        let wrong = |error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(wrong)?;
        let certificate =
            DevCertificate::new(["localhost", "127.0.0.1"]).map_err(|error| error.to_string())?;
        std::fs::write(folder.join("cert.pem"), certificate.certificate_pem()).map_err(wrong)?;
        std::fs::write(folder.join("key.pem"), certificate.key_pem()).map_err(wrong)?;
        Ok(Self { folder, certificate, next: std::cell::Cell::new(0) })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// A URL that nobody listens at yet.
    pub(super) fn url(&self, carrier: &str) -> Result<String, Trouble> {
        Ok(match carrier {
            "tcp" => "tcp://127.0.0.1:0".to_owned(),
            "tls" => "tls://127.0.0.1:0".to_owned(),
            "http2" => "h2c://127.0.0.1:0/libchan".to_owned(),
            "websocket" => "ws://127.0.0.1:0/libchan".to_owned(),
            "unix" => {
                self.next.set(self.next.get() + 1);
                format!("unix://{}", self.path(&format!("{}.sock", self.next.get())))
            }
            other => return Err(Trouble::Skipped(format!("the runner knows no carrier {other}"))),
        })
    }

    /// Has a testee listen on a carrier.
    pub(super) async fn listen(
        &self,
        testee: &Testee,
        carrier: &str,
        mut arguments: Json,
    ) -> Result<Listening, Trouble> {
        arguments["url"] = self.url(carrier)?.into();
        let mut pin = None;
        if carrier == "tls" {
            arguments["tls"] = json!({"cert": self.path("cert.pem"), "key": self.path("key.pem")});
            pin = Some(self.certificate.fingerprint().to_string());
        }
        let reply = testee.ask("listen", arguments).await?;
        Ok(Listening { number: reply.number("listener")?, url: reply.text("url")?.to_owned(), pin })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
