//! What policy reads of a frame, and what is left of a request that policy refused: attributes are
//! the same whoever asks and when, and a refused request might as well not have come.

use heptad_core::{
    Answer, Chain, Codec, Ctx, Found, Kind, Meta, Outcome, Question, Reason, Rewrite, Splice, Step,
    Unknown, Want,
};

use super::{
    Conformance, Event, Failure, From, Peer, Rule, Sample, Trace,
    chunks::equal,
    feed::{Broken, guard},
    rewrite::frames,
};

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    if sample.from == From::Server {
        return Ok(());
    }
    for event in &whole.events {
        let Event::Frame { at, meta, .. } = *event else {
            continue;
        };
        let forwarded = matches!(
            meta.kind,
            Kind::Request | Kind::Oneway | Kind::Open | Kind::Login | Kind::Control
        );
        if forwarded {
            let end = at + meta.len as usize;
            let case = Case { set, sample, at, end };
            case.lazy(cx)?;
            case.refused(cx)?;
        }
    }
    Ok(())
}

/// A header's name and value.
type Listed = (Vec<u8>, Vec<u8>);

/// The names and values of all headers.
fn listed<C: Codec>(
    codec: &C,
    conn: &C::Conn,
    meta: &Meta,
    frame: &[u8],
) -> Result<Vec<Listed>, Unknown> {
    let mut all = Vec::new();
    codec
        .headers(conn, meta, frame, &mut |name, value| all.push((name.to_vec(), value.to_vec())))?;
    Ok(all)
}

/// A request of a sample.
struct Case<'a, C: Codec> {
    set: &'a Conformance<C>,
    sample: &'a Sample,
    at: usize,
    end: usize,
}

impl<'a, C: Codec> Case<'a, C> {
    fn fail(&self, rule: Rule, detail: String) -> Failure {
        Failure::new(rule, &self.sample.bytes, self.at, detail)
    }

    fn broken(&self, (rule, why): Broken) -> Failure {
        self.fail(rule, why)
    }

    fn frame(&self) -> &'a [u8] {
        &self.sample.bytes[self.at..self.end]
    }

    /// The session when all before the frame has been accepted, and the frame decoded.
    fn decoded(&self, cx: Ctx) -> Result<(Peer<'a, C>, Meta, C::Tag), Failure> {
        let mut peer = self.set.peer(self.set.cx, self.sample)?;
        peer.feed_whole(&self.sample.bytes[..self.at])?;
        peer.cx = cx;
        match peer.step(self.frame()).map_err(|broken| self.broken(broken))? {
            Ok(Step::Frame(meta, tag)) => Ok((peer, meta, tag)),
            other => {
                let detail = format!("with {:?} it is {other:?}", cx.want);
                Err(self.fail(Rule::Lazy, detail))
            }
        }
    }

    fn lazy(&self, cx: Ctx) -> Result<(), Failure> {
        let (peer, meta, tag) = self.decoded(cx)?;
        let first = self.attributes(&peer, &meta, tag, false)?;
        let second = self.attributes(&peer, &meta, tag, true)?;
        let (peer, meta, tag) = self.decoded(cx.want(Want::EVERYTHING))?;
        let eager = self.attributes(&peer, &meta, tag, false)?;
        for (how, other) in [("asked again", &second), ("decoded with all wants", &eager)] {
            for ((name, a), (_, b)) in first.iter().zip(other) {
                let known = a != UNKNOWN && b != UNKNOWN;
                if a != b && (known || how == "asked again") {
                    let detail = format!("{name} is {a}, and {how} {b}");
                    return Err(self.fail(Rule::Lazy, detail));
                }
            }
        }
        // People who look at a frame see what rules that ask about it see.
        for name in listed(&self.set.codec, &peer.conn, &meta, self.frame()).unwrap_or_default() {
            let Ok(name) = std::str::from_utf8(&name.0) else {
                continue;
            };
            let mut scratch = Vec::new();
            let asked = guard("header", || {
                let found =
                    self.set.codec.header(&peer.conn, &meta, self.frame(), name, &mut scratch);
                found == Ok(None)
            });
            if asked.map_err(|broken| self.broken(broken))? {
                return Err(self.fail(Rule::Lazy, format!("header.{name} is listed, but absent")));
            }
        }
        let spans = [("service", meta.service), ("method", meta.method), ("key", meta.key)];
        for (name, span) in spans {
            let lazy = eager.iter().find(|(known, _)| known == name);
            if span.is_present() && lazy.is_some_and(|(_, text)| text == "absent") {
                let detail = format!("{name} is absent, but has the span {:?}", span.range());
                return Err(self.fail(Rule::Lazy, detail));
            }
        }
        Ok(())
    }

    /// Each attribute's name and value, in an order that says `backwards` or not.
    fn attributes(
        &self,
        peer: &Peer<'_, C>,
        meta: &Meta,
        tag: C::Tag,
        backwards: bool,
    ) -> Result<Vec<(String, String)>, Failure> {
        type Read<'r, C> = dyn Fn(&C, &mut Vec<u8>) -> String + 'r;
        let (conn, frame) = (&peer.conn, self.frame());
        let mut reads: Vec<(String, Box<Read<'_, C>>)> = vec![
            ("service".into(), Box::new(|c: &C, s| text(c.service(conn, meta, frame, s)))),
            ("method".into(), Box::new(|c: &C, s| text(c.method(conn, meta, frame, s)))),
            ("key".into(), Box::new(|c: &C, s| text(c.key(conn, meta, frame, s)))),
            (
                "the time-out".into(),
                Box::new(|c: &C, _| format!("{:?}", c.timeout(conn, meta, frame))),
            ),
            (
                "what is kept".into(),
                Box::new(|c: &C, s| c.keep(conn, meta, frame, s).escape_ascii().to_string()),
            ),
            (
                "the list of keys".into(),
                Box::new(|c: &C, _| {
                    let mut keys = Vec::new();
                    match c.keys(conn, meta, tag, frame, &mut |key| keys.push(key.to_vec())) {
                        Ok(()) => format!("{keys:?}"),
                        Err(_) => UNKNOWN.to_owned(),
                    }
                }),
            ),
        ];
        let listed = |c: &C, _: &mut Vec<u8>| match listed(c, conn, meta, frame) {
            Ok(all) => format!("{all:?}"),
            Err(_) => UNKNOWN.to_owned(),
        };
        reads.push(("the list of headers".into(), Box::new(listed)));
        for name in self.set.headers.iter().flatten() {
            let read = |c: &C, s: &mut Vec<u8>| text(c.header(conn, meta, frame, name, s));
            reads.push((format!("header.{name}"), Box::new(read)));
        }
        for number in 0..4 {
            let read = move |c: &C, s: &mut Vec<u8>| text(c.arg(conn, meta, frame, number, s));
            reads.push((format!("arg.{number}"), Box::new(read)));
        }
        if backwards {
            reads.reverse();
        }
        let mut scratch = Vec::new();
        let mut found = Vec::new();
        for (name, read) in reads {
            scratch.clear();
            let value = guard(&name, || read(&self.set.codec, &mut scratch));
            found.push((name, value.map_err(|broken| self.broken(broken))?));
        }
        if backwards {
            found.reverse();
        }
        Ok(found)
    }

    /// The request comes, is looked at from all sides and refused; what follows must be what it is
    /// on a session where the request has never come.
    fn refused(&self, cx: Ctx) -> Result<(), Failure> {
        let set = self.set;
        let errors = [
            (Outcome::Denied, Reason::Filter),
            (Outcome::NoRoute, Reason::None),
            (Outcome::Overloaded, Reason::Queue),
        ];
        let answers = if set.spoils { &[][..] } else { &errors };
        let (mut peer, meta, tag) = self.decoded(cx)?;
        self.attributes(&peer, &meta, tag, false)?;
        guard("flavour", || set.codec.flavour(&peer.conn, &meta)).map_err(|b| self.broken(b))?;
        for &(outcome, reason) in answers {
            let mut scratch = Vec::new();
            let answer = Answer::Error { outcome, reason, text: "not today" };
            guard("answer", || {
                let kept = set.codec.keep(&peer.conn, &meta, self.frame(), &mut scratch).to_vec();
                let question = Question::new(&meta, tag).kept(&kept);
                // Whether it can be said is another rule.
                let _ = set.codec.answer(&mut peer.conn, &question, &answer, &mut Vec::new());
            })
            .map_err(|broken| self.broken(broken))?;
        }
        let mut fresh = self.set.peer(self.set.cx, self.sample)?;
        fresh.feed_whole(&self.sample.bytes[..self.at])?;
        fresh.cx = cx;
        let refused = |failure: Failure| {
            let detail = format!("after the refusal of {meta:?}, {}", failure.detail);
            self.fail(Rule::Refused, detail).within("the rest of the sample, and all of it again")
        };
        let rest = [&self.sample.bytes[self.end..], &self.sample.bytes].concat();
        let names = (set.codec.principal(&peer.conn), set.codec.principal(&fresh.conn));
        if names.0 != names.1 {
            return Err(self.fail(Rule::Refused, format!("the principal is {names:?}")));
        }
        let expected = fresh.feed_whole(&rest)?;
        let found = peer.feed_whole(&rest)?;
        equal(&rest, &expected, &found).map_err(refused)?;
        for ((place, meta, tag), (_, other, same)) in frames(&expected).zip(frames(&found)) {
            let Some(frame) = rest.get(place..place + meta.len as usize) else {
                continue;
            };
            let was = (set.codec.flavour(&fresh.conn, &meta), sent(set, &fresh, &meta, tag, frame));
            let is = (set.codec.flavour(&peer.conn, &other), sent(set, &peer, &other, same, frame));
            if was != is {
                let detail = format!("{meta:?} is sent as\n    {is:?}\n  and not as\n    {was:?}");
                return Err(refused(Failure::new(Rule::Refused, &rest, place, detail)));
            }
        }
        Ok(())
    }
}

/// How a frame of this session would be written to a link.
fn sent<C: Codec>(
    set: &Conformance<C>,
    peer: &Peer<'_, C>,
    meta: &Meta,
    tag: C::Tag,
    frame: &[u8],
) -> Option<Vec<u8>> {
    let link = (set.link)(&set.codec);
    let mut chain = Chain::default();
    let written = {
        let mut splice = Splice::new(frame, None, &mut chain);
        let edit = Rewrite::new(set.by_id().map(|_| 1), &[]);
        set.codec.rewrite(&peer.conn, &link, meta, tag, &edit, &mut splice)
    };
    written.ok().map(|()| chain.to_vec())
}

const UNKNOWN: &str = "unknown";

fn text(found: Found<'_>) -> String {
    match found {
        Ok(Some(bytes)) => format!("'{}'", bytes.escape_ascii()),
        Ok(None) => "absent".to_owned(),
        Err(_) => UNKNOWN.to_owned(),
    }
}
