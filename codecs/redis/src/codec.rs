//! The codec: the trait's methods, each a few lines over the modules that do the work.

use std::sync::Arc;

use heptad_core::{
    Accepted, Answer, Asked, Codec, Ctx, Fault, Flavour, Found, Greet, Kind, Meta, OptionsError,
    Outcome, Part, PartReply, Prelude, Question, Reason, Redirect, Rewrite, Side, Sniff, Splice,
    Step, Traits, Unknown,
};

use crate::{
    answer,
    args::Args,
    auth::Users,
    classify::{self, ESCAPED, HELLO_SHIFT, INDEX},
    conn::{self, Conn, Link, Session, Upstream},
    join,
    options::{RedisOptions, RedisUpstream},
    prelude, replies,
    resp::{Digits, bulk, command, head},
    scan::{Limits, Line, Scanned, number_line},
    state,
    table::{Act, Entry, Spread, Sticky, Table, key_args},
    tag::{Ask, Tag},
};

/// The Redis protocol: RESP2, RESP3 and inline commands.
#[derive(Clone, Debug)]
pub struct Redis {
    pub(crate) table: Arc<Table>,
    pub(crate) users: Arc<Users>,
}

impl Redis {
    /// Whether the client must log in first.
    pub(crate) fn is_stranger(&self, s: &Session) -> bool {
        s.user.is_none() && !self.users.is_open()
    }

    /// Makes the name follow the user's number.
    fn name_user(&self, s: &mut Session) {
        let name = s.user.and_then(|u| self.users.name(u));
        if s.principal.as_deref() != name {
            s.principal = name.map(Into::into);
        }
    }

    fn entry(&self, meta: &Meta) -> &Entry {
        self.table.entry((meta.aux & INDEX) as u16)
    }
}

impl Codec for Redis {
    const NAME: &'static str = "redis";
    const HEADERS: bool = false;

    type Options = RedisOptions;
    type Upstream = RedisUpstream;
    type Conn = Conn;
    type Tag = Tag;

    fn new(options: &RedisOptions) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Self {
            table: Arc::new(Table::new(&options.commands)?),
            users: Arc::new(Users::new(&options.users)),
        })
    }

    fn traits(&self) -> Traits {
        // The largest bulk of redis-server, and room for the rest of its command.
        Traits::in_order().max_frame((512 << 20) + (64 << 10))
    }

    fn open(&self, side: Side<'_, RedisUpstream>, flavour: Flavour) -> Conn {
        Conn(match side {
            Side::Link(options) => {
                let upstream = Upstream {
                    user: options.user.as_deref().map(Into::into),
                    password: options.password.as_ref().map(|p| p.reveal().into()),
                    db: options.db,
                };
                conn::Side::Link(Box::new(Link::new(Arc::new(upstream), flavour)))
            }
            _ => conn::Side::Session(Box::default()),
        })
    }

    /// The first byte tells: an array of the protocol's own, or a letter of an inline command.
    fn sniff(&self, bytes: &[u8]) -> Sniff {
        // Blank lines before a command are no command.
        match bytes.iter().find(|byte| !matches!(byte, b'\r' | b'\n')) {
            None => Sniff::More,
            Some(b'*') => Sniff::Yes,
            Some(byte) if byte.is_ascii_alphabetic() => Sniff::Yes,
            Some(_) => Sniff::No,
        }
    }

    #[inline]
    fn decode_request(&self, conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Result<Step<Tag>, Fault> {
        let Some(s) = conn.session_mut() else {
            return Err(WRONG_SIDE);
        };
        let limits = Limits {
            frame: cx.max_frame as usize,
            parts: cx.max_parts,
            stranger: self.is_stranger(s),
        };
        let shape = match s.scan.usual(buf, limits) {
            Some(shape) => match classify::again(s, buf, &shape) {
                Some(step) => return Ok(step),
                None => shape,
            },
            None => match s.scan.scan(buf, limits)? {
                Scanned::Need(n) => return Ok(Step::Need(n)),
                Scanned::Skip(n) => return Ok(Step::Skip(n)),
                Scanned::Frame(shape) => shape,
            },
        };
        let frame = buf.get(..shape.len).unwrap_or_default();
        let [name, _] = shape.seen;
        let name = name.of(frame).unwrap_or_default();
        let index = s.last.index(name, |name| self.table.find(name));
        Ok(classify::classify(self, s, frame, &shape, index))
    }

    #[inline]
    fn decode_reply<A: Asked<Tag>>(
        &self,
        conn: &mut Conn,
        asked: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        let link = conn.link_mut().ok_or(WRONG_SIDE)?;
        let tag = asked.tag(0);
        match replies::usual(link, tag, cx, buf) {
            Some(step) => Ok(step),
            None => replies::decode(link, tag, cx, buf),
        }
    }

    fn answer(
        &self,
        conn: &mut Conn,
        to: &Question<'_, Tag>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        answer::answer(self, conn, to, answer, out);
        Ok(())
    }

    /// Upper case; for subcommands their container's name.
    #[inline]
    fn method<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        Ok(match &*self.entry(meta).method {
            "" => Args::of(frame).next().map(|name| {
                scratch.extend(name.text.iter().take(NAME_MAX).map(u8::to_ascii_uppercase));
                &scratch[..]
            }),
            name => Some(name.as_bytes()),
        })
    }

    /// What the server reads, which with quotes and escapes is not what stands in the frame.
    fn key<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        if meta.aux & ESCAPED == 0 {
            return Ok(meta.key.of(frame));
        }
        let entry = self.entry(meta);
        let key = match entry.spread {
            Spread::FirstArgument => Args::of(frame).nth(1),
            _ => key_args(entry, frame, argc(frame)).next().map(|(_, key)| key),
        };
        Ok(key.map(|key| {
            scratch.extend_from_slice(&key.text);
            &scratch[..]
        }))
    }

    /// The argument after the command with this number from 0, as the server reads it. The name of a
    /// subcommand, which the server takes in any case, is in upper case, as `method` is.
    fn arg<'a>(
        &'a self,
        _: &'a Conn,
        meta: &Meta,
        frame: &'a [u8],
        number: u16,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        Ok(Args::of(frame).nth(usize::from(number) + 1).map(|arg| {
            scratch.extend_from_slice(&arg.text);
            if number == 0 && self.entry(meta).has_sub() {
                scratch.make_ascii_uppercase();
            }
            &scratch[..]
        }))
    }

    fn redirect<'a>(&self, _: &Meta, frame: &'a [u8]) -> Option<Redirect<'a>> {
        replies::redirect(frame)
    }

    fn code_name<'a>(&'a self, _: &Meta, frame: &'a [u8]) -> Option<&'a str> {
        replies::code(frame)
    }

    #[inline(always)]
    fn rewrite(
        &self,
        _: &Conn,
        _: &Conn,
        meta: &Meta,
        tag: Tag,
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let frame = out.frame();
        let array = meta.kind == Kind::Request && frame.first() == Some(&b'*');
        if matches!(tag.ask, Ask::Plain) && (array || meta.kind == Kind::Reply) {
            out.keep_all();
            return Ok(());
        }
        rewrite(meta, tag, edit, out)
    }

    #[inline(always)]
    fn accepted(&self, conn: &mut Conn, _: &Meta, tag: Tag, frame: &[u8]) -> Accepted {
        // By far the most.
        if matches!(tag, Tag { ask: Ask::Plain, queued: false, skip: false }) {
            return Accepted::Forward;
        }
        match conn.session_mut() {
            Some(s) => {
                let accepted = state::accepted(s, tag, frame);
                self.name_user(s);
                accepted
            }
            None => Accepted::Forward,
        }
    }

    fn settled(&self, conn: &mut Conn, tag: Tag, reply: &Meta, frame: &[u8]) {
        if let Some(s) = conn.session_mut() {
            state::settled(s, tag, reply, frame);
            self.name_user(s);
        }
    }

    fn principal<'a>(&self, conn: &'a Conn) -> Option<&'a str> {
        conn.session()?.principal.as_deref()
    }

    #[inline(always)]
    fn flavour(&self, conn: &Conn, meta: &Meta) -> Flavour {
        let Some(s) = conn.session() else {
            return Flavour::default();
        };
        let resp3 = match meta.aux >> HELLO_SHIFT {
            2 => false,
            3 => true,
            _ => s.wish.resp3,
        };
        conn::flavour(resp3, s.db)
    }

    fn greet(
        &self,
        conn: &mut Conn,
        heard: Option<(&Meta, &[u8])>,
        out: &mut Vec<u8>,
    ) -> Result<Greet, Fault> {
        let link = conn.link_mut().ok_or(WRONG_SIDE)?;
        match heard {
            None => Ok(prelude::greet(link, out)),
            Some((meta, _)) => prelude::greeted(link, meta.outcome),
        }
    }

    fn prelude(
        &self,
        session: &mut Conn,
        link: &mut Conn,
        _: &Meta,
        tag: Tag,
        out: &mut Vec<u8>,
    ) -> Prelude {
        match (session.session_mut(), link.link_mut()) {
            (Some(s), Some(link)) => prelude::prelude(s, link, tag, out),
            _ => Prelude::NONE,
        }
    }

    fn reusable(&self, link: &Conn) -> bool {
        link.link().is_some_and(Link::is_clean)
    }

    fn ping(&self, _: &mut Conn, _: u64, out: &mut Vec<u8>) -> bool {
        command(out, &[b"PING"]);
        true
    }

    /// The keys that the table knows of. Unknown, although some may be known, for scripts (which can
    /// touch keys that they do not declare), `SORT` by patterns, commands of modules that no option
    /// describes, and what works on the whole key space.
    fn keys(
        &self,
        conn: &Conn,
        meta: &Meta,
        _: Tag,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Unknown> {
        let entry = self.entry(meta);
        // The usual case, which has no need to look at the arguments.
        if entry.first && meta.key.is_present() {
            each(meta.key.of(frame).unwrap_or_default());
            return Ok(());
        }
        if entry.keys.is_empty() {
            if let Some(key) = self.key(conn, meta, frame, &mut Vec::new())? {
                each(key);
            }
            // Clients are told of every key that changes.
            let told = entry.act == Act::Own(Sticky::Tracking)
                && Args::of(frame).any(|arg| arg.text.eq_ignore_ascii_case(b"BCAST"));
            return if entry.open || told { Err(Unknown) } else { Ok(()) };
        }
        let keys = key_args(entry, frame, argc(frame));
        let open = keys.open;
        for (_, key) in keys {
            each(&key.text);
        }
        if open { Err(Unknown) } else { Ok(()) }
    }

    fn split(
        &self,
        meta: &Meta,
        _: Tag,
        frame: &[u8],
        part: &Part<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let entry = self.entry(meta);
        // Keys alone, or keys and values in turn.
        let step = if matches!(&*entry.name, "MSET" | "MSETNX") { 2 } else { 1 };
        head(out, b'*', (1 + part.picks.len() * step) as u64);
        bulk(out, entry.name.as_bytes());
        let mut picks = part.picks.iter().map(|p| *p as usize).peekable();
        for (number, arg) in Args::of(frame).skip(1).enumerate() {
            while picks.next_if(|p| *p < number / step).is_some() {}
            match picks.peek() {
                Some(pick) if *pick == number / step => bulk(out, &arg.text),
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn join(
        &self,
        _: &mut Conn,
        to: &Question<'_, Tag>,
        parts: &[PartReply<'_>],
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Fault> {
        match self.entry(to.meta).spread {
            Spread::All(merge) | Spread::Split(merge) => join::join(merge, parts, out),
            _ => Err(Fault::new(
                Outcome::BadRequest,
                Reason::Unsupported,
                "the replies of several endpoints cannot be merged",
            )),
        }
    }

    fn index(&self, _: &Meta, _: Tag, frame: &[u8], of: usize) -> usize {
        let of = of.max(1) as u64;
        (scan_cursor(frame).unwrap_or_default() % of) as usize
    }
}

/// The number of arguments of a whole request.
fn argc(frame: &[u8]) -> u32 {
    match (frame.split_first(), Args::of(frame)) {
        (Some((b'*', rest)), _) => match number_line(rest) {
            Line::Number(_, n) => u32::try_from(n).unwrap_or(0),
            _ => 0,
        },
        (_, args) => u32::try_from(args.count()).unwrap_or(0),
    }
}

/// The cursor that a client sent: an endpoint's cursor times the number of endpoints, plus the
/// number of the endpoint.
fn scan_cursor(frame: &[u8]) -> Option<u64> {
    let arg = Args::of(frame).nth(1)?;
    std::str::from_utf8(&arg.text).ok()?.parse().ok()
}

/// The cursor for the client: further at this endpoint, or the next one's first, or the end.
fn next_cursor(cursor: u64, part: Part<'_>) -> Option<u64> {
    let (index, of) = (part.index as u64, part.of as u64);
    if cursor == 0 {
        return Some(if index + 1 < of { index + 1 } else { 0 });
    }
    cursor.checked_mul(of)?.checked_add(index)
}

/// What becomes of an argument.
enum Word {
    Keep,
    Cut,
    Other(Vec<u8>),
}

/// A frame that is not written as it came.
fn rewrite(meta: &Meta, tag: Tag, edit: &Rewrite<'_>, out: &mut Splice<'_>) -> Result<(), Fault> {
    let frame = out.frame();
    match (tag.ask, edit.part, meta.kind) {
        (Ask::Scan, Some(part), Kind::Reply) if part.of > 1 => {
            let Some((cursor, at)) = replies::cursor(meta, frame) else {
                out.keep_all();
                return Ok(());
            };
            let next = next_cursor(cursor, part).ok_or(CURSOR)?;
            let mut text = Vec::new();
            bulk(&mut text, Digits::of(next).bytes());
            out.keep(0..at.start);
            out.put(&text);
            out.keep(at.end..frame.len());
        }
        (Ask::Scan, Some(part), _) if part.of > 1 => {
            let Some(cursor) = scan_cursor(frame) else {
                out.keep_all();
                return Ok(());
            };
            let own = cursor / part.of as u64;
            out.put(&rebuild(frame, |number, _| match number {
                1 => Word::Other(Digits::of(own).bytes().to_vec()),
                _ => Word::Keep,
            }));
        }
        (Ask::Hello { cut: true, .. }, _, kind) if kind != Kind::Reply => {
            let mut cut = 0;
            out.put(&rebuild(frame, |number, text| {
                if number >= 2 && cut == 0 && text.eq_ignore_ascii_case(b"AUTH") {
                    cut = 3;
                } else if number >= 2 && cut == 0 && text.eq_ignore_ascii_case(b"SETNAME") {
                    // Its value may be the word `AUTH`.
                    cut = -2;
                }
                match cut {
                    1.. => {
                        cut -= 1;
                        Word::Cut
                    }
                    ..=-1 => {
                        cut += 1;
                        Word::Keep
                    }
                    0 => Word::Keep,
                }
            }));
        }
        // redis-server reads a line up to its first NUL, and words by rules of its own: what it is
        // sent must be what was judged here.
        (_, _, kind) if is_inline(kind, frame) => out.put(&as_array(frame)),
        _ => out.keep_all(),
    }
    Ok(())
}

fn is_inline(kind: Kind, frame: &[u8]) -> bool {
    !matches!(kind, Kind::Reply | Kind::Push | Kind::Pong) && frame.first() != Some(&b'*')
}

/// An inline request as an array of bulks.
pub(crate) fn as_array(frame: &[u8]) -> Vec<u8> {
    rebuild(frame, |_, _| Word::Keep)
}

/// A request with some of its arguments changed.
fn rebuild(frame: &[u8], mut change: impl FnMut(usize, &[u8]) -> Word) -> Vec<u8> {
    let mut body = Vec::with_capacity(frame.len());
    let mut words = 0;
    for (number, arg) in Args::of(frame).enumerate() {
        match change(number, &arg.text) {
            Word::Keep => bulk(&mut body, &arg.text),
            Word::Other(text) => bulk(&mut body, &text),
            Word::Cut => continue,
        }
        words += 1;
    }
    let mut whole = Vec::with_capacity(body.len() + 16);
    head(&mut whole, b'*', words);
    whole.extend_from_slice(&body);
    whole
}

/// Longest name of an unknown command, as policy sees it.
const NAME_MAX: usize = 64;
const WRONG_SIDE: Fault = Fault::malformed("frame on the wrong side");
const CURSOR: Fault = Fault::new(
    Outcome::ProtocolError,
    Reason::Unsupported,
    "the cursor of an endpoint is too large to be passed on",
);
