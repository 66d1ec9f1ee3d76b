//! A capture made of a tap's frames, for programs that read captures: packets that could have been
//! on the wire, with the frames in them that were.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use etherparse::PacketBuilder;
use serde_json::Value;

use super::{Taker, has_frames};
use crate::bytes::digits;

/// Packets are raw IP.
const RAW: u32 = 101;
/// Most bytes of a frame in one packet.
const MOST: usize = 60_000;

pub(super) struct Capture {
    out: Box<dyn Write>,
    server: SocketAddr,
    /// By session: the client's address, and what comes next from it and for it.
    flows: HashMap<u64, (SocketAddr, [u32; 2])>,
}

impl Capture {
    pub(super) fn new(out: Box<dyn Write>) -> Self {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Self { out, server, flows: HashMap::new() }
    }

    /// One packet, in one direction.
    fn packet(
        &mut self,
        nanos: u64,
        (from, to): (SocketAddr, SocketAddr),
        (seq, ack): (u32, u32),
        syn: bool,
        payload: &[u8],
    ) -> io::Result<()> {
        let builder = match (from.ip().to_canonical(), to.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            }
            (from, to) => PacketBuilder::ipv6(six(from), six(to), 64),
        };
        let mut builder = builder.tcp(from.port(), to.port(), seq, u16::MAX);
        if syn {
            builder = builder.syn();
        }
        if !syn || ack > 0 {
            builder = builder.ack(ack);
        }
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut bytes, payload).map_err(io::Error::other)?;
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(nanos / 1_000_000_000).unwrap_or(u32::MAX);
        let rest = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
        for word in [seconds, rest, len, len] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&bytes)
    }
}

fn six(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

impl Taker for Capture {
    fn begin(&mut self, begin: &Value) -> Result<(), String> {
        has_frames(begin)?;
        if let Some(address) = begin["address"].as_str().and_then(|text| text.parse().ok()) {
            self.server = address;
        }
        // Nanoseconds, version 2.4, no zone, whole packets.
        let mut head = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
        head.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        head.extend_from_slice(&(1_u32 << 18).to_le_bytes());
        head.extend_from_slice(&RAW.to_le_bytes());
        self.out.write_all(&head).map_err(|error| format!("cannot write: {error}"))
    }

    fn frame(&mut self, frame: &Value) -> io::Result<()> {
        let nanos = frame["nanos"].as_u64().unwrap_or(0);
        let session = frame["session"].as_u64().unwrap_or(0);
        let bytes = digits(frame["hex"].as_str().unwrap_or_default().as_bytes());
        let bytes = bytes.map_err(io::Error::other)?;
        let server = self.server;
        if !self.flows.contains_key(&session) {
            // Clients at a Unix socket get an address of their own.
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, session as u16 | 0x8000));
            let peer = frame["peer"].as_str().and_then(|text| text.parse().ok());
            let client = peer.unwrap_or(local);
            self.packet(nanos, (client, server), (0, 0), true, &[])?;
            self.packet(nanos, (server, client), (0, 1), true, &[])?;
            self.flows.insert(session, (client, [1, 1]));
        }
        for part in bytes.chunks(MOST) {
            let Some((client, next)) = self.flows.get_mut(&session) else {
                return Ok(());
            };
            let (client, [ours, theirs]) = (*client, *next);
            let len = u32::try_from(part.len()).unwrap_or(0);
            if frame["side"] == "reply" {
                next[1] = theirs.wrapping_add(len);
                self.packet(nanos, (server, client), (theirs, ours), false, part)?;
            } else {
                next[0] = ours.wrapping_add(len);
                self.packet(nanos, (client, server), (ours, theirs), false, part)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
