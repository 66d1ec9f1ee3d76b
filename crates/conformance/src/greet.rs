//! The preparation of a link: what the codec says to an endpoint is understood by its own decoder
//! for the other side, and the conversation comes to an end.

use heptad_core::{Answer, Codec, Ctx, Greet, Question, Step};

use super::{
    Conformance, Event, Failure, From, Peer, Rule,
    feed::{Broken, guard},
};

/// A link that has something to say first, and what an endpoint answers to it.
pub(super) struct Greeting<C: Codec> {
    pub(super) open: super::Opener<C>,
    pub(super) heard: Vec<u8>,
}

/// Longest conversation, frames of the endpoint.
const ROUNDS: usize = 64;

pub(super) fn check<C: Codec>(set: &Conformance<C>, cx: Ctx) -> Result<(), Failure> {
    unrehearsed(set, cx)?;
    for (number, greeting) in set.greetings.iter().enumerate() {
        let name = format!("greeting {number}");
        rehearsed(set, cx, greeting).map_err(|failure| failure.within(name))?;
    }
    Ok(())
}

/// The link of all samples, with an endpoint that finds everything right in the fewest words.
fn unrehearsed<C: Codec>(set: &Conformance<C>, cx: Ctx) -> Result<(), Failure> {
    let mut link = set.end(cx, From::Server);
    let mut server = set.end(cx, From::Client);
    let (mut state, mut said) = said(set, &mut link, None)?;
    for _ in 0..ROUNDS {
        let asked = understood(set, cx, &said)?;
        if state == Some(Greet::Ready) || state.is_none() {
            return Ok(()); // A codec that wants more than the fewest words may give up.
        }
        let Some((meta, tag)) = asked.first().copied() else {
            return Err(Failure::new(Rule::Greet, &said, 0, "it waits for an answer to nothing"));
        };
        let mut reply = Vec::new();
        let written = guard("answer", || {
            let question = Question::new(&meta, tag);
            set.codec.answer(&mut server.conn, &question, &Answer::Direct { text: "" }, &mut reply)
        });
        if written.map_err(|broken| fail(&said, broken))?.is_err() {
            return Ok(()); // It has no such words.
        }
        match link.step(&reply).map_err(|broken| fail(&reply, broken))? {
            Ok(Step::Frame(meta, _)) => {
                (state, said) = self::said(set, &mut link, Some((&meta, &reply)))?;
            }
            _ => return Ok(()),
        }
    }
    Err(Failure::new(Rule::Greet, &said, 0, format!("no end after {ROUNDS} answers")))
}

fn rehearsed<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    greeting: &Greeting<C>,
) -> Result<(), Failure> {
    let heard = &greeting.heard;
    let mut link = Peer { conn: (greeting.open)(&set.codec), ..set.end(cx, From::Server) };
    let (mut state, out) = said(set, &mut link, None)?;
    understood(set, cx, &out)?;
    let mut at = 0;
    while let Some(offered) = heard.get(at..).filter(|rest| !rest.is_empty()) {
        let bad = |detail: String| Err(Failure::new(Rule::Greet, heard, at, detail));
        if state != Some(Greet::Ready) && state != Some(Greet::Wait) {
            return bad("it gave up before this".to_owned());
        }
        if state == Some(Greet::Ready) {
            return bad("it was ready before this".to_owned());
        }
        match link.step(offered).map_err(|broken| fail(heard, broken))? {
            Ok(Step::Skip(n)) => at += n,
            Ok(Step::Frame(meta, _)) if offered.len() >= meta.len as usize => {
                let frame = &offered[..meta.len as usize];
                let (next, out) = said(set, &mut link, Some((&meta, frame)))?;
                understood(set, cx, &out)?;
                state = next;
                at += frame.len();
            }
            other => return bad(format!("not a frame: {other:?}")),
        }
    }
    if state == Some(Greet::Ready) {
        Ok(())
    } else {
        Err(Failure::new(Rule::Greet, heard, at, format!("in the end it is {state:?}")))
    }
}

/// Has the codec say its part; `None`: it gives up.
fn said<C: Codec>(
    set: &Conformance<C>,
    link: &mut Peer<'_, C>,
    heard: Option<(&heptad_core::Meta, &[u8])>,
) -> Result<(Option<Greet>, Vec<u8>), Failure> {
    let mut out = Vec::new();
    let frame = heard.map_or(&[][..], |(_, frame)| frame);
    let state = guard("greet", || set.codec.greet(&mut link.conn, heard, &mut out));
    Ok((state.map_err(|broken| fail(frame, broken))?.ok(), out))
}

/// The frames that a server finds in what was said.
fn understood<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    out: &[u8],
) -> Result<Vec<(heptad_core::Meta, C::Tag)>, Failure> {
    let trace = set.end(cx, From::Client).feed_whole(out)?;
    let frames: Vec<_> = trace
        .events
        .iter()
        .filter_map(|event| match *event {
            Event::Frame { meta, tag, .. } => Some((meta, tag)),
            // Credentials that this session does not know are understood all the same.
            Event::Reject { meta, .. } => Some((meta, C::Tag::default())),
            Event::Fault { .. } => None,
        })
        .collect();
    if frames.len() == trace.events.len() && trace.end == out.len() {
        Ok(frames)
    } else {
        Err(Failure::new(Rule::Greet, out, trace.end, format!("not whole frames: {trace:?}")))
    }
}

fn fail(bytes: &[u8], (rule, why): Broken) -> Failure {
    Failure::new(rule, bytes, 0, why)
}
