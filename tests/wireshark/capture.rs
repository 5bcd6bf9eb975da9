//! A capture of one port of the loopback interface, by dumpcap.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libchan_tests::eventually;
use tokio::sync::oneshot;

/// dumpcap at work. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Begins to capture a tcp port. What is sent after this has returned is in the file.
    pub(crate) async fn begin(port: u16, file: &Path) -> Self {
        let mut child = Command::new("dumpcap")
            .args(["-i", "lo", "-P", "-f", &format!("tcp port {port}"), "-w"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dumpcap: run tests/setup-peers.sh");
        let stderr = child.stderr.take().expect("piped");
        let (ready, begun) = oneshot::channel();
        // It names the file when the interface is open and filtered. The thread ends with dumpcap.
        std::thread::spawn(move || {
            let (mut ready, mut said) = (Some(ready), String::new());
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                said += &line;
                if line.starts_with("File: ") {
                    ready.take().map(|ready| ready.send(Ok(())));
                }
            }
            ready.map(|ready| ready.send(Err(said)));
        });
        let capture = Self { child, file: file.to_owned() };
        begun.await.expect("the thread says something").unwrap_or_else(|said| panic!("dumpcap: {said}"));
        capture
    }

    /// Waits until both sides of a connection have said that they send no more, and stops.
    pub(crate) async fn end(self) {
        eventually(|| ends(&fs::read(&self.file).unwrap_or_default()) >= 2).await;
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many packets of this file have FIN or RST. It may end within a packet: it is being written.
fn ends(file: &[u8]) -> usize {
    const FILE_HEADER: usize = 24;
    const PACKET_HEADER: usize = 16;
    const ETHERNET: usize = 14;
    const FIN: u8 = 0x01;
    const RST: u8 = 0x04;
    let (mut at, mut found) = (FILE_HEADER, 0);
    while let Some(length) = file.get(at + 8..at + 12) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(packet) = file.get(at + PACKET_HEADER..at + PACKET_HEADER + length) else { break };
        let ip = &packet[ETHERNET..];
        let tcp = &ip[usize::from(ip[0] & 0x0f) * 4..];
        found += usize::from(tcp[13] & (FIN | RST) != 0);
        at += PACKET_HEADER + length;
    }
    found
}
