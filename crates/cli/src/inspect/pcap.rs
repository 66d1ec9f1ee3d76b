//! Connections from pcap and pcapng files: packets by `pcap-parser`, headers by `etherparse`.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, NetSlice, SlicedPacket, TransportSlice};
use heptad::Sender;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::{
    Talk,
    tcp::{Segment, Stream},
};

/// Magic numbers of pcap (either byte order, micro- and nanoseconds) and pcapng.
const MAGIC: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

pub(crate) fn is_pcap(bytes: &[u8]) -> bool {
    bytes.first_chunk::<4>().is_some_and(|magic| MAGIC.contains(magic))
}

/// A connection, and which of its ends is the client.
struct Flow {
    client: SocketAddr,
    server: SocketAddr,
    stream: Stream,
}

/// The connections in a capture, in the order in which they began; only those to `port`, if given.
pub(crate) fn talks(bytes: &[u8], port: Option<u16>) -> Result<Vec<Talk>, String> {
    let bad = |why: String| format!("this is no capture that can be read: {why}");
    let mut reader =
        create_reader(bytes.len().max(1 << 16), bytes).map_err(|e| bad(e.to_string()))?;
    let mut flows: Vec<Flow> = Vec::new();
    let mut links: Vec<Linktype> = Vec::new();
    loop {
        let used = match reader.next() {
            Ok((used, block)) => {
                match &block {
                    PcapBlockOwned::LegacyHeader(header) => links.push(header.network),
                    PcapBlockOwned::Legacy(packet) => {
                        packet_of(&links, 0, packet.data, port, &mut flows);
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(one)) => {
                        links.push(one.linktype);
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        // Blocks are filled up to four bytes.
                        let data = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                        packet_of(&links, packet.if_id as usize, data, port, &mut flows);
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                        packet_of(&links, 0, packet.data, port, &mut flows);
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                used
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => {
                // The buffer takes all of it, so that more cannot come.
                if reader.reader_exhausted() {
                    return Err(bad("it is cut off".to_owned()));
                }
                reader.refill().map_err(|e| bad(e.to_string()))?;
                continue;
            }
            Err(error) => return Err(bad(error.to_string())),
        };
        reader.consume(used);
    }
    let talk = |flow: Flow| Talk {
        between: Some((flow.client.to_string(), flow.server.to_string())),
        gaps: flow.stream.gaps(),
        pieces: flow.stream.pieces,
    };
    Ok(flows.into_iter().map(talk).filter(|talk| !talk.pieces.is_empty()).collect())
}

fn packet_of(links: &[Linktype], at: usize, data: &[u8], port: Option<u16>, flows: &mut Vec<Flow>) {
    let Some(packet) = links.get(at).and_then(|link| slice(*link, data)) else {
        return;
    };
    let (Some(net), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
        return;
    };
    let (from, to) = match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()))
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()))
        }
        NetSlice::Arp(_) => return,
    };
    let from = SocketAddr::new(from, tcp.source_port());
    let to = SocketAddr::new(to, tcp.destination_port());
    let opens = tcp.syn() && !tcp.ack();
    if port.is_some_and(|port| from.port() != port && to.port() != port) {
        return;
    }
    let same = |flow: &Flow| {
        (flow.client, flow.server) == (from, to) || (flow.client, flow.server) == (to, from)
    };
    // The last one counts: ports are used again.
    let at = flows
        .iter()
        .rposition(same)
        .filter(|at| !opens || flows.get(*at).is_some_and(|flow| flow.stream.pieces.is_empty()));
    let at = at.unwrap_or_else(|| {
        // Where the beginning is missing, the server is who has the port that was asked for, or the
        // lower one.
        let ours = match port {
            _ if opens => true,
            _ if tcp.syn() => false,
            Some(port) => to.port() == port,
            None => to.port() <= from.port(),
        };
        let (client, server) = if ours { (from, to) } else { (to, from) };
        flows.push(Flow { client, server, stream: Stream::default() });
        flows.len() - 1
    });
    if let Some(flow) = flows.get_mut(at) {
        let sender = if flow.client == from { Sender::Client } else { Sender::Server };
        let (seq, syn) = (tcp.sequence_number(), tcp.syn());
        flow.stream.take(&Segment { sender, seq, syn, payload: tcp.payload() });
    }
}

/// The headers of a packet, by the link it was captured on.
fn slice(link: Linktype, data: &[u8]) -> Option<SlicedPacket<'_>> {
    match link {
        Linktype::ETHERNET => SlicedPacket::from_ethernet(data).ok(),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => SlicedPacket::from_ip(data).ok(),
        Linktype::LINUX_SLL => SlicedPacket::from_linux_sll(data).ok(),
        // The family in four bytes, in whatever order; an IP packet says its version itself.
        Linktype::NULL | Linktype::LOOP => SlicedPacket::from_ip(data.get(4..)?).ok(),
        // The ether type comes first, the packet behind twenty bytes.
        Linktype(276) => {
            let ether = u16::from_be_bytes(*data.first_chunk()?);
            SlicedPacket::from_ether_type(EtherType(ether), data.get(20..)?).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [10, 0, 0, 2];

    /// A packet from the client or from the server.
    fn packet(ours: bool, seq: u32, syn: bool, payload: &[u8]) -> Vec<u8> {
        let (from, to, ports) = match ours {
            true => (CLIENT, SERVER, (50_000, 6379)),
            false => (SERVER, CLIENT, (6379, 50_000)),
        };
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from, to, 64);
        let mut builder = builder.tcp(ports.0, ports.1, seq, 1024);
        if syn {
            builder = builder.syn();
        }
        if !(syn && ours) {
            builder = builder.ack(1);
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).expect("it fits");
        bytes
    }

    /// A conversation with a segment twice and two in the wrong order.
    fn packets() -> Vec<Vec<u8>> {
        vec![
            packet(true, 999, true, b""),
            packet(false, 4999, true, b""),
            packet(true, 1000, false, b"PI"),
            packet(true, 1004, false, b"\r\n"),
            packet(true, 1002, false, b"NG"),
            packet(false, 5000, false, b"+PONG\r\n"),
            packet(true, 1002, false, b"NG"),
        ]
    }

    fn legacy(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut out = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        out.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 0]);
        for packet in packets {
            let len = (packet.len() as u32).to_le_bytes();
            out.extend_from_slice(&[0; 8]);
            out.extend_from_slice(&len);
            out.extend_from_slice(&len);
            out.extend_from_slice(packet);
        }
        out
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (12 + body.len() as u32).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    }

    fn ng(packets: &[Vec<u8>]) -> Vec<u8> {
        let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        let mut out = block(0x0a0d_0d0a, &section);
        out.extend_from_slice(&block(1, &[1, 0, 0, 0, 0, 0, 1, 0]));
        for packet in packets {
            let mut body = vec![0; 12];
            let len = (packet.len() as u32).to_le_bytes();
            body.extend_from_slice(&len);
            body.extend_from_slice(&len);
            body.extend_from_slice(packet);
            body.resize(body.len().next_multiple_of(4), 0);
            out.extend_from_slice(&block(6, &body));
        }
        out
    }

    fn said(talk: &Talk, whose: Sender) -> Vec<u8> {
        let ours = talk.pieces.iter().filter(|piece| piece.sender == whose);
        ours.flat_map(|piece| piece.bytes.clone()).collect()
    }

    #[test]
    fn both_formats_give_both_directions() {
        for file in [legacy(&packets()), ng(&packets())] {
            assert!(is_pcap(&file));
            let all = talks(&file, None).expect("a capture");
            let [talk] = &all[..] else { panic!("{} connections", all.len()) };
            let between = ("10.0.0.1:50000".to_owned(), "10.0.0.2:6379".to_owned());
            assert_eq!(talk.between, Some(between));
            assert_eq!(said(talk, Sender::Client), b"PING\r\n");
            assert_eq!(said(talk, Sender::Server), b"+PONG\r\n");
            assert_eq!(talk.gaps, []);
            assert_eq!(talks(&file, Some(6379)).expect("a capture").len(), 1);
            assert_eq!(talks(&file, Some(80)).expect("a capture").len(), 0);
        }
    }

    #[test]
    fn the_server_is_known_without_the_beginning() {
        let all = packets();
        let file = legacy(&[all[5].clone(), all[2].clone()]);
        let all = talks(&file, None).expect("a capture");
        assert_eq!(said(&all[0], Sender::Server), b"+PONG\r\n");
        assert_eq!(said(&all[0], Sender::Client), b"PI");
    }

    #[test]
    fn a_file_that_is_cut_off_is_no_capture() {
        for file in [legacy(&packets()), ng(&packets())] {
            let cut = &file[..file.len() - 5];
            assert!(talks(cut, None).is_err());
        }
    }

    #[test]
    fn garbage_behind_the_magic_is_no_panic() {
        let mut rng = fastrand::Rng::with_seed(7);
        for file in [legacy(&packets()), ng(&packets())] {
            for _ in 0..2_000 {
                let mut file = file.clone();
                for _ in 0..4 {
                    let at = rng.usize(4..file.len());
                    file[at] = rng.u8(..);
                }
                let _ = talks(&file, None);
            }
        }
    }
}
