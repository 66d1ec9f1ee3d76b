//! Rewriting: decoded again, a frame says the same as before, but for what was to be changed.

use heptad_core::{
    Chain, Codec, Ctx, Fault, Found, HeaderEdit, Kind, Meta, Outcome, Rewrite, Splice,
};

use super::{Conformance, Event, Failure, From, Peer, Rule, Sample, Trace, feed::guard};

/// A header that no sample has.
const NEW: &str = "x-heptad-check";

pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    ids(set, cx, sample, &sample.bytes, whole, Demand::Full)?;
    if let Some(names) = &set.headers {
        for (place, meta, tag) in frames(whole) {
            if matches!(meta.kind, Kind::Request | Kind::Oneway | Kind::Open) {
                let frame = Frame::of(set, cx, sample, &sample.bytes, place, meta, tag);
                headers(&frame, names)?;
            }
        }
    }
    Ok(())
}

/// How much is expected of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// It works, and the way back leads to the same bytes.
    Full,
    /// Frames of damaged bytes may be refused, and change their spelling.
    Gentle,
}

/// Every whole frame of `bytes` with other ids.
pub(super) fn ids<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    bytes: &[u8],
    whole: &Trace<C::Tag>,
    demand: Demand,
) -> Result<(), Failure> {
    let all: Vec<_> = frames(whole).collect();
    let all: Vec<_> = match demand {
        Demand::Gentle => super::fuzz::spread(&all).copied().collect(),
        Demand::Full => all,
    };
    for (place, meta, tag) in all {
        if place + meta.len as usize > whole.end
            || matches!(meta.kind, Kind::Ping | Kind::Pong | Kind::GoAway)
        {
            continue; // Never forwarded, or not all there.
        }
        let frame = Frame::of(set, cx, sample, bytes, place, meta, tag);
        if set.recodes && meta.kind == Kind::Login {
            frame.login()?;
            continue;
        }
        let new_ids = match set.by_id() {
            None => vec![None],
            Some(bits) => {
                let most = u64::MAX >> (64 - bits.clamp(1, 64));
                vec![Some(1), Some(most), Some(0x5a5a_5a5a_5a5a_5a5a & most)]
            }
        };
        for id in new_ids {
            if demand == Demand::Gentle && frame.try_spliced(id, &[])?.is_err() {
                continue;
            }
            let (new, new_meta) = frame.rewritten(id, &[])?;
            if demand == Demand::Full && !set.recodes {
                let old_id = id.map(|_| meta.id);
                let peer = Frame::of(set, cx, sample, &new, 0, new_meta, tag);
                let again = peer.spliced(old_id, &[])?;
                let expected = if id.is_some() { frame.bytes() } else { &new };
                if again != expected {
                    let detail = format!("id {} -> {id:?} -> {old_id:?}: {again:?}", meta.id);
                    return Err(Failure::new(Rule::RewriteBack, expected, 0, detail));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn frames<T: Copy>(trace: &Trace<T>) -> impl Iterator<Item = (usize, Meta, T)> {
    trace.events.iter().filter_map(|event| match *event {
        Event::Frame { at, meta, tag, .. } => Some((at, meta, tag)),
        _ => None,
    })
}

fn headers<C: Codec>(frame: &Frame<'_, C>, names: &[String]) -> Result<(), Failure> {
    let set = |value: &str| HeaderEdit::Set { name: NEW.into(), value: value.into() };
    let add = |value: &str| HeaderEdit::Add { name: NEW.into(), value: value.into() };
    let remove = || HeaderEdit::Remove { name: NEW.into() };
    let long = "v".repeat(300);
    let cases: [(Vec<HeaderEdit>, Option<&str>); 9] = [
        (vec![set("one")], Some("one")),
        (vec![add("one")], Some("one")),
        (vec![set("")], Some("")),
        (vec![set(&long)], Some(&long)),
        (vec![remove()], None),
        (vec![set("one"), set("two")], Some("two")),
        (vec![add("one"), set("two")], Some("two")),
        (vec![set("one"), remove()], None),
        (vec![remove(), add("two")], Some("two")),
    ];
    for (edits, expected) in &cases {
        let (new, meta) = frame.rewritten(None, edits)?;
        frame.sees(&new, &meta, NEW, expected.map(str::as_bytes), edits)?;
        for name in names {
            let old = frame.header(&frame.meta, frame.bytes(), name)?;
            frame.sees(&new, &meta, name, old.as_deref(), edits)?;
        }
        // What an edit has written, the next hop's edit finds.
        let next = Frame { bytes: &new, place: 0, meta, ..*frame };
        for (edits, expected) in
            [(vec![remove()], None::<&str>), (vec![set("three")], Some("three"))]
        {
            let (newer, meta) = next.rewritten(None, &edits)?;
            frame.sees(&newer, &meta, NEW, expected.map(str::as_bytes), &edits)?;
        }
    }
    for name in names {
        let edits = [HeaderEdit::Set { name: name.as_str().into(), value: "other".into() }];
        let (new, meta) = frame.rewritten(None, &edits)?;
        frame.sees(&new, &meta, name, Some(b"other"), &edits)?;
        let edits = [HeaderEdit::Remove { name: name.as_str().into() }];
        let (new, meta) = frame.rewritten(None, &edits)?;
        frame.sees(&new, &meta, name, None, &edits)?;
    }
    Ok(())
}

/// Edits of each frame, if the codec makes them at all; where there are headers, they are seen.
pub(super) fn some_headers<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let names = set.headers.as_deref().unwrap_or_default();
    let to = |name: &str, value: &str| HeaderEdit::Set { name: name.into(), value: value.into() };
    let all: Vec<_> = frames(whole).collect();
    for (number, &(place, meta, tag)) in super::fuzz::spread(&all).enumerate() {
        let edited = matches!(meta.kind, Kind::Request | Kind::Oneway | Kind::Open | Kind::Reply);
        if !edited || place + meta.len as usize > whole.end {
            continue;
        }
        let frame = Frame::of(set, cx, sample, &sample.bytes, place, meta, tag);
        // Not every dialect of a protocol has headers.
        let has = sample.from == From::Client
            && names
                .iter()
                .any(|name| matches!(frame.header(&meta, frame.bytes(), name), Ok(Some(_))));
        let long = "é𝄞\n\"".repeat(1 << (number * 3 % 10));
        let mut edits = vec![to(NEW, &long)];
        if let Some(name) = names.get(number % names.len().max(1)) {
            edits.push(match number % 3 {
                0 => HeaderEdit::Remove { name: name.as_str().into() },
                1 => HeaderEdit::Add { name: name.as_str().into(), value: "more".into() },
                _ => to(name, "other"),
            });
        }
        let only_remove = [HeaderEdit::Remove { name: NEW.into() }];
        for edits in [&edits[..], &only_remove] {
            if frame.try_spliced(None, edits)?.is_err() {
                continue;
            }
            let new = frame.spliced(None, edits)?;
            let mut peer = frame.state(&[], None)?;
            let trace = peer.feed_whole(&new)?;
            let [Event::Frame { meta, .. }] = *trace.events.as_slice() else {
                let detail = format!("{edits:?}: not one whole frame: {trace:?}");
                return Err(Failure::new(Rule::RewriteKeeps, &new, 0, detail));
            };
            if has {
                let expected =
                    (edits.len() > 1 || edits != &only_remove[..]).then_some(long.as_bytes());
                frame.sees(&new, &meta, NEW, expected, edits)?;
            }
        }
    }
    Ok(())
}

/// A frame that can be rewritten, and what stood in front of it on its connection.
pub(super) struct Frame<'a, C: Codec> {
    pub(super) set: &'a Conformance<C>,
    cx: Ctx,
    pub(super) sample: &'a Sample,
    /// What stood in front of it, as it came.
    before: &'a [u8],
    bytes: &'a [u8],
    place: usize,
    pub(super) meta: Meta,
    pub(super) tag: C::Tag,
}

impl<'a, C: Codec> Frame<'a, C> {
    pub(super) fn of(
        set: &'a Conformance<C>,
        cx: Ctx,
        sample: &'a Sample,
        bytes: &'a [u8],
        place: usize,
        meta: Meta,
        tag: C::Tag,
    ) -> Self {
        let before = &bytes[..place];
        Self { set, cx, sample, before, bytes, place, meta, tag }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.bytes[self.place..self.place + self.meta.len as usize]
    }

    pub(super) fn fail(&self, rule: Rule, detail: String) -> Failure {
        let frame = format!("the rewrite of {:?}", self.meta);
        Failure::new(rule, self.bytes, self.place, detail).within(frame)
    }

    /// The connection that a frame came on, when it has come; the receiver may allow more than is
    /// allowed here.
    pub(super) fn state(&self, frame: &[u8], id: Option<u64>) -> Result<Peer<'a, C>, Failure> {
        let mut peer: Peer<'_, C> = self.set.peer(self.cx, self.sample)?;
        peer.feed_whole(self.before)?;
        peer.cx = peer.cx.max_head(u32::MAX).max_frame(u32::MAX);
        if let Some(id) = id {
            peer.asked.renumber(self.meta.id, id);
        }
        peer.feed_whole(frame)?;
        Ok(peer)
    }

    /// The connection that it is written to.
    pub(super) fn receiver(&self) -> C::Conn {
        match self.sample.from {
            From::Client => (self.set.link)(&self.set.codec),
            From::Server => (self.set.session)(&self.set.codec),
        }
    }

    fn spliced(&self, id: Option<u64>, edits: &[HeaderEdit]) -> Result<Vec<u8>, Failure> {
        let asked = || format!("id {id:?}, edits {edits:?}");
        self.try_spliced(id, edits)?
            .map_err(|fault| self.fail(Rule::RewriteKeeps, format!("{}: {fault:?}", asked())))
    }

    /// The bytes of the new frame, unless the codec refuses.
    fn try_spliced(
        &self,
        id: Option<u64>,
        edits: &[HeaderEdit],
    ) -> Result<Result<Vec<u8>, Fault>, Failure> {
        let from = self.state(self.bytes(), Some(self.meta.id))?.conn;
        let to = self.receiver();
        let mut chain = Chain::default();
        let result = guard("rewrite", || {
            let mut splice = Splice::new(self.bytes(), None, &mut chain);
            let edit = Rewrite::new(id, edits);
            self.set.codec.rewrite(&from, &to, &self.meta, self.tag, &edit, &mut splice)
        });
        let result = result.map_err(|(rule, why)| self.fail(rule, why))?;
        Ok(result.map(|()| chain.to_vec()))
    }

    /// A login may go on without its credentials, and then not say the same any more.
    fn login(&self) -> Result<(), Failure> {
        let Ok(new) = self.try_spliced(self.set.by_id().map(|_| 1), &[])? else {
            return Ok(());
        };
        let trace = self.state(&[], Some(1))?.feed_whole(&new)?;
        match trace.events.as_slice() {
            [Event::Frame { .. } | Event::Reject { .. }] if trace.end == new.len() => Ok(()),
            // Who has not logged in may say less, and not all spellings count alike.
            [Event::Fault { fault, .. }] if fault.outcome == Outcome::TooLarge => Ok(()),
            _ => {
                let detail = format!("not one whole frame: {trace:?}");
                Err(Failure::new(Rule::RewriteKeeps, &new, 0, detail))
            }
        }
    }

    /// The rewritten frame, and what its receiver finds in it.
    fn rewritten(&self, id: Option<u64>, edits: &[HeaderEdit]) -> Result<(Vec<u8>, Meta), Failure> {
        let new = self.spliced(id, edits)?;
        let asked = format!("id {id:?}, edits {edits:?}");
        let mut peer = self.state(&[], id)?;
        let trace = peer.feed_whole(&new).map_err(|failure| failure.within(&asked))?;
        let keeps = |detail| Failure::new(Rule::RewriteKeeps, &new, 0, detail).within(&asked);
        let meta = match *trace.events.as_slice() {
            [Event::Frame { meta, .. }] if trace.end == new.len() => meta,
            _ => return Err(keeps(format!("not one whole frame: {trace:?}"))),
        };
        if self.set.by_id().is_some() && meta.id != id.unwrap_or(self.meta.id) {
            let detail = format!("the id is {}, it was {}", meta.id, self.meta.id);
            return Err(Failure::new(Rule::RewriteId, &new, 0, detail).within(asked));
        }
        let old = self.state(self.bytes(), Some(self.meta.id))?;
        let old_facts = self.facts(&old.conn, &self.meta, self.bytes());
        let new_facts = self.facts(&peer.conn, &meta, &new);
        if old_facts != new_facts {
            let detail = format!("it says\n    {new_facts}\n  and said\n    {old_facts}");
            return Err(keeps(detail));
        }
        Ok((new, meta))
    }

    /// What the engine and policy see of a frame, apart from id and places.
    fn facts(&self, conn: &C::Conn, meta: &Meta, frame: &[u8]) -> String {
        let codec = &self.set.codec;
        let text = |found: Found<'_>| {
            found.map(|bytes| bytes.map(|bytes| bytes.escape_ascii().to_string()))
        };
        let mut facts = format!(
            "{:?} {:?} {:?} {:?} code {} wait {} idempotent {} quiet {}",
            meta.kind,
            meta.bind,
            meta.outcome,
            meta.fan_out,
            meta.code,
            meta.wait_ms,
            meta.idempotent,
            meta.quiet,
        );
        if self.sample.from == From::Client {
            let mut scratch = [Vec::new(), Vec::new(), Vec::new()];
            let [service, method, key] = &mut scratch;
            facts += &format!(
                " service {:?} method {:?} key {:?}",
                text(codec.service(conn, meta, frame, service)),
                text(codec.method(conn, meta, frame, method)),
                text(codec.key(conn, meta, frame, key)),
            );
        }
        if !self.set.recodes {
            facts += &format!(" body {:?}", text(Ok(frame.get(meta.head as usize..))));
        }
        facts
    }

    fn header(&self, meta: &Meta, frame: &[u8], name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let mut scratch = Vec::new();
        let peer = self.state(frame, Some(meta.id))?;
        let value = guard("header", || {
            let value = self.set.codec.header(&peer.conn, meta, frame, name, &mut scratch);
            value.map(|value| value.map(<[u8]>::to_vec))
        });
        let value = value.map_err(|(rule, why)| self.fail(rule, why))?;
        value.map_err(|unknown| self.fail(Rule::Headers, format!("{name} is {unknown:?}")))
    }

    fn sees(
        &self,
        frame: &[u8],
        meta: &Meta,
        name: &str,
        expected: Option<&[u8]>,
        edits: &[HeaderEdit],
    ) -> Result<(), Failure> {
        let found = self.header(meta, frame, name)?;
        if found.as_deref() == expected {
            return Ok(());
        }
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.escape_ascii().to_string());
        let (found, expected) = (text(found.as_deref()), text(expected));
        let detail = format!("{name} is {found:?} and not {expected:?} after {edits:?}");
        Err(Failure::new(Rule::Headers, frame, 0, detail))
    }
}

impl<C: Codec> Clone for Frame<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Codec> Copy for Frame<'_, C> {}
