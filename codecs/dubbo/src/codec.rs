//! The codec: the trait's methods, each a few lines over the modules that do the work.

use heptad_core::{
    Answer, Asked, Codec, Ctx, Fault, Flavour, Found, Kind, Meta, NoOptions, OptionsError, Outcome,
    Question, Reason, Rewrite, Side, Span, Splice, Step, Template, Traits, Unknown,
};

use crate::{
    answer,
    body::{Body, Notes, Prefix},
    edit,
    frame::{EVENT, FIXED, HESSIAN2, Head, MAGIC, OK, REQUEST, TWO_WAY, put},
    hessian::{Bad, Limits, Scalar, Text},
    reply::{self, Flag, READ_ONLY, UNEXPECTED},
};

/// The Dubbo protocol. It has no options.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dubbo;

/// A connection: the limits it is read with, and how its last call began.
#[derive(Debug, Default)]
pub struct Conn {
    limits: Limits,
    last: Option<Box<Beginning>>,
}

/// What a prefix says. Most clients call the same method over and over: the same bytes say the same
/// again.
#[derive(Debug)]
struct Beginning {
    bytes: Vec<u8>,
    prefix: Prefix,
    attachments: bool,
    service: Span,
    method: Span,
}

/// A longer prefix is not remembered.
const MEMORABLE: usize = 256;

/// What is remembered of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// The serialization of its body.
    serialization: u8,
    /// Its client reads attachments of replies.
    attachments: bool,
}

impl Codec for Dubbo {
    const NAME: &'static str = "dubbo";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = Conn;
    type Tag = Tag;

    fn new(_: &NoOptions) -> Result<Self, OptionsError> {
        Ok(Self)
    }

    fn traits(&self) -> Traits {
        Traits::by_id(64)
    }

    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) -> Conn {
        Conn::default()
    }

    fn decode_request(&self, conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Result<Step<Tag>, Fault> {
        conn.limits = Limits { depth: cx.max_depth, parts: cx.max_parts };
        match step_of(cx, buf)? {
            Ok(head) => request(cx, conn, &head, buf),
            Err(step) => Ok(step),
        }
    }

    fn decode_reply<A: Asked<Tag>>(
        &self,
        conn: &mut Conn,
        _: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        conn.limits = Limits { depth: cx.max_depth, parts: cx.max_parts };
        reply::decode(cx, buf)
    }

    fn answer(
        &self,
        _: &mut Conn,
        to: &Question<'_, Tag>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        // There is no tag of what an endpoint asks.
        let serialization = match to.meta.kind {
            Kind::Ping => to.meta.aux as u8,
            _ => to.tag.serialization,
        };
        answer::answer(to.meta, serialization, answer, out)
    }

    fn service<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        match Notes(meta.aux) {
            notes if notes.is_plain() && meta.service.is_present() => Ok(meta.service.of(frame)),
            notes if notes.is_unreadable() => Err(Unknown),
            _ => body(conn, meta, frame)?.service(scratch),
        }
    }

    fn method<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        match meta.method.of(frame) {
            Some(name) if !name.starts_with(b"$") => Ok(Some(name)),
            _ => body(conn, meta, frame)?.method(scratch),
        }
    }

    fn header<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        name: &str,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        if Notes(meta.aux).is_unreadable() {
            return Err(Unknown);
        }
        body(conn, meta, frame)?.header(name, scratch)
    }

    /// The attachments that are texts by name; what has no text is left out.
    fn headers(
        &self,
        conn: &Conn,
        meta: &Meta,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unknown> {
        if Notes(meta.aux).is_unreadable() {
            return Err(Unknown);
        }
        if matches!(meta.kind, Kind::Request | Kind::Oneway) {
            body(conn, meta, frame)?.headers(each)?;
        }
        Ok(())
    }

    /// Counts from 0.
    fn arg<'a>(
        &'a self,
        conn: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        number: u16,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        body(conn, meta, frame)?.arg(number.into(), scratch)
    }

    fn timeout(&self, conn: &Conn, meta: &Meta, frame: &[u8]) -> Option<u32> {
        let ms = match body(conn, meta, frame).ok()?.attachment("timeout").ok()?? {
            Scalar::Int(ms) => ms,
            Scalar::Text(text) => {
                let mut scratch = Vec::new();
                std::str::from_utf8(text.read(frame, &mut scratch)).ok()?.trim().parse().ok()?
            }
            _ => return None,
        };
        u32::try_from(ms).ok().filter(|ms| *ms > 0)
    }

    fn code_name<'a>(&'a self, meta: &Meta, _: &'a [u8]) -> Option<&'a str> {
        reply::code_name(meta.code)
    }

    #[inline(always)]
    fn rewrite(
        &self,
        from: &Conn,
        _: &Conn,
        meta: &Meta,
        tag: Tag,
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let id = edit.id.unwrap_or(meta.id);
        if !edit.headers.is_empty() {
            return rewrite(from, meta, tag, id, edit, out);
        }
        out.keep_but(4, &id.to_be_bytes());
        Ok(())
    }

    /// Calls that begin as the last one did, names included, as long as nothing behind that is read;
    /// and replies with as plain a flag.
    #[inline(always)]
    fn template(
        &self,
        from: &Conn,
        _: &Conn,
        meta: &Meta,
        _: Tag,
        frame: &[u8],
    ) -> Option<Template> {
        let head = match meta.kind {
            Kind::Request => from.last.as_ref()?.alike(meta, frame)?,
            Kind::Reply if meta.outcome == Outcome::Ok && reply::is_plain(frame) => FIXED + 1,
            _ => return None,
        };
        Template::new(head, FIXED - 4, FIXED as u32, 4..FIXED - 4).map(Template::whole_head)
    }

    fn ping(&self, _: &mut Conn, id: u64, out: &mut Vec<u8>) -> bool {
        put(out, REQUEST | TWO_WAY | EVENT | HESSIAN2, 0, id, |out| out.push(b'N'));
        true
    }

    fn drain(&self, _: &mut Conn, out: &mut Vec<u8>) -> bool {
        put(out, REQUEST | EVENT | HESSIAN2, 0, 0, |out| out.extend_from_slice(READ_ONLY));
        true
    }
}

/// What every frame begins with, or how to go on without it.
pub(crate) fn step_of<T>(cx: &Ctx, buf: &[u8]) -> Result<Result<Head, Step<T>>, Fault> {
    // One byte tells other protocols apart; both are looked at when there is a head.
    let magic = if buf.len() < FIXED { 1 } else { MAGIC.len() };
    if buf.iter().zip(MAGIC).take(magic).any(|(byte, magic)| *byte != magic) {
        return Err(Fault::malformed("not Dubbo"));
    }
    let Some(head) = Head::of(buf) else {
        return Ok(Err(Step::Need(FIXED)));
    };
    if head.len > cx.max_frame {
        return Err(Fault::too_large(Reason::FrameSize, "frame is too long"));
    }
    Ok(Ok(head))
}

/// A frame with other headers, where it can have any.
fn rewrite(
    from: &Conn,
    meta: &Meta,
    tag: Tag,
    id: u64,
    edit: &Rewrite<'_>,
    out: &mut Splice<'_>,
) -> Result<(), Fault> {
    let frame = out.frame();
    match meta.kind {
        Kind::Request | Kind::Oneway => {
            // Who edits must know that it was done.
            let body = body(from, meta, frame).map_err(|Unknown| edit::UNREADABLE)?;
            return edit::edited(&body, id, edit.headers, out);
        }
        Kind::Reply if tag.attachments => match reply_flag(frame) {
            Some(flag) if flag.attachments => {
                // A reply that cannot be edited is still the reply.
                let body = Body::reply(frame, flag.end, flag.values(), from.limits);
                if edit::edited(&body, id, edit.headers, out).is_ok() {
                    return Ok(());
                }
            }
            Some(flag) => return edit::attached(flag.what, flag.end, id, edit.headers, out),
            None => {}
        },
        _ => {}
    }
    out.keep_but(4, &id.to_be_bytes());
    Ok(())
}

fn request(cx: &Ctx, conn: &mut Conn, head: &Head, buf: &[u8]) -> Result<Step<Tag>, Fault> {
    let len = head.len as usize;
    let kind = match (head.is(REQUEST), head.is(EVENT), head.is(TWO_WAY)) {
        (true, true, true) => Kind::Ping,
        (true, true, false) => {
            if len > cx.max_head as usize {
                return Err(Fault::too_large(Reason::HeadSize, "event is too long"));
            }
            return Ok(if buf.len() < len { Step::Need(len) } else { Step::Skip(len) });
        }
        (true, false, true) => Kind::Request,
        (true, false, false) => Kind::Oneway,
        (false, true, _) => Kind::Pong,
        // Nobody asked a client anything.
        (false, false, _) => return Err(UNEXPECTED),
    };
    let serialization = head.serialization();
    let meta = Meta::frame(kind, len).id(head.id);
    let tag = Tag { serialization, attachments: false };
    if head.is(EVENT) {
        return Ok(Step::Frame(meta.aux(serialization.into()), tag));
    }
    if serialization != HESSIAN2 {
        return Ok(Step::Frame(meta, tag));
    }
    let come = buf.get(..buf.len().min(len)).unwrap_or_default();
    if !conn.last.as_ref().is_some_and(|last| last.begins(come)) {
        let prefix = match Prefix::of(come) {
            Ok(prefix) => prefix,
            Err(Bad::Short(need)) if need <= len => {
                return Ok(if need > cx.max_head as usize {
                    Step::Reject(meta, LONG_HEAD)
                } else {
                    Step::Need(need)
                });
            }
            Err(_) => return Ok(Step::Reject(meta, Fault::malformed("bad service or method"))),
        };
        match &mut conn.last {
            Some(last) => **last = Beginning::new(std::mem::take(&mut last.bytes), prefix, come),
            last => *last = Some(Box::new(Beginning::new(Vec::new(), prefix, come))),
        }
    }
    let Some(Beginning { prefix, attachments, service, method, .. }) = conn.last.as_deref() else {
        return Ok(Step::Need(len));
    };
    if prefix.end() > cx.max_head as usize {
        return Ok(Step::Reject(meta, LONG_HEAD));
    }
    let notes = if !cx.want.behind_head() {
        Notes::UNSEEN
    } else if let Some(frame) = buf.get(..len) {
        Notes::of(frame, prefix, conn.limits)
    } else {
        // What attachments say is known at their end only, which is the frame's.
        return Ok(Step::Need(len));
    };
    let tag = Tag { attachments: *attachments, ..tag };
    Ok(Step::Frame(meta.service(*service).method(*method).aux(notes.0), tag))
}

impl Beginning {
    /// `bytes` is a buffer to remember them in.
    fn new(mut bytes: Vec<u8>, prefix: Prefix, frame: &[u8]) -> Self {
        bytes.clear();
        if let Some(whole) = frame.get(FIXED..prefix.end())
            && whole.len() <= MEMORABLE
        {
            bytes.extend_from_slice(whole);
        }
        let framework = prefix.framework.and_then(|text| frame.get(text.plain()?));
        let span = |text: Text| text.plain().map_or(Span::NONE, |r| Span::new(r.start, r.len()));
        Self {
            bytes,
            attachments: framework.is_some_and(reads_attachments),
            service: span(prefix.path),
            method: span(prefix.method),
            prefix,
        }
    }

    /// How much of a call decides its names and the rest of its meta, if that is all.
    fn alike(&self, meta: &Meta, frame: &[u8]) -> Option<usize> {
        let named = meta.service.is_present() && meta.aux == Notes::UNSEEN.0;
        // What a generic call calls is among its arguments.
        let itself = meta.method.of(frame).is_some_and(|method| !method.starts_with(b"$"));
        (named && itself && self.begins(frame)).then(|| self.prefix.end())
    }

    /// Whether a frame begins so. What was not remembered begins nothing.
    fn begins(&self, frame: &[u8]) -> bool {
        let body = frame.get(FIXED..).unwrap_or_default();
        !self.bytes.is_empty() && body.starts_with(&self.bytes)
    }
}

const LONG_HEAD: Fault = Fault::too_large(Reason::HeadSize, "service and method are too long");

/// The body of a request, if it is one that can be read.
fn body<'a>(conn: &Conn, meta: &Meta, frame: &'a [u8]) -> Result<Body<'a>, Unknown> {
    let notes = Notes(meta.aux);
    let call = matches!(meta.kind, Kind::Request | Kind::Oneway);
    // A body in another serialization has neither.
    if call && (!notes.is_unreadable() || meta.method.is_present()) {
        Ok(Body::new(frame, notes, conn.limits))
    } else {
        Err(Unknown)
    }
}

/// The flag of a reply that has one.
fn reply_flag(frame: &[u8]) -> Option<Flag> {
    let head = Head::of(frame)?;
    let has = head.status == OK && head.serialization() == HESSIAN2;
    if has { Flag::of(frame).ok() } else { None }
}

/// Whether a client of this framework version expects that replies may have attachments, by the rule
/// that servers follow: since 2.0.2, but not 2.0.10 to 2.6.2, which are versions of another count.
fn reads_attachments(version: &[u8]) -> bool {
    let mut parts = version.split(|byte| *byte == b'.').map(|part| {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).take(4);
        digits.fold(0_u32, |n, digit| n * 10 + u32::from(digit - b'0'))
    });
    let mut part = || parts.next().unwrap_or_default();
    let version = (part(), part(), part());
    version >= (2, 0, 2) && !((2, 0, 10)..=(2, 6, 2)).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_who_reads_attachments_of_replies() {
        for (version, reads) in [
            ("", false),
            ("2.0.1", false),
            ("2.0.2", true),
            ("2.0.9", true),
            ("2.0.10", false),
            ("2.5.3", false),
            ("2.6.2", false),
            ("2.6.3", true),
            ("2.6.3-SNAPSHOT", true),
            ("2.7", true),
            ("3.0.0", true),
            ("99999999999999999999", true),
            ("dubbo", false),
        ] {
            assert_eq!(reads_attachments(version.as_bytes()), reads, "{version}");
        }
    }
}
