//! The attributes of one request, found in its frame when a rule or filter asks.

use heptad_core::{Attr, Attributes, Codec, Meta, Unknown, Value};

use crate::{Plan, session::Session};

/// A request as routes and filters see it.
pub(crate) struct View<'a, C: Codec> {
    pub(crate) codec: &'a C,
    pub(crate) session: &'a Session<C>,
    pub(crate) plan: &'a Plan,
    pub(crate) meta: &'a Meta,
    pub(crate) frame: &'a [u8],
    /// Where attributes that must be decoded are decoded to; kept by the engine.
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) unknown: &'a mut u64,
}

impl<C: Codec> Attributes for View<'_, C> {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        let (codec, conn) = (self.codec, &self.session.conn);
        let (meta, frame) = (self.meta, self.frame);
        self.scratch.clear();
        let scratch = &mut *self.scratch;
        let read = match attr {
            Attr::Service => codec.service(conn, meta, frame, scratch),
            Attr::Method => codec.method(conn, meta, frame, scratch),
            Attr::Key => codec.key(conn, meta, frame, scratch),
            Attr::Header(name) => codec.header(conn, meta, frame, name, scratch),
            Attr::Arg(n) => codec.arg(conn, meta, frame, *n, scratch),
            _ => return known(self.session, self.plan, attr),
        };
        if read.is_err() {
            *self.unknown += 1;
        }
        Ok(read?.map(Value::Bytes))
    }
}

/// What Heptad knows without looking at the frame.
fn known<'a, C: Codec>(
    session: &'a Session<C>,
    plan: &'a Plan,
    attr: &Attr,
) -> Result<Option<Value<'a>>, Unknown> {
    let peer = &session.peer;
    Ok(match attr {
        Attr::Protocol => Some(Value::Bytes(C::NAME.as_bytes())),
        Attr::Listener => Some(Value::Bytes(plan.listener.as_bytes())),
        Attr::SourceIp => peer.ip.map(Value::Ip),
        Attr::SourcePort => peer.ip.map(|_| Value::Number(u64::from(peer.port))),
        Attr::SourcePrincipal => session.principal.as_ref().map(|p| Value::Bytes(p.as_bytes())),
        Attr::DestinationPort => Some(Value::Number(u64::from(plan.port))),
        _ => return Err(Unknown),
    })
}
