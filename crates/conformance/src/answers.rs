//! Answers of Heptad's own: what the codec writes, a client of the protocol must understand. The
//! codec's own decoder for the other side stands for that client.

use heptad_core::{Answer, Codec, Ctx, Fault, Kind, Meta, Outcome, Question, Reason};

use super::{
    Conformance, Event, Failure, From, Peer, Rule, Sample, Trace, awaits_reply,
    feed::{Broken, guard},
};

/// Texts an answer must be able to carry: one line, no control characters, up to 512 bytes.
fn texts() -> [String; 4] {
    [
        "no route to 'reviews'".to_owned(),
        String::new(),
        "é".repeat(256),
        r#"100% "quoted" \n +OK -ERR $5 *1"#.to_owned(),
    ]
}

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    for event in &whole.events {
        let Event::Frame { at, meta, tag, .. } = *event else {
            continue;
        };
        let bytes = &sample.bytes[..at + meta.len as usize];
        let name = format!("the answer to {:?} with {tag:?}", meta.kind);
        let asked = Asked { set, cx, sample, bytes, at, meta, tag };
        if meta.kind == Kind::Ping {
            asked.pong().map_err(|failure| failure.within(name))?;
        } else if sample.from == From::Client && awaits_reply(meta.kind) {
            asked.errors().map_err(|failure| failure.within(&name))?;
            asked.direct(&texts()).map_err(|failure| failure.within(&name))?;
            asked.abandon().map_err(|failure| failure.within(&name))?;
        }
    }
    Ok(())
}

/// One answer to each frame that is to be answered, chosen by a number.
pub(super) fn some<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
    choice: u8,
) -> Result<(), Failure> {
    let errors: Vec<Outcome> = Outcome::ALL
        .iter()
        .copied()
        .filter(|o| !matches!(o, Outcome::Ok | Outcome::AppError))
        .collect();
    // Each is answered on a connection that has read all before it.
    for (number, event) in super::fuzz::spread(&whole.events).enumerate() {
        let Event::Frame { at, meta, tag, .. } = *event else {
            continue;
        };
        let Some(bytes) = sample.bytes.get(..at + meta.len as usize) else {
            continue; // Not all there.
        };
        let asked = Asked { set, cx, sample, bytes, at, meta, tag };
        if meta.kind == Kind::Ping {
            asked.pong()?;
        } else if sample.from == From::Client && awaits_reply(meta.kind) {
            let choice = usize::from(choice >> 3) + number;
            let outcome = errors[choice % errors.len()];
            let reason = Reason::ALL[choice * 7 % Reason::ALL.len()];
            let texts = texts();
            let text = &texts[choice % texts.len()];
            let answer = Answer::Error { outcome, reason, text };
            let out = asked.answer(Rule::Answer, &answer)?.unwrap_or_default();
            if !(meta.quiet && out.is_empty()) {
                one_reply(set, asked.client()?, Rule::Answer, (&meta, tag), &out)
                    .map_err(|failure| failure.within(format!("{answer:?}")))?;
            }
            asked.direct(&texts[choice % texts.len()..][..1])?;
            asked.abandon()?;
            // Nobody asks for it here, and nothing comes of it but no panic.
            asked.answer(Rule::Direct, &Answer::Local)?.ok();
        } else if meta.kind == Kind::Oneway {
            // Its sender does not listen: whether the codec knows is its own affair.
            let reason = Reason::None;
            let answer = Answer::Error { outcome: Outcome::Denied, reason, text: "no" };
            asked.answer(Rule::Direct, &answer)?.ok();
        }
    }
    Ok(())
}

/// What does not depend on a sample: heartbeats and farewells.
pub(super) fn connection<C: Codec>(set: &Conformance<C>, cx: Ctx) -> Result<(), Failure> {
    ping(set, cx)?;
    drain(set, cx)
}

fn ping<C: Codec>(set: &Conformance<C>, cx: Ctx) -> Result<(), Failure> {
    let id = 0x5a;
    let mut out = Vec::new();
    let codec = &set.codec;
    let broken = |(rule, why): Broken| Failure::new(rule, &[], 0, why);
    let mut link = (set.link)(codec);
    if guard("ping", || codec.ping(&mut link, id, &mut out)).map_err(broken)? {
        let mut session = set.end(cx, From::Client);
        let trace = session.feed_whole(&out)?;
        if let [Event::Reject { fault, .. }] = trace.events.as_slice()
            && fault.outcome == Outcome::Unauthenticated
        {
            return Ok(()); // Understood, by a session that nobody has logged in to.
        }
        let (meta, tag) = only(&trace, &out, Rule::Ping)?;
        let right = matches!(meta.kind, Kind::Ping | Kind::Request | Kind::Control);
        if !right || (set.by_id().is_some() && meta.id != id) {
            return Err(Failure::new(Rule::Ping, &out, 0, format!("with id {id}: {meta:?}")));
        }
        if meta.kind == Kind::Ping {
            let pong = written(set, &mut session.conn, (&meta, &out), tag, &Answer::Pong)?;
            let pong = pong.map_err(|fault| Failure::new(Rule::Pong, &out, 0, fault.text))?;
            heartbeat(set, cx, From::Server, &meta, tag, &pong)?;
        }
    } else if !out.is_empty() {
        return Err(Failure::new(Rule::Ping, &out, 0, "`ping` said `false` and wrote this"));
    }
    Ok(())
}

fn drain<C: Codec>(set: &Conformance<C>, cx: Ctx) -> Result<(), Failure> {
    let codec = &set.codec;
    let mut out = Vec::new();
    let broken = |(rule, why): Broken| Failure::new(rule, &[], 0, why);
    let mut session = (set.session)(codec);
    if guard("drain", || codec.drain(&mut session, &mut out)).map_err(broken)? {
        let trace = set.end(cx, From::Server).feed_whole(&out)?;
        let (meta, _) = only(&trace, &out, Rule::Drain)?;
        if meta.kind != Kind::GoAway {
            return Err(Failure::new(Rule::Drain, &out, 0, format!("{meta:?}")));
        }
    } else if !out.is_empty() {
        return Err(Failure::new(Rule::Drain, &out, 0, "`drain` said `false` and wrote this"));
    }
    Ok(())
}

/// Decodes `out` as the client of the request would: exactly one reply.
pub(super) fn one_reply<C: Codec>(
    set: &Conformance<C>,
    mut link: Peer<'_, C>,
    rule: Rule,
    (to, tag): (&Meta, C::Tag),
    out: &[u8],
) -> Result<Meta, Failure> {
    link.asked.push(to.id, tag);
    let trace = link.feed_whole(out)?;
    let (meta, _) = only(&trace, out, rule)?;
    let ends = match meta.kind {
        Kind::Reply => true,
        Kind::End | Kind::Reset => to.kind == Kind::Open,
        _ => false,
    };
    let right_id = set.by_id().is_none() || meta.id == to.id;
    let ok = meta.outcome == Outcome::Ok;
    if ends && right_id && ok == (rule == Rule::Direct) {
        Ok(meta)
    } else {
        Err(Failure::new(rule, out, 0, format!("to {to:?}\n  came {meta:?}")))
    }
}

/// Whether an error may be read as that. Few protocols have a word for each outcome: then it is the
/// general error of the protocol, or one with which the client does the same (ask better, come back
/// later, try elsewhere).
fn is_kin(said: Outcome, read: Outcome) -> bool {
    use Outcome::*;
    const FAMILIES: [&[Outcome]; 3] = [
        &[BadRequest, TooLarge, Unauthenticated, Denied, NoRoute],
        &[Limited, Overloaded, Draining],
        &[NoEndpoint, ConnectFailed, Reset, Timeout, Cancelled, Draining, FaultInjected],
    ];
    said == read
        || matches!(read, ProtocolError | AppError)
        || FAMILIES.iter().any(|family| family.contains(&said) && family.contains(&read))
}

fn only<T: Copy + std::fmt::Debug>(
    trace: &Trace<T>,
    out: &[u8],
    rule: Rule,
) -> Result<(Meta, T), Failure> {
    match *trace.events.as_slice() {
        [Event::Frame { meta, tag, .. }] if trace.end == out.len() => Ok((meta, tag)),
        _ => Err(Failure::new(rule, out, trace.end, format!("not one whole frame: {trace:?}"))),
    }
}

fn heartbeat<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    from: From,
    to: &Meta,
    tag: C::Tag,
    out: &[u8],
) -> Result<(), Failure> {
    let mut peer: Peer<'_, C> = set.end(cx, from);
    peer.asked.push(to.id, tag);
    let trace = peer.feed_whole(out)?;
    let (meta, _) = only(&trace, out, Rule::Pong)?;
    let right_id = set.by_id().is_none() || meta.id == to.id;
    if matches!(meta.kind, Kind::Pong | Kind::Reply) && right_id && meta.outcome == Outcome::Ok {
        Ok(())
    } else {
        Err(Failure::new(Rule::Pong, out, 0, format!("to {to:?}\n  came {meta:?}")))
    }
}

/// Has the codec write an answer behind bytes that are already there, which must stay.
fn written<C: Codec>(
    set: &Conformance<C>,
    conn: &mut C::Conn,
    (meta, frame): (&Meta, &[u8]),
    tag: C::Tag,
    answer: &Answer<'_>,
) -> Result<Result<Vec<u8>, Fault>, Failure> {
    const BEFORE: &[u8] = b"before";
    let mut scratch = Vec::new();
    let kept = guard("keep", || {
        let kept = set.codec.keep(conn, meta, frame, &mut scratch);
        kept.get(..Question::<C::Tag>::KEPT).unwrap_or(kept).to_vec()
    });
    let kept = kept.map_err(|(rule, why)| Failure::new(rule, &[], 0, why))?;
    let question = Question::new(meta, tag).kept(&kept);
    let mut out = BEFORE.to_vec();
    let result = guard("answer", || set.codec.answer(conn, &question, answer, &mut out));
    let result = result.map_err(|(rule, why)| Failure::new(rule, &[], 0, why))?;
    match out.strip_prefix(BEFORE) {
        Some(rest) => Ok(result.map(|()| rest.to_vec())),
        None => {
            let detail = format!("{answer:?} changed what was in the buffer already");
            Err(Failure::new(Rule::Answer, &out, 0, detail))
        }
    }
}

/// A frame of a sample that is to be answered.
struct Asked<'a, C: Codec> {
    set: &'a Conformance<C>,
    cx: Ctx,
    sample: &'a Sample,
    /// Up to the end of the frame.
    bytes: &'a [u8],
    at: usize,
    meta: Meta,
    tag: C::Tag,
}

impl<C: Codec> Asked<'_, C> {
    /// The answer, with the connection as it is when the frame has come.
    fn answer(&self, rule: Rule, answer: &Answer<'_>) -> Result<Result<Vec<u8>, Fault>, Failure> {
        let mut peer = self.set.peer(self.cx, self.sample)?;
        peer.feed_whole(self.bytes)?;
        let written = written(
            self.set,
            &mut peer.conn,
            (&self.meta, &self.bytes[self.at..]),
            self.tag,
            answer,
        )
        .map_err(|failure| failure.within(format!("{answer:?}")))?;
        match written {
            Err(fault) if rule != Rule::Direct => {
                let detail = format!("{answer:?} failed: {fault:?}");
                Err(Failure::new(rule, self.bytes, self.at, detail))
            }
            written => Ok(written),
        }
    }

    /// Who reads the answer.
    fn client(&self) -> Result<Peer<'_, C>, Failure> {
        let mut session = self.set.peer(self.cx, self.sample)?;
        session.feed_whole(self.bytes)?;
        Ok(self.set.client(self.cx, &session.conn, &self.meta))
    }

    fn errors(&self) -> Result<(), Failure> {
        let texts = texts();
        let outcomes =
            Outcome::ALL.iter().filter(|o| !matches!(o, Outcome::Ok | Outcome::AppError));
        let plain = outcomes.map(|&outcome| (outcome, Reason::None));
        let reasons = Reason::ALL.iter().map(|&reason| (Outcome::ProtocolError, reason));
        for (i, (outcome, reason)) in plain.chain(reasons).enumerate() {
            let text = &texts[i % texts.len()];
            let answer = Answer::Error { outcome, reason, text };
            let out = self.answer(Rule::Answer, &answer)?;
            let out = out.unwrap_or_default();
            if self.meta.quiet && out.is_empty() {
                continue; // Its client does not want to hear of it.
            }
            let read =
                one_reply(self.set, self.client()?, Rule::Answer, (&self.meta, self.tag), &out)
                    .map_err(|failure| failure.within(format!("{answer:?}")))?;
            // Some reasons have words of their own.
            if reason == Reason::None && !is_kin(outcome, read.outcome) {
                let detail = format!("{answer:?}\n  is read as {:?}", read.outcome);
                return Err(Failure::new(Rule::Status, &out, 0, detail));
            }
        }
        Ok(())
    }

    fn direct(&self, texts: &[String]) -> Result<(), Failure> {
        for text in texts {
            let answer = Answer::Direct { text };
            match self.answer(Rule::Direct, &answer)? {
                Err(_) => {} // The protocol cannot say it.
                Ok(out) if self.meta.quiet && out.is_empty() => {}
                Ok(out) => {
                    one_reply(self.set, self.client()?, Rule::Direct, (&self.meta, self.tag), &out)
                        .map_err(|failure| failure.within(format!("{answer:?}")))?;
                }
            }
        }
        Ok(())
    }

    fn pong(&self) -> Result<(), Failure> {
        let out = self.answer(Rule::Pong, &Answer::Pong)?.unwrap_or_default();
        let back = match self.sample.from {
            From::Client => From::Server,
            From::Server => From::Client,
        };
        heartbeat(self.set, self.cx, back, &self.meta, self.tag, &out)
    }

    fn abandon(&self) -> Result<(), Failure> {
        let codec = &self.set.codec;
        let mut out = Vec::new();
        let mut link = (self.set.link)(codec);
        let said = guard("abandon", || codec.abandon(&mut link, self.meta.id, self.tag, &mut out));
        let said = said.map_err(|(rule, why)| Failure::new(rule, self.bytes, self.at, why))?;
        if said == out.is_empty() {
            let detail = format!("`abandon` said `{said}` and wrote {} bytes", out.len());
            return Err(Failure::new(Rule::Abandon, &out, 0, detail));
        }
        let trace = self.set.end(self.cx, From::Client).feed_whole(&out)?;
        let frames = trace.events.iter().all(|event| matches!(event, Event::Frame { .. }));
        if frames && trace.end == out.len() {
            Ok(())
        } else {
            Err(Failure::new(Rule::Abandon, &out, trace.end, format!("{trace:?}")))
        }
    }
}
