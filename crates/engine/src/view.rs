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
        let peer = &self.session.peer;
        let (codec, meta, frame) = (self.codec, self.meta, self.frame);
        Ok(match attr {
            Attr::Service => codec.service(meta, frame).map(Value::Bytes),
            Attr::Method => {
                self.scratch.clear();
                codec.method(meta, frame, self.scratch).map(Value::Bytes)
            }
            Attr::Key => {
                self.scratch.clear();
                codec.key(meta, frame, self.scratch).map(Value::Bytes)
            }
            Attr::Header(name) => {
                self.scratch.clear();
                match codec.header(meta, frame, name, self.scratch) {
                    Ok(value) => value.map(Value::Bytes),
                    Err(unknown) => {
                        *self.unknown += 1;
                        return Err(unknown);
                    }
                }
            }
            Attr::Protocol => Some(Value::Bytes(C::NAME.as_bytes())),
            Attr::Listener => Some(Value::Bytes(self.plan.listener.as_bytes())),
            Attr::SourceIp => peer.ip.map(Value::Ip),
            Attr::SourcePort => peer.ip.map(|_| Value::Number(u64::from(peer.port))),
            Attr::SourcePrincipal => {
                self.session.principal.as_ref().map(|p| Value::Bytes(p.as_bytes()))
            }
            Attr::DestinationPort => Some(Value::Number(u64::from(self.plan.port))),
            _ => return Err(Unknown),
        })
    }
}
