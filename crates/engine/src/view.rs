//! A request as routes and filters see it: attributes, found in its frame when a rule asks.

use heptad_core::{Attr, Attributes, Codec, Found, HeaderEdit, Meta, Request, Unknown, Value};

use crate::{Peer, Plan, SessionId, session::Session};

/// A request as routes and filters see it.
pub(crate) struct View<'a, C: Codec> {
    pub(crate) codec: &'a C,
    pub(crate) id: SessionId,
    pub(crate) session: &'a Session<C>,
    pub(crate) plan: &'a Plan,
    pub(crate) meta: &'a Meta,
    pub(crate) tag: C::Tag,
    pub(crate) frame: &'a [u8],
    pub(crate) names: Names<'a>,
    /// The route and cluster; none while they are looked for.
    pub(crate) place: Option<(&'a str, &'a str)>,
    /// Where attributes that must be decoded are decoded to; kept by the engine.
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) unknown: &'a mut u64,
    /// What filters want changed.
    pub(crate) edits: &'a mut Vec<HeaderEdit>,
}

/// What nearly every rule, and every count, asks of a request: read once.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) service: Found<'a>,
    pub(crate) method: Found<'a>,
}

impl<'a> Names<'a> {
    /// Reads them; `words` are buffers for what must be decoded.
    #[inline(always)]
    pub(crate) fn read<C: Codec>(
        codec: &'a C,
        conn: &'a C::Conn,
        meta: &'a Meta,
        frame: &'a [u8],
        words: &'a mut [Vec<u8>; 2],
    ) -> Self {
        let [service, method] = words;
        service.clear();
        method.clear();
        Self {
            service: codec.service(conn, meta, frame, service),
            method: codec.method(conn, meta, frame, method),
        }
    }
}

impl<C: Codec> Attributes for View<'_, C> {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        let (codec, conn) = (self.codec, &self.session.conn);
        let (meta, frame) = (self.meta, self.frame);
        let scratch = &mut *self.scratch;
        let read = match attr {
            Attr::Service => self.names.service,
            Attr::Method => self.names.method,
            Attr::Key => {
                scratch.clear();
                codec.key(conn, meta, frame, scratch)
            }
            Attr::Header(name) => {
                scratch.clear();
                codec.header(conn, meta, frame, name, scratch)
            }
            Attr::Arg(n) => {
                scratch.clear();
                codec.arg(conn, meta, frame, *n, scratch)
            }
            Attr::SourcePrincipal => {
                let principal = self.session.principal.as_deref();
                return Ok(principal.map(|name| Value::Bytes(name.as_bytes())));
            }
            Attr::SourceIp => return Ok(self.session.peer.ip.map(Value::Ip)),
            Attr::Route => return Ok(named(self.place.map(|(route, _)| route))),
            Attr::Cluster => return Ok(named(self.place.map(|(_, cluster)| cluster))),
            _ => {
                let principal = self.session.principal.as_deref();
                return known(self.codec.name(), &self.session.peer, principal, self.plan, attr);
            }
        };
        if read.is_err() {
            *self.unknown += 1;
        }
        Ok(read?.map(Value::Bytes))
    }
}

impl<C: Codec> Request for View<'_, C> {
    fn keys(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
        let found = self.codec.keys(&self.session.conn, self.meta, self.tag, self.frame, each);
        if found.is_err() {
            *self.unknown += 1;
        }
        found
    }

    fn connection(&self) -> Option<u64> {
        Some(self.id.0.to_bits())
    }

    fn headers(&self) -> bool {
        C::HEADERS
    }

    fn edit(&mut self, edit: HeaderEdit) {
        if C::HEADERS {
            self.edits.push(edit);
        }
    }
}

/// A name that is there unless it is empty: no route was found, or no cluster chosen.
pub(crate) fn named(name: Option<&str>) -> Option<Value<'_>> {
    name.filter(|name| !name.is_empty()).map(|name| Value::Bytes(name.as_bytes()))
}

/// What Heptad knows without looking at the frame.
pub(crate) fn known<'a>(
    protocol: &'a str,
    peer: &Peer,
    principal: Option<&'a str>,
    plan: &'a Plan,
    attr: &Attr,
) -> Result<Option<Value<'a>>, Unknown> {
    Ok(match attr {
        Attr::Protocol => Some(Value::Bytes(protocol.as_bytes())),
        Attr::Listener => Some(Value::Bytes(plan.listener.as_bytes())),
        Attr::SourceIp => peer.ip.map(Value::Ip),
        Attr::SourcePort => peer.ip.map(|_| Value::Number(u64::from(peer.port))),
        Attr::SourcePrincipal => principal.map(|p| Value::Bytes(p.as_bytes())),
        Attr::DestinationPort => Some(Value::Number(u64::from(plan.port))),
        _ => return Err(Unknown),
    })
}
