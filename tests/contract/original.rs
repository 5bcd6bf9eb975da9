//! Equivalents of the original libchan's own tests, and of jschan's abstract session, by their names.

use std::io::{Seek, SeekFrom, Write};

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Message {
    data: String,
    ret: Option<Sender<Ack>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Ack {
    number: u32,
    length: usize,
}

#[derive(Serialize, Deserialize)]
struct Complex {
    text: String,
    sender: Sender<String>,
    receiver: Receiver<String>,
    stream: ByteStream,
}

#[derive(Serialize, Deserialize)]
struct WithFile {
    file: Fd,
    name: String,
}

/// TestSendReply, TestInmemRetPipe, TestSendRet.
async fn send_reply(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Message>(&a, &b, 1).await;
    let (ret, acks) = pipe();
    put(&sender, Message { data: "This is the request".to_owned(), ret: Some(ret) }).await;
    let message = get(&receiver).await;
    assert_eq!(message.data, "This is the request");
    put(&message.ret.unwrap(), Ack { number: 1, length: message.data.len() }).await;
    assert_eq!(get(&acks).await, Ack { number: 1, length: 19 });
    end(&acks).await;
    drop(sender);
    end(&receiver).await;
    soon(a.close()).await.unwrap();
    soon(b.closed()).await.unwrap();
}

/// TestSendFile, TestInmemWrappedSend.
async fn send_file(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<WithFile>(&a, &b, 1).await;
    let scratch = Scratch::new();
    let mut file =
        std::fs::File::options().read(true).write(true).create_new(true).open(scratch.path("f")).unwrap();
    file.write_all(b"hello there\n").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    put(&sender, WithFile { file: file.into(), name: "f".to_owned() }).await;
    let got = get(&receiver).await;
    let mut content = String::new();
    soon(got.file.into_stream().unwrap().read_to_string(&mut content)).await.unwrap();
    assert_eq!((got.name.as_str(), content.as_str()), ("f", "hello there\n"));
}

/// TestComplexMessage, TestChannelEncoding, TestSendFirstPipe.
async fn complex_message(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Complex>(&a, &b, 1).await;
    let (to_a, at_a) = pipe::<String>();
    let (to_b, at_b) = pipe::<String>();
    let (mut here, stream) = ByteStream::pair();
    put(&ship, Complex { text: "grüße".to_owned(), sender: to_a, receiver: at_b, stream }).await;
    let serving = tokio::spawn(async move {
        let mut complex = get(&shipped).await;
        assert_eq!(complex.text, "grüße");
        put(&complex.sender, "这是一个".to_owned()).await;
        assert_eq!(get(&complex.receiver).await, "ответ");
        let mut buffer = [0; 4];
        soon(complex.stream.read_exact(&mut buffer)).await.unwrap();
        assert_eq!(&buffer, b"ping");
        soon(complex.stream.write_all(b"pong")).await.unwrap();
        soon(complex.stream.shutdown()).await.unwrap();
        assert_eq!(soon(complex.stream.read(&mut buffer)).await.unwrap(), 0);
        end(&complex.receiver).await;
    });
    assert_eq!(get(&at_a).await, "这是一个");
    put(&to_b, "ответ".to_owned()).await;
    soon(here.write_all(b"ping")).await.unwrap();
    let mut got = String::new();
    soon(here.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "pong");
    soon(here.shutdown()).await.unwrap();
    drop(to_b);
    soon(serving).await.unwrap();
    end(&at_a).await;
}

/// TestChannelProxy: four messages with a nested Ret through Copy, which counts them.
async fn channel_proxy(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (sender, from) = channel::<Message>(&a, &b, 1).await;
    let (to, receiver) = channel::<Message>(&c, &d, 1).await;
    let copying = tokio::spawn(copy(from, to));
    tokio::spawn(async move {
        let mut number = 0;
        while let Some(message) = receiver.recv().await.unwrap() {
            number += 1;
            put(&message.ret.unwrap(), Ack { number, length: message.data.len() }).await;
        }
    });
    let (ret, acks) = pipe();
    for (number, data) in ["This is a test", "of proxying", "four", "messages"].into_iter().enumerate() {
        put(&sender, Message { data: data.to_owned(), ret: Some(ret.clone()) }).await;
        assert_eq!(get(&acks).await, Ack { number: number as u32 + 1, length: data.len() });
    }
    drop(sender);
    assert_eq!(soon(copying).await.unwrap(), Ok(4));
}

/// TestByteStreamProxy.
async fn byte_stream_proxy(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (sender, from) = channel::<ByteStream>(&a, &b, 1).await;
    let (to, receiver) = channel::<ByteStream>(&c, &d, 1).await;
    let copying = tokio::spawn(copy(from, to));
    let (mut here, there) = ByteStream::pair();
    put(&sender, there).await;
    let mut there = get(&receiver).await;
    soon(here.write_all(b"client to server")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(there.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "client to server");
    soon(there.write_all(b"server to client")).await.unwrap();
    soon(there.shutdown()).await.unwrap();
    drop(there);
    let mut got = String::new();
    soon(here.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "server to client");
    drop(sender);
    assert_eq!(soon(copying).await.unwrap(), Ok(1));
}

/// TestSubChannel: a Receiver inside a message on a nested Receiver. Its upstream twin fails 6 of 6 runs.
async fn sub_channel(on: On) {
    let (a, b) = on.pair().await;
    for _ in 0..20 {
        let (ship, shipped) = channel::<Receiver<Receiver<u32>>>(&a, &b, 1).await;
        let (outer, outers) = pipe();
        let (inner, inners) = pipe();
        put(&ship, outers).await;
        put(&outer, inners).await;
        put(&inner, 5).await;
        drop((inner, outer, ship));
        let outers = get(&shipped).await;
        let inners = get(&outers).await;
        assert_eq!(get(&inners).await, 5);
        end(&inners).await;
        end(&outers).await;
        end(&shipped).await;
    }
}

/// TestSenderSubChannel: a Sender inside a message sent back over a received Sender.
async fn sender_sub_channel(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<Sender<String>>>(&a, &b, 1).await;
    let (outer, outers) = pipe();
    put(&ship, outer).await;
    let outer = get(&shipped).await;
    let (inner, inners) = pipe();
    put(&outer, inner).await;
    put(&get(&outers).await, "two levels".to_owned()).await;
    assert_eq!(get(&inners).await, "two levels");
    end(&inners).await;
}

/// TestSendUnixSocket: both ends of a socketpair pass, and data flows between them.
async fn send_unix_socket(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<(Fd, Fd)>(&a, &b, 1).await;
    let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
    put(&sender, (left.into(), right.into())).await;
    let (left, right) = get(&receiver).await;
    let (mut left, mut right) = (left.into_stream().unwrap(), right.into_stream().unwrap());
    soon(left.write_all(b"hello")).await.unwrap();
    soon(left.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(right.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "hello");
}

/// TestMultiTcpByteStream: three sockets (both ways, in, out) in one message.
async fn multi_tcp_byte_stream(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Vec<Fd>>(&a, &b, 1).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        far.push(Fd::from(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()));
        let accepted = listener.accept().unwrap().0;
        accepted.set_nonblocking(true).unwrap();
        near.push(tokio::net::TcpStream::from_std(accepted).unwrap());
    }
    put(&sender, far).await;
    let mut far: Vec<_> = get(&receiver).await.into_iter().map(|fd| fd.into_stream().unwrap()).collect();
    for (number, (near, far)) in near.iter_mut().zip(&mut far).enumerate() {
        if number != 1 {
            soon(near.write_all(format!("to the server {number}").as_bytes())).await.unwrap();
            soon(near.shutdown()).await.unwrap();
            let mut got = String::new();
            soon(far.read_to_string(&mut got)).await.unwrap();
            assert_eq!(got, format!("to the server {number}"));
        }
        if number != 2 {
            soon(far.write_all(format!("to the client {number}").as_bytes())).await.unwrap();
            soon(far.shutdown()).await.unwrap();
            let mut got = String::new();
            soon(near.read_to_string(&mut got)).await.unwrap();
            assert_eq!(got, format!("to the client {number}"));
        }
    }
}

/// TestSendEmpty, TestSendLarge; jschan's big message of 3000 numbers.
async fn empty_and_large(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Vec<u32>>(&a, &b, 1).await;
    for count in [0, 3_000, 25_000] {
        put(&sender, (0..count).collect()).await;
        assert_eq!(get(&receiver).await, (0..count).collect::<Vec<_>>());
    }
    let (sender, receiver) = channel::<()>(&a, &b, 1).await;
    put(&sender, ()).await;
    get(&receiver).await;
}

/// jschan: fifty messages, and fifty channels.
async fn fifty_messages_and_fifty_channels(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 64).await;
    for number in 0..50 {
        put(&sender, number).await;
    }
    for number in 0..50 {
        assert_eq!(get(&receiver).await, number);
    }
    let senders: Vec<_> = (0..50).map(|number| a.open::<u32>(&number.to_string()).unwrap()).collect();
    for (number, sender) in senders.iter().enumerate() {
        put(sender, number as u32).await;
    }
    for number in 0..50u32 {
        let incoming = soon(b.accept()).await.unwrap().unwrap();
        assert_eq!(incoming.name(), number.to_string());
        assert_eq!(get(&incoming.receive::<u32>()).await, number);
    }
}

/// jschan: a late rendez-vous, with the listener attached after the send; updates 1, 2, 3 and the end.
async fn late_rendezvous_and_updates(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<Message2>("late").unwrap();
    let (updates, updated) = pipe();
    put(&sender, Message2 { updates: updated }).await;
    for number in 1..=3 {
        put(&updates, number).await;
    }
    drop((updates, sender));
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<Message2>();
    let message = get(&receiver).await;
    for number in 1..=3 {
        assert_eq!(get(&message.updates).await, number);
    }
    end(&message.updates).await;
    end(&receiver).await;
}

#[derive(Serialize, Deserialize)]
struct Message2 {
    updates: Receiver<u32>,
}

/// jschan's orchestration: a reading end, a writing end and a byte stream pass from one session to another.
async fn orchestration(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (left, lefts) = channel::<Complex>(&a, &b, 1).await;
    let (right, rights) = channel::<Complex>(&c, &d, 1).await;
    let (sender, got) = pipe();
    let (feed, receiver) = pipe();
    let (mut here, stream) = ByteStream::pair();
    put(&left, Complex { text: "on and on".to_owned(), sender, receiver, stream }).await;
    put(&right, get(&lefts).await).await;
    let mut complex = get(&rights).await;
    put(&feed, "in".to_owned()).await;
    put(&complex.sender, get(&complex.receiver).await + " and out").await;
    assert_eq!(get(&got).await, "in and out");
    soon(here.write_all(b"abc")).await.unwrap();
    let mut bytes = [0; 3];
    soon(complex.stream.read_exact(&mut bytes)).await.unwrap();
    soon(complex.stream.write_all(&bytes)).await.unwrap();
    soon(here.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"abc");
}

/// TestSendClose: a send on a closed queue is an error. TestModes, TestStack… have no counterpart: there are no modes,
/// and a failing backend is a receiver that leaves (`promise_03_the_job_of_a_worker_that_leaves_goes_to_another`).
async fn send_close(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    drop(receiver);
    soon(sender.closed()).await;
    assert_eq!(refused(&sender, 1).await.value, 1);
}

libchan_tests::contract! {
    send_reply,
    send_file,
    complex_message,
    channel_proxy,
    byte_stream_proxy,
    sub_channel,
    sender_sub_channel,
    send_unix_socket,
    multi_tcp_byte_stream,
    empty_and_large,
    fifty_messages_and_fifty_channels,
    late_rendezvous_and_updates,
    orchestration,
    send_close,
}
