//! The dissector of spec/wireshark in tshark: what it shows of real sessions on the loopback interface, and of every vector
//! in segments that no carrier would cut so.
//!
//! `tests/setup-peers.sh` installs tshark. Capturing needs root, or a dumpcap that may capture.
#![allow(missing_docs)]

mod capture;
mod live;
mod pcap;
mod shown;
mod tls;
mod vectors;
