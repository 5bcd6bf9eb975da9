//! A peer that says a proper hello and then whatever a test wants, byte by byte.

use std::pin::Pin;
use std::sync::Arc;

use libchan_tests::*;
use libchan_transports::{TcpLink, UnixLink};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixStream};

use crate::counted::{Counted, Counts};

/// The rude peer's end of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

pub(crate) type Rude = Pin<Box<dyn Stream>>;

/// What a real acceptor says first: preface and hello.
pub(crate) async fn hello() -> Vec<u8> {
    let (left, mut right) = UnixStream::pair().unwrap();
    let mut start =
        Box::pin(Session::start(UnixLink::new(left, "unix:a"), Role::Acceptor, SessionOptions::new()));
    assert!(poll_once(start.as_mut()).await.is_none());
    let mut bytes = vec![0; 16];
    soon(async {
        tokio::select! {
            _ = &mut start => panic!("no hello was answered"),
            read = async {
                right.read_exact(&mut bytes).await?;
                let length = usize::from(bytes[8]) << 16 | usize::from(bytes[9]) << 8 | usize::from(bytes[10]);
                let mut rest = vec![0; length];
                right.read_exact(&mut rest).await?;
                bytes.extend(rest);
                std::io::Result::Ok(())
            } => read.unwrap(),
        }
    })
    .await;
    bytes
}

pub(crate) fn frame(kind: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes()[1..].to_vec();
    frame.push(kind);
    frame.extend(id.to_be_bytes());
    frame.extend(body);
    frame
}

/// A session with a peer of ours that has said hello. Over tcp its buffers are small.
pub(crate) async fn session_with_rude_peer(on: On, options: SessionOptions) -> (Session, Rude, Arc<Counts>) {
    let (link, mut rude): (Box<dyn Link>, Rude) = match on {
        On::Tcp => {
            let there = TcpSocket::new_v4().unwrap();
            there.set_recv_buffer_size(8 * 1024).unwrap();
            there.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = there.listen(1).unwrap();
            let here = TcpSocket::new_v4().unwrap();
            here.set_send_buffer_size(8 * 1024).unwrap();
            let here = here.connect(listener.local_addr().unwrap()).await.unwrap();
            (Box::new(TcpLink::new(here).unwrap()), Box::pin(listener.accept().await.unwrap().0))
        }
        _ => {
            let (left, right) = UnixStream::pair().unwrap();
            (Box::new(UnixLink::new(left, "unix:a")), Box::pin(right))
        }
    };
    rude.write_all(&hello().await).await.unwrap();
    let (link, counts) = Counted::new(link);
    (soon(Session::start(link, Role::Dialer, options)).await.unwrap(), rude, counts)
}
