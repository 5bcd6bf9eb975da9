//! Many sessions between two processes: this one dials, a child of it accepts. Memory of each side a session, and what
//! starting one takes. No channel is open on them.

use std::process::Stdio;
use std::time::Instant;

use libchan::{Role, Session, SessionOptions};
use libchan_transports::{TcpLink, UnixLink};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::case::{Case, Plan, Sample, case};
use crate::count::{self, Counts};
use crate::net::{Transport, socket_path};

pub fn cases(on: Transport, plan: Plan) -> Vec<Case> {
    let counts = plan.size(&[1, 100, 1_000, 10_000][..], &[1, 100, 1_000]);
    let case = |&count: &u64| {
        case!(format!("sessions-{count}"), "libchan", count, |count| async move { dial(on, count).await })
            .facts(1)
    };
    counts.iter().map(case).collect()
}

/// What a process holds.
#[derive(Serialize, Deserialize)]
struct Memory {
    heap: i64,
    resident: i64,
}

impl Memory {
    fn now() -> Self {
        Self { heap: Counts::now().live, resident: resident() }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self { heap: self.heap - earlier.heap, resident: self.resident - earlier.resident }
    }
}

/// Bytes of memory that are this process's now, code and heap.
fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as i64
}

async fn dial(on: Transport, count: u64) -> Sample {
    let mut server = Server::start(on, count).await;
    // The first of all pays for what a process sets up once.
    let mut sessions = vec![server.connect().await];
    sessions.reserve_exact(count as usize);
    let before = Memory::now();
    let theirs_before = server.report(1).await;
    let began = Instant::now();
    for _ in 0..count {
        sessions.push(server.connect().await);
    }
    let time = began.elapsed();
    let theirs = server.report(count + 1).await.since(&theirs_before);
    let ours = Memory::now().since(&before);
    drop(sessions);
    let each = |bytes: i64| bytes as f64 / count as f64;
    Sample {
        time,
        operations: count,
        ..Sample::of(vec![
            ("heap client", each(ours.heap)),
            ("heap server", each(theirs.heap)),
            ("resident client", each(ours.resident)),
            ("resident server", each(theirs.resident)),
            ("us to start", time.as_nanos() as f64 / 1000.0 / count as f64),
        ])
    }
}

/// The other process. It ends when its input does.
struct Server {
    transport: Transport,
    address: String,
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Server {
    async fn start(transport: Transport, count: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("knows its file"))
            .args(["accept", transport.name(), &(count + 1).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts a process");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines.next_line().await.expect("reads").expect("an address");
        Self { transport, address, child, lines }
    }

    async fn connect(&self) -> Session {
        let options = SessionOptions::default();
        let session = match self.transport {
            Transport::Memory => unreachable!("no other process shares the memory"),
            Transport::Tcp => {
                let socket = TcpStream::connect(&self.address).await.expect("connects");
                Session::start(TcpLink::new(socket).expect("a link"), Role::Dialer, options).await
            }
            Transport::Unix => {
                let socket = UnixStream::connect(&self.address).await.expect("connects");
                Session::start(UnixLink::new(socket, "unix:server"), Role::Dialer, options).await
            }
        };
        session.expect("a session")
    }

    /// What the server holds once it has so many sessions.
    async fn report(&mut self, sessions: u64) -> Memory {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(format!("{sessions}\n").as_bytes()).await.expect("asks");
        let line = self.lines.next_line().await.expect("reads").expect("a report");
        serde_json::from_str(&line).expect("a report")
    }
}

/// The child's side: `bench accept TRANSPORT COUNT`.
pub async fn accept(on: Transport, count: usize) {
    count::switch(true);
    let (sender, mut sessions) = tokio::sync::mpsc::channel(count.max(1));
    match on {
        Transport::Memory => unreachable!("no other process shares the memory"),
        Transport::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
            println!("{}", listener.local_addr().expect("has an address"));
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let link = TcpLink::new(socket).expect("a link");
                    let session = Session::start(link, Role::Acceptor, SessionOptions::default()).await;
                    let _ = sender.send(session.expect("a session")).await;
                }
            });
        }
        Transport::Unix => {
            let path = socket_path();
            let listener = UnixListener::bind(&path).expect("listens");
            println!("{}", path.display());
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let link = UnixLink::new(socket, "unix:client");
                    let session = Session::start(link, Role::Acceptor, SessionOptions::default()).await;
                    let _ = sender.send(session.expect("a session")).await;
                }
                drop(std::fs::remove_file(path));
            });
        }
    }
    let mut kept = Vec::with_capacity(count);
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(wanted)) = questions.next_line().await {
        let wanted: usize = wanted.parse().expect("a number");
        while kept.len() < wanted {
            kept.push(sessions.recv().await.expect("the listener lives"));
        }
        println!("{}", serde_json::to_string(&Memory::now()).expect("encodes"));
    }
}
