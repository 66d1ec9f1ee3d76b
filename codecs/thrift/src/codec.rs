//! The codec: what the engine calls, and which part of the crate does it.

use heptad_core::{
    Accepted, Answer, Asked, Codec, Ctx, Fault, Flavour, Found, Meta, OptionsError, Question,
    Rewrite, Side, Splice, Step, Template, Traits, Unknown,
};

use crate::{
    args,
    conn::{Conn, Tag},
    decode,
    dialect::Dialect,
    frame::{Frame, aux},
    header::Infos,
    options::{ThriftOptions, ThriftUpstream},
    quick, reply,
};

/// The header in which a client says how long it waits, in milliseconds.
const TIMEOUT: &str = "client_timeout";

/// The codec.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Thrift {
    options: ThriftOptions,
}

impl Codec for Thrift {
    const NAME: &'static str = "thrift";
    type Options = ThriftOptions;
    type Upstream = ThriftUpstream;
    type Conn = Conn;
    type Tag = Tag;

    fn new(options: &ThriftOptions) -> Result<Self, OptionsError> {
        Ok(Self { options: *options })
    }

    /// Ids are of 32 bits, but there are servers that take calls one after the other from each
    /// connection, so that links are not shared unless told.
    fn traits(&self) -> Traits {
        Traits::by_id(32).ordered(self.options.ordered).share(false)
    }

    /// A link speaks what its cluster says, else what its flavour's clients speak.
    fn open(&self, side: Side<'_, ThriftUpstream>, flavour: Flavour) -> Conn {
        match side {
            Side::Link(upstream) => {
                let fixed = Dialect {
                    transport: upstream.transport.fixed(),
                    protocol: upstream.protocol.fixed(),
                };
                let dialect = fixed.or(Dialect::from_bits(flavour.0));
                Conn::new(true, dialect, upstream.strip_service)
            }
            _ => Conn::new(false, Dialect::default(), false),
        }
    }

    #[inline(always)]
    fn decode_request(&self, conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Result<Step<Tag>, Fault> {
        match quick::request(&self.options, conn, cx, buf) {
            Some(step) => Ok(step),
            None => decode::step(decode::general_request(&self.options, conn, cx, buf)),
        }
    }

    #[inline(always)]
    fn decode_reply<A: Asked<Tag>>(
        &self,
        conn: &mut Conn,
        asked: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        match quick::reply(conn, cx, buf) {
            Some(step) => Ok(step),
            None => decode::step(decode::general_reply(conn, asked, cx, buf)),
        }
    }

    fn answer(
        &self,
        conn: &mut Conn,
        to: &Question<'_, Tag>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        crate::answer::answer(conn, to, answer, out)
    }

    /// What is in front of the first colon of the message's name, if there is one.
    #[inline(always)]
    fn service<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        if meta.aux & aux::PACKED == 0 {
            return Ok(meta.service.of(frame));
        }
        packed_names(conn, meta, frame, scratch).map(|[service, _]| service)
    }

    /// The name of the message, from behind the first colon.
    #[inline(always)]
    fn method<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        if meta.aux & aux::PACKED == 0 {
            return Ok(meta.method.of(frame));
        }
        packed_names(conn, meta, frame, scratch).map(|[_, method]| method)
    }

    /// An info header of a THeader, names compared exactly. The last one of the name counts; those
    /// of the frame before the persistent ones of the frame, these before those of earlier frames.
    fn header<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        name: &str,
        _: &'a mut Vec<u8>,
    ) -> Found<'a> {
        header(conn, meta, frame, name)
    }

    fn headers(
        &self,
        _: &Conn,
        meta: &Meta,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unknown> {
        if !has_headers(meta) {
            return Ok(());
        }
        let header = Frame::again(meta, frame).map_err(|_| Unknown)?.header.ok_or(Unknown)?;
        let mut infos = Infos::new(frame, header.infos);
        infos.by_ref().for_each(|info| each(info.name, info.value));
        if infos.unknown.is_some() || infos.broken { Err(Unknown) } else { Ok(()) }
    }

    /// The top-level field with this id.
    fn arg<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        number: u16,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        args::arg(conn, meta, frame, number, scratch)
    }

    fn timeout(&self, conn: &Conn, meta: &Meta, frame: &[u8]) -> Option<u32> {
        let value = header(conn, meta, frame, TIMEOUT).ok()??;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// The method, as servers of several services answer with it too.
    #[inline(always)]
    fn keep<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match self.method(conn, meta, frame, scratch) {
            Ok(Some(method)) => method,
            _ => &[],
        }
    }

    fn code_name<'a>(&'a self, meta: &Meta, _: &'a [u8]) -> Option<&'a str> {
        reply::code_name(meta)
    }

    #[inline(always)]
    fn rewrite(
        &self,
        from: &Conn,
        to: &Conn,
        meta: &Meta,
        tag: Tag,
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        if quick::rewrite(to, meta, tag, edit, out) {
            return Ok(());
        }
        crate::rewrite::rewrite(from, to, meta, tag, edit, out)
    }

    #[inline(always)]
    fn template(
        &self,
        _: &Conn,
        to: &Conn,
        meta: &Meta,
        tag: Tag,
        frame: &[u8],
    ) -> Option<Template> {
        quick::template(to, meta, tag, frame)
    }

    /// Persistent headers hold from here on.
    #[inline(always)]
    fn accepted(&self, conn: &mut Conn, meta: &Meta, _: Tag, frame: &[u8]) -> Accepted {
        if !quick::is_plain(meta)
            && has_headers(meta)
            && let Ok(Frame { header: Some(header), .. }) = Frame::again(meta, frame)
        {
            decode::remember(conn, frame, &header);
        }
        Accepted::Forward
    }

    /// The client's dialect.
    #[inline(always)]
    fn flavour(&self, _: &Conn, meta: &Meta) -> Flavour {
        match quick::is_plain(meta) {
            true => Flavour(meta.aux),
            false => Dialect::from_bits(meta.aux).flavour(),
        }
    }
}

#[inline]
fn has_headers(meta: &Meta) -> bool {
    Dialect::from_bits(meta.aux).transport.is_some_and(|transport| transport.has_headers())
}

fn header<'a>(conn: &'a Conn, meta: &Meta, frame: &'a [u8], name: &str) -> Found<'a> {
    if !has_headers(meta) {
        return Ok(None);
    }
    let name = name.as_bytes();
    let header = Frame::again(meta, frame).map_err(|_| Unknown)?.header.ok_or(Unknown)?;
    let mut infos = Infos::new(frame, header.infos);
    let (mut plain, mut persistent) = (None, None);
    for info in infos.by_ref().filter(|info| info.name == name) {
        *(if info.persistent { &mut persistent } else { &mut plain }) = Some(info.value);
    }
    if infos.unknown.is_some() || infos.broken {
        return Err(Unknown); // It may be among what is not known, and count.
    }
    Ok(plain.or(persistent).or_else(|| conn.persistent.as_ref()?.value(name)))
}

/// The service and the method of a compressed message, inflated into `scratch`.
#[cold]
fn packed_names<'a>(
    conn: &'a Conn,
    meta: &Meta,
    frame: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<[Option<&'a [u8]>; 2], Unknown> {
    let (service, method) = packed_head(conn, meta, frame, scratch)?.names(scratch);
    let scratch = &*scratch;
    Ok([service.and_then(|at| scratch.get(at)), scratch.get(method)])
}

/// Inflates the head of a compressed message.
fn packed_head(
    conn: &Conn,
    meta: &Meta,
    frame: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<crate::message::Head, Unknown> {
    let parsed = Frame::again(meta, frame).map_err(|_| Unknown)?;
    let (inflated, head) = parsed.unpack_head(&conn.cx, frame).map_err(|_| Unknown)?;
    *scratch = inflated;
    Ok(head)
}
