//! Fan-out: a request for several endpoints is written for each of them, and what comes back is
//! merged into one reply. It is tried on every request that says of itself that it can be.

use heptad_core::{
    Bind, Chain, Codec, Ctx, FanOut, Kind, Meta, Outcome, Part, PartReply, Question, Reason,
    Rewrite, Splice,
};

use super::{
    Conformance, Event, Failure, From, Peer, Rule, Sample, Trace, answers,
    feed::{Broken, guard},
    fuzz::spread,
    rewrite::frames,
};

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let all: Vec<_> =
        frames(whole).filter(|(place, meta, _)| place + meta.len as usize <= whole.end).collect();
    for &(at, meta, tag) in spread(&all) {
        let frame = &sample.bytes[at..at + meta.len as usize];
        let mut conn = set.peer(cx, sample)?;
        conn.feed_whole(&sample.bytes[..at])?;
        conn.step(frame).map_err(|broken| fail(frame, broken))?.ok();
        let before = &sample.bytes[..at];
        let one = One { set, cx, sample, before, frame, meta, tag };
        if sample.from == From::Client {
            one.prelude(&mut conn)?;
        }
        match (sample.from, meta.kind, meta.fan_out) {
            (From::Client, Kind::Request, FanOut::Split) => {
                one.split(&conn)?;
                one.joined(&mut conn)?;
            }
            (From::Client, Kind::Request, FanOut::All) => {
                one.rewritten(&conn)?;
                one.joined(&mut conn)?;
            }
            (From::Client, Kind::Request, FanOut::Index) => {
                guard("index", || set.codec.index(&meta, tag, frame, 3))
                    .map_err(|broken| fail(frame, broken))?;
                one.rewritten(&conn)?;
            }
            (From::Server, Kind::Reply, _) => one.rewritten(&conn)?,
            _ => {}
        }
    }
    Ok(())
}

fn fail(bytes: &[u8], (rule, why): Broken) -> Failure {
    Failure::new(rule, bytes, 0, why)
}

struct One<'a, C: Codec> {
    set: &'a Conformance<C>,
    cx: Ctx,
    sample: &'a Sample,
    /// What came before it on its connection.
    before: &'a [u8],
    frame: &'a [u8],
    meta: Meta,
    tag: C::Tag,
}

impl<C: Codec> One<'_, C> {
    fn keys(
        &self,
        conn: &Peer<'_, C>,
        meta: &Meta,
        tag: C::Tag,
        frame: &[u8],
    ) -> Option<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        let known = self.set.codec.keys(&conn.conn, meta, tag, frame, &mut |key| {
            keys.push(key.to_vec());
        });
        known.ok().map(|()| keys)
    }

    /// What goes ahead of it on a link of the session's own is understood there.
    fn prelude(&self, conn: &mut Peer<'_, C>) -> Result<(), Failure> {
        if self.meta.bind == Bind::Shared {
            return Ok(());
        }
        let mut link = (self.set.link)(&self.set.codec);
        let mut out = Vec::new();
        guard("prelude", || {
            self.set.codec.prelude(&mut conn.conn, &mut link, &self.meta, self.tag, &mut out)
        })
        .map_err(|broken| fail(self.frame, broken))?;
        let trace = self.set.end(self.cx, From::Client).feed_whole(&out)?;
        let fault = trace.events.iter().any(|event| matches!(event, Event::Fault { .. }));
        if !fault && trace.end == out.len() {
            return Ok(());
        }
        let detail = format!("what goes ahead of {:?}: {trace:?}", self.meta);
        Err(Failure::new(Rule::Greet, &out, trace.end, detail))
    }

    /// Who receives a part, in the state that the request was read in: a session that must log in
    /// first has done so.
    fn receiver(&self, from: From) -> Result<Peer<'_, C>, Failure> {
        let mut peer = self.set.end(self.cx, from);
        if from == From::Client {
            peer.feed_whole(self.before)?;
        }
        Ok(peer)
    }

    /// Every second key, and the others: each part has the keys that were chosen, in their order.
    fn split(&self, conn: &Peer<'_, C>) -> Result<(), Failure> {
        let Some(keys) = self.keys(conn, &self.meta, self.tag, self.frame) else {
            return Ok(());
        };
        for index in 0..2 {
            let picks: Vec<u32> = (index..keys.len()).step_by(2).map(|n| n as u32).collect();
            if picks.is_empty() {
                continue;
            }
            let mut out = Vec::new();
            let part = Part::new(index, 2, &picks);
            let done = guard("split", || {
                self.set.codec.split(&self.meta, self.tag, self.frame, &part, &mut out)
            });
            if done.map_err(|broken| fail(self.frame, broken))?.is_err() {
                continue; // It is answered with the error.
            }
            let mut peer = self.receiver(From::Client)?;
            peer.cx = peer.cx.max_head(u32::MAX).max_frame(u32::MAX);
            let bad = |detail| Err(Failure::new(Rule::Parts, &out, 0, detail));
            let trace = peer.feed_whole(&out)?;
            let [Event::Frame { meta, tag, .. }] = *trace.events.as_slice() else {
                return bad(format!("part {index} is not one request: {trace:?}"));
            };
            let chosen: Vec<_> = keys.iter().skip(index).step_by(2).cloned().collect();
            let found = self.keys(&peer, &meta, tag, &out);
            if found.as_ref() != Some(&chosen) || trace.end != out.len() {
                return bad(format!("part {index} has the keys {found:?} and not {chosen:?}"));
            }
        }
        Ok(())
    }

    /// Written for the second of three endpoints, or come from there.
    fn rewritten(&self, conn: &Peer<'_, C>) -> Result<(), Failure> {
        let to = match self.sample.from {
            From::Client => (self.set.link)(&self.set.codec),
            From::Server => (self.set.session)(&self.set.codec),
        };
        let mut chain = Chain::default();
        let edit = Rewrite::new(self.set.by_id().map(|_| self.meta.id), &[]);
        let edit = edit.part(Some(Part::new(1, 3, &[])));
        let done = guard("rewrite", || {
            let mut splice = Splice::new(self.frame, None, &mut chain);
            self.set.codec.rewrite(&conn.conn, &to, &self.meta, self.tag, &edit, &mut splice)
        });
        if done.map_err(|broken| fail(self.frame, broken))?.is_err() {
            return Ok(());
        }
        let out = chain.to_vec();
        let mut peer = self.receiver(self.sample.from)?;
        peer.cx = peer.cx.max_head(u32::MAX).max_frame(u32::MAX);
        peer.asked.push(self.meta.id, self.tag);
        let trace = peer.feed_whole(&out)?;
        match trace.events.as_slice() {
            [Event::Frame { .. }] if trace.end == out.len() => Ok(()),
            _ => {
                let detail = format!("a part is not one frame: {trace:?}");
                Err(Failure::new(Rule::Parts, &out, 0, detail))
            }
        }
    }

    /// Two endpoints that failed make one reply that says so.
    fn joined(&self, conn: &mut Peer<'_, C>) -> Result<(), Failure> {
        let picks: [&[u32]; 2] = [&[0], &[1]];
        let failed = Err((Outcome::Timeout, Reason::Request, "too late"));
        let parts: Vec<_> =
            (0..2).map(|index| PartReply::new(Part::new(index, 2, picks[index]), failed)).collect();
        let question = Question::new(&self.meta, self.tag);
        let mut out = Vec::new();
        let done =
            guard("join", || self.set.codec.join(&mut conn.conn, &question, &parts, &mut out));
        match done.map_err(|broken| fail(self.frame, broken))? {
            Ok(Outcome::Ok) => {
                let detail = "two parts that failed are joined to a success".to_owned();
                Err(Failure::new(Rule::Parts, self.frame, 0, detail))
            }
            Ok(_) if !(self.meta.quiet && out.is_empty()) => {
                let client = self.set.client(self.cx, &conn.conn, &self.meta);
                let to = (&self.meta, self.tag);
                answers::one_reply(self.set, client, Rule::Parts, to, &out).map(drop)
            }
            _ => Ok(()), // Nothing is said, or an error in its place.
        }
    }
}
