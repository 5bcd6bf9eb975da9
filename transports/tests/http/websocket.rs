//! The WebSocket carrier against a raw peer: messages, pings, closes and limits.

use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use libchan::SessionError;
use libchan_transports::{ListenOptions, Listener, listen_with};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::*;

type Raw = WebSocketStream<TcpStream>;

async fn listener() -> Listener {
    listen_with("ws://127.0.0.1:0", ListenOptions::default()).await.unwrap()
}

/// A raw client whose upgrade was accepted.
async fn raw(listener: &Listener) -> Raw {
    let mut request = listener.url().into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "libchan.v1".parse().unwrap());
    let stream = TcpStream::connect(listener.url().split('/').nth(2).unwrap()).await.unwrap();
    tokio::select! {
        joined = soon(client_async(request, stream)) => joined.unwrap().0,
        accepted = listener.accept() => panic!("{:?}", accepted.map(drop)),
    }
}

async fn send(raw: &mut Raw, message: Message) {
    use std::future::poll_fn;
    use std::pin::Pin;
    poll_fn(|cx| Pin::new(&mut *raw).poll_ready(cx)).await.unwrap();
    Pin::new(&mut *raw).start_send(message).unwrap();
    poll_fn(|cx| Pin::new(&mut *raw).poll_flush(cx)).await.unwrap();
}

async fn next(raw: &mut Raw) -> Option<Message> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *raw).poll_next(cx)).await.map(Result::unwrap)
}

/// What the other side closes with, while the listener goes on.
async fn close_code(listener: &Listener, raw: &mut Raw) -> (CloseCode, String) {
    let closing = async {
        loop {
            match next(raw).await {
                Some(Message::Close(Some(frame))) => return (frame.code, frame.reason.to_string()),
                Some(_) => {}
                None => panic!("ended without a close"),
            }
        }
    };
    tokio::select! {
        code = soon(closing) => code,
        accepted = listener.accept() => panic!("{:?}", accepted.map(drop)),
    }
}

#[tokio::test]
async fn boundaries_of_messages_mean_nothing() {
    let listener = listener().await;
    let mut raw = raw(&listener).await;
    let hello = hello().await;
    for byte in &hello {
        send(&mut raw, Message::binary(vec![*byte])).await;
        send(&mut raw, Message::binary(Vec::new())).await;
    }
    soon(listener.accept()).await.unwrap();
}

#[tokio::test]
async fn pings_are_answered() {
    let listener = listener().await;
    let mut raw = raw(&listener).await;
    send(&mut raw, Message::binary(hello().await)).await;
    let _session = soon(listener.accept()).await.unwrap();
    for number in 0..5_u8 {
        send(&mut raw, Message::Ping(vec![number; 5].into())).await;
        let pong = loop {
            match soon(next(&mut raw)).await.unwrap() {
                Message::Pong(data) => break data,
                Message::Binary(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(pong[..], [number; 5]);
    }
}

#[tokio::test]
async fn a_text_message_ends_the_session() {
    let listener = listener().await;
    let mut before = raw(&listener).await;
    send(&mut before, Message::text("hello")).await;
    let (code, reason) = close_code(&listener, &mut before).await;
    assert_eq!(
        (code, reason.as_str()),
        (CloseCode::Protocol, "the peer sent a text message; libchan sends binary ones")
    );
    // The same in the middle of a session.
    let mut raw = raw(&listener).await;
    send(&mut raw, Message::binary(hello().await)).await;
    let session = soon(listener.accept()).await.unwrap();
    send(&mut raw, Message::text("hello")).await;
    match soon(session.closed()).await {
        Err(SessionError::Link(text)) => assert!(text.contains("text message"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_have_a_limit() {
    let listener = listener().await;
    // A frame that only announces more than a megabyte, and fragments that add up to it.
    let mut huge = raw(&listener).await;
    huge.get_mut().write_all(&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4, 5]).await.unwrap();
    assert_eq!(close_code(&listener, &mut huge).await.0, CloseCode::Size);
    let mut many = raw(&listener).await;
    for part in 0..5 {
        let first = if part == 0 { 0x02 } else { 0x00 };
        let mut frame = vec![first, 0xff, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0, 0];
        frame.resize(frame.len() + 0x4_0000, 7);
        let writing = many.get_mut().write_all(&frame);
        tokio::select! {
            written = soon(writing) => written.unwrap(),
            accepted = listener.accept() => panic!("{:?}", accepted.map(drop)),
        }
    }
    assert_eq!(close_code(&listener, &mut many).await.0, CloseCode::Size);
}

#[tokio::test]
async fn broken_frames_end_the_session() {
    for bytes in [
        &[0xc2, 0x81, 0, 0, 0, 0, 1][..], // A reserved bit: no extension was agreed on.
        &[0x82, 0x01, 1],                 // A client's frame that is not masked.
        &[0x80, 0x81, 0, 0, 0, 0, 1],     // The continuation of nothing.
        &[0x83, 0x81, 0, 0, 0, 0, 1],     // An opcode that does not exist.
        &[0x09, 0x80, 0, 0, 0, 0],        // A ping in fragments.
    ] {
        let listener = listener().await;
        let mut raw = raw(&listener).await;
        raw.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(close_code(&listener, &mut raw).await.0, CloseCode::Protocol, "{bytes:x?}");
    }
}

/// Goodbyes have not been said, so a close in good order is no clean end.
#[tokio::test]
async fn a_close_without_a_goodbye_is_a_loss() {
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::Policy, CloseCode::Error] {
        let listener = listener().await;
        let mut raw = raw(&listener).await;
        send(&mut raw, Message::binary(hello().await)).await;
        let session = soon(listener.accept()).await.unwrap();
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code, reason: "why".into() };
        send(&mut raw, Message::Close(Some(frame))).await;
        let error = soon(session.closed()).await.unwrap_err();
        match code {
            CloseCode::Normal | CloseCode::Away => assert_eq!(error, SessionError::Lost),
            _ => {
                let expected = format!("the peer closed the WebSocket with {}: why", u16::from(code));
                assert_eq!(error, SessionError::Link(expected));
            }
        }
        // It was answered, as the protocol wants.
        let answered = async {
            while let Some(message) = next(&mut raw).await {
                if message.is_close() {
                    return;
                }
            }
            panic!("no close came back");
        };
        soon(answered).await;
    }
}

#[tokio::test]
async fn an_aborted_session_goes_away() {
    let listener = listener().await;
    let mut raw = raw(&listener).await;
    send(&mut raw, Message::binary(hello().await)).await;
    let session = soon(listener.accept()).await.unwrap();
    session.abort();
    let code = loop {
        match soon(next(&mut raw)).await {
            Some(Message::Close(Some(frame))) => break frame.code,
            Some(_) => {}
            None => panic!("ended without a close"),
        }
    };
    assert_eq!(code, CloseCode::Away);
}

/// A flush that finds no room goes on when there is some, although nobody asks for it again.
#[tokio::test]
async fn a_blocked_flush_goes_on_by_itself() {
    let (dialed, accepted, _listener) = pair("ws://127.0.0.1:0").await;
    let (sender, receiver) = channel::<serde_bytes::ByteBuf>(&dialed, &accepted).await;
    for size in [1, 100_000, 1_000_000, 3_000_000] {
        soon(sender.send(serde_bytes::ByteBuf::from(vec![1; size]))).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap().unwrap().len(), size);
    }
    tokio::time::timeout(Duration::from_secs(5), dialed.close()).await.unwrap().unwrap();
}
