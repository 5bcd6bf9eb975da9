//! A capture file made up: connections whose segments are cut where a test likes.

use std::path::Path;

/// Who sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

/// Packets, IPv4 without a link layer.
#[derive(Debug)]
pub(crate) struct Pcap {
    bytes: Vec<u8>,
    packets: u32,
}

/// One connection in it.
#[derive(Debug)]
pub(crate) struct Connection {
    ports: [u16; 2],
    sent: [u32; 2],
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const FILE_HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 1 << 18, 101];
/// The acceptors' port.
pub(crate) const PORT: u16 = 7777;

impl Pcap {
    pub(crate) fn new() -> Self {
        Self { bytes: FILE_HEADER.iter().flat_map(|word| word.to_le_bytes()).collect(), packets: 0 }
    }

    /// A connection from this port, which tells it from others.
    pub(crate) fn connect(&mut self, port: u16) -> Connection {
        let mut connection = Connection { ports: [port, PORT], sent: [1000, 5000] };
        for (side, flags) in [(Side::Dialer, SYN), (Side::Acceptor, SYN | ACK)] {
            self.packet(&connection, side, flags, &[]);
            connection.sent[side as usize] += 1;
        }
        self.packet(&connection, Side::Dialer, ACK, &[]);
        connection
    }

    /// Sends these bytes in segments of at most `cut`.
    pub(crate) fn send(&mut self, connection: &mut Connection, side: Side, bytes: &[u8], cut: usize) {
        for segment in bytes.chunks(cut) {
            self.packet(connection, side, PSH | ACK, segment);
            connection.sent[side as usize] += segment.len() as u32;
        }
    }

    fn packet(&mut self, connection: &Connection, side: Side, flags: u8, data: &[u8]) {
        let (from, to) = (side as usize, 1 - side as usize);
        let mut tcp: Vec<u8> = [connection.ports[from], connection.ports[to]]
            .iter()
            .flat_map(|port| port.to_be_bytes())
            .collect();
        tcp.extend(
            [connection.sent[from], connection.sent[to]].iter().flat_map(|number| number.to_be_bytes()),
        );
        tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(data);
        let length = u16::try_from(20 + tcp.len()).expect("a segment that fits a packet");
        let mut ip = vec![0x45, 0];
        ip.extend(length.to_be_bytes());
        ip.extend([0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        let head = [self.packets / 1000, self.packets % 1000 * 1000, u32::from(length), u32::from(length)];
        self.bytes.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        self.bytes.extend(ip);
        self.bytes.extend(tcp);
        self.packets += 1;
    }

    pub(crate) fn write(&self, file: &Path) {
        std::fs::write(file, &self.bytes).expect("write the capture");
    }
}
