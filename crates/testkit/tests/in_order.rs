//! The conformance checks on a protocol that answers in order: lines, blank ones to be skipped, a
//! login that changes the session, and replies that can only be read by who knows the question.

use heptad_core::{
    Accepted, Answer, Asked, Codec, Ctx, Fault, Flavour, Kind, Meta, NoOptions, OptionsError,
    Outcome, Question, Reason, Side, Span, Step, Traits,
};
use heptad_testkit::conformance::{Conformance, Rule};

/// `GET key`, `COUNT n` (the reply has `n` lines), `LOGIN`, `PING`.
#[derive(Clone, Default)]
struct Lines {
    /// Knows of `max_frame` only.
    forgets_limit: bool,
    /// Takes the oldest question for the answer to the newest.
    ignores_asked: bool,
}

#[derive(Default)]
struct Conn {
    logged_in: bool,
    /// Bytes that were searched for ends of lines already, and how many there were.
    searched: usize,
    ends: usize,
}

impl Lines {
    /// Length of the first line with its end.
    fn line(&self, conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Result<Step<usize>, Fault> {
        let head = if self.forgets_limit { u32::MAX } else { cx.max_head };
        let limit = head.min(cx.max_frame) as usize;
        let rest = buf.get(conn.searched..).unwrap_or_default();
        let found = rest.iter().position(|&byte| byte == b'\n');
        let len = found.map(|at| conn.searched + at + 1);
        if len.unwrap_or(buf.len() + 1) > limit {
            return Err(Fault::too_large(Reason::HeadSize, "line is too long"));
        }
        conn.searched = if len.is_some() { 0 } else { buf.len() };
        Ok(match len {
            Some(len) => Step::Frame(Meta::request(len), len),
            None => Step::Need(buf.len() + 1),
        })
    }
}

impl Codec for Lines {
    const NAME: &'static str = "lines";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = Conn;
    type Tag = u8;

    fn new(_: &NoOptions) -> Result<Self, OptionsError> {
        Ok(Self::default())
    }

    fn traits(&self) -> Traits {
        Traits::in_order()
    }

    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) -> Conn {
        Conn::default()
    }

    fn decode_request(&self, conn: &mut Conn, cx: &Ctx, buf: &[u8]) -> Result<Step<u8>, Fault> {
        let blank = buf.iter().take_while(|byte| **byte == b'\n').count();
        if blank > 0 {
            return Ok(Step::Skip(blank));
        }
        let len = match self.line(conn, cx, buf)? {
            Step::Frame(_, len) => len,
            Step::Need(n) => return Ok(Step::Need(n)),
            _ => return Err(Fault::malformed("not a line")),
        };
        let line = buf.get(..len - 1).unwrap_or_default();
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let kind = match word {
            b"LOGIN" => Kind::Login,
            b"PING" => Kind::Ping,
            _ => Kind::Request,
        };
        let meta = Meta::frame(kind, len);
        if !conn.logged_in && word != b"LOGIN" {
            let fault = Fault::new(Outcome::Unauthenticated, Reason::None, "who are you?");
            return Ok(Step::Reject(meta, fault));
        }
        let argument = Span::new(word.len() + 1, line.len().saturating_sub(word.len() + 1));
        let meta = meta.method(Span::new(0, word.len()));
        Ok(match word {
            b"GET" if line.len() > 4 => Step::Frame(meta.key(argument), 1),
            b"COUNT" => match line.last() {
                Some(digit @ b'1'..=b'9') => Step::Frame(meta, digit - b'0'),
                _ => return Err(Fault::malformed("COUNT needs a digit")),
            },
            b"LOGIN" | b"PING" => Step::Frame(meta, 1),
            _ => Step::Reject(meta, Fault::malformed("unknown command")),
        })
    }

    fn decode_reply<A: Asked<u8>>(
        &self,
        conn: &mut Conn,
        asked: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        let lines = if self.ignores_asked { Some(1) } else { asked.tag(0) };
        let failed = buf.first() == Some(&b'!');
        let lines = if failed { 1 } else { lines.unwrap_or(1).max(1) };
        while let Some(&byte) = buf.get(conn.searched).filter(|_| conn.ends < lines.into()) {
            conn.searched += 1;
            conn.ends += usize::from(byte == b'\n');
        }
        if conn.searched > cx.max_frame as usize {
            return Err(Fault::too_large(Reason::FrameSize, "reply is too long"));
        }
        if conn.ends < lines.into() {
            return Ok(Step::Need(buf.len() + 1));
        }
        let len = std::mem::take(&mut conn.searched);
        conn.ends = 0;
        let outcome = if failed { Outcome::AppError } else { Outcome::Ok };
        Ok(Step::Frame(Meta::reply(len, outcome), ()))
    }

    fn answer(
        &self,
        _: &mut Conn,
        to: &Question<'_, u8>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match answer {
            Answer::Pong => out.extend_from_slice(b"PONG\n"),
            Answer::Error { text, .. } => out.extend_from_slice(format!("!{text}\n").as_bytes()),
            Answer::Direct { text } if to.tag <= 1 => {
                out.extend_from_slice(format!("{text}\n").as_bytes());
            }
            _ => return Err(Fault::malformed("cannot be said")),
        }
        Ok(())
    }

    fn accepted(&self, conn: &mut Conn, meta: &Meta, _: u8, _: &[u8]) -> Accepted {
        conn.logged_in |= meta.kind == Kind::Login;
        Accepted::Forward
    }

    fn ping(&self, _: &mut Conn, _: u64, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(b"PING\n");
        true
    }
}

fn suite(codec: Lines) -> Conformance<Lines> {
    let requests = b"LOGIN\nGET a key of forty bytes or a little more\n\n\nCOUNT 3\nPING\nGET b\n";
    let logged_in = |_: &Lines| Conn { logged_in: true, ..Conn::default() };
    Conformance::new(codec).session(logged_in).requests(requests, 5).replies(
        requests,
        b"ok\nfirst\n1\n2\n3\nPONG\n!no such key\n",
        5,
    )
}

#[test]
fn lines_keep_the_contract() {
    suite(Lines::default()).assert();
}

#[test]
fn a_forgotten_limit_is_found() {
    let codec = Lines { forgets_limit: true, ..Lines::default() };
    let rule = suite(codec).check().map_err(|failure| failure.rule);
    assert_eq!(rule, Err(Rule::MaxHead));
}

#[test]
fn replies_are_judged_by_their_questions() {
    let codec = Lines { ignores_asked: true, ..Lines::default() };
    let rule = suite(codec).check().map_err(|failure| failure.rule);
    assert_eq!(rule, Err(Rule::Sample));
}

#[test]
fn a_sample_for_another_state_is_refused_by_name() {
    let failure = Conformance::new(Lines::default()).requests(b"GET a\n", 1).check();
    let failure = failure.expect_err("the session has not logged in");
    assert_eq!(failure.rule, Rule::Sample);
    assert!(failure.to_string().contains("who are you?"), "{failure}");
}
