//! Thrift for servers of another dialect: what a client said is written in theirs, and says the
//! same. A message that cannot be is refused.

use heptad_core::{Chain, Codec, Ctx, Flavour, HeaderEdit, Rewrite, Side, Splice, Step};
use heptad_testkit::fuzz::control::SERVER;
use heptad_thrift::{ServerProtocol, ServerTransport, Thrift, ThriftUpstream};

use crate::suites::codec;

const LONGEST: usize = 8 << 10;

pub(crate) fn run(data: &[u8]) {
    let Some((control, bytes)) = data.get(..data.len().min(LONGEST)).and_then(<[u8]>::split_first)
    else {
        return;
    };
    if control & SERVER != 0 {
        return;
    }
    let thrift: Thrift = codec();
    let mut session = thrift.open(Side::Session, Flavour::default());
    let Ok(Step::Frame(meta, tag)) = thrift.decode_request(&mut session, &Ctx::default(), bytes)
    else {
        return;
    };
    let Some(frame) = bytes.get(..meta.len as usize) else {
        return;
    };
    let method = |conn: &_, meta: &_, frame: &[u8]| {
        let mut scratch = Vec::new();
        thrift.method(conn, meta, frame, &mut scratch).map(|name| name.map(<[u8]>::to_vec))
    };
    let edits = [HeaderEdit::Set { name: "via".into(), value: "heptad".into() }];
    for transport in [ServerTransport::Framed, ServerTransport::Unframed, ServerTransport::Header] {
        for protocol in [ServerProtocol::Binary, ServerProtocol::Compact] {
            let mut upstream = ThriftUpstream::default();
            (upstream.transport, upstream.protocol) = (transport, protocol);
            let link = thrift.open(Side::Link(&upstream), thrift.flavour(&session, &meta));
            for edits in [&[][..], &edits] {
                let mut chain = Chain::default();
                let mut splice = Splice::new(frame, None, &mut chain);
                let edit = Rewrite::new(Some(9), edits);
                if thrift.rewrite(&session, &link, &meta, tag, &edit, &mut splice).is_err() {
                    continue;
                }
                let sent = chain.to_vec();
                let mut server = thrift.open(Side::Session, Flavour::default());
                let cx = Ctx::default().max_head(u32::MAX).max_frame(u32::MAX);
                let way = format!("{} to {transport:?} {protocol:?}", frame.escape_ascii());
                match thrift.decode_request(&mut server, &cx, &sent) {
                    Ok(Step::Frame(read, _)) => {
                        assert_eq!(read.len as usize, sent.len(), "{way}");
                        assert_eq!(read.kind, meta.kind, "{way}");
                        let (was, is) =
                            (method(&session, &meta, frame), method(&server, &read, &sent));
                        assert_eq!(was, is, "{way}");
                    }
                    other => panic!("{other:?} is {}, from {way}", sent.escape_ascii()),
                }
            }
        }
    }
}
