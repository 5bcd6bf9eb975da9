//! What the fuzz targets call. Kept in the crate so that the corpus is replayed by `cargo test`.

use std::time::Duration;

use bytes::BytesMut;

use crate::{Hello, Limits, Machine, Metadata, Output, Role};

/// Feeds arbitrary bytes, cut into chunks by the first byte, to a machine whose peer has or has not said hello.
pub fn machine(data: &[u8]) {
    let Some((&shape, data)) = data.split_first() else { return };
    let hello =
        Hello { limits: Limits::default(), codecs: vec![1], features: 0, metadata: Metadata::default() };
    let mut machine = Machine::new(Role::Acceptor, hello.clone(), Duration::ZERO);
    let mut out = Output::default();
    if shape & 1 == 1 {
        let mut peer = Machine::new(Role::Dialer, hello, Duration::ZERO);
        peer.take_output(&mut out);
        let mut bytes = BytesMut::from(&out.bytes[..]);
        let _ = machine.handle_input(&mut bytes);
    }
    let size = usize::from(shape >> 1).max(1);
    let mut buffer = BytesMut::new();
    for chunk in data.chunks(size) {
        buffer.extend_from_slice(chunk);
        let failed = machine.handle_input(&mut buffer).is_err();
        while machine.poll_event().is_some() {}
        out.clear();
        machine.take_output(&mut out);
        if failed {
            return;
        }
    }
    let _ = machine.handle_eof();
}
