//! Templates: a frame that one matches is what the decoder and the rewrite would make of it.

use heptad_core::{
    Accepted, Bind, Chain, Codec, Ctx, FanOut, Kind, Meta, Outcome, Rewrite, Splice, Template,
};

use super::{
    Conformance, Event, Failure, From, Rule, Sample, Trace,
    feed::guard,
    fuzz::spread,
    rewrite::{Frame, frames},
};

/// So many bytes from the front are changed, one at a time.
const CHANGED: usize = 200;

/// The template of each request and good reply, against the same frame with each of its bytes
/// changed.
pub(super) fn check<C: Codec>(
    set: &Conformance<C>,
    cx: Ctx,
    sample: &Sample,
    whole: &Trace<C::Tag>,
) -> Result<(), Failure> {
    let Some(bits) = set.by_id() else {
        return Ok(());
    };
    let id = 0x5a5a_5a5a_5a5a_5a5a & (u64::MAX >> (64 - bits.clamp(1, 64)));
    let is_whole = |at: usize, meta: &Meta| at + meta.len as usize <= whole.end;
    let all: Vec<_> =
        frames(whole).filter(|(at, meta, _)| is_usual(meta) && is_whole(*at, meta)).collect();
    for &(place, meta, tag) in spread(&all) {
        let lead = Frame::of(set, cx, sample, &sample.bytes, place, meta, tag);
        let from = lead.state(lead.bytes(), Some(meta.id))?.conn;
        let to = lead.receiver();
        let template =
            guard("template", || set.codec.template(&from, &to, &meta, tag, lead.bytes()));
        let Some(template) = template.map_err(|(rule, why)| lead.fail(rule, why))? else {
            continue;
        };
        let behind = vec![b'x'; lead.bytes().len()];
        for at in 0..lead.bytes().len().min(CHANGED) {
            for change in [0, 1, 0x20, 0xff] {
                let mut bytes = lead.bytes().to_vec();
                bytes[at] ^= change;
                bytes.extend_from_slice(&behind);
                let mut of = meta;
                let max = cx.max_frame as usize;
                match template.read(lead.bytes(), &bytes, max, &mut of) {
                    Some(frame) => matched(&lead, &template, frame, &of, id)?,
                    None if change == 0 => {
                        let detail = "a template does not match its own frame".to_owned();
                        return Err(lead.fail(Rule::Template, detail));
                    }
                    None => {}
                }
            }
        }
    }
    Ok(())
}

/// Whether a frame is of those that the engine asks for templates of.
fn is_usual(meta: &Meta) -> bool {
    match meta.kind {
        Kind::Request => {
            let one = meta.bind == Bind::Shared && meta.fan_out == FanOut::One;
            one && !meta.quiet && meta.wait_ms == 0
        }
        Kind::Reply => meta.outcome == Outcome::Ok,
        _ => false,
    }
}

/// A frame that was matched and not decoded.
fn matched<C: Codec>(
    lead: &Frame<'_, C>,
    template: &Template,
    frame: &[u8],
    meta: &Meta,
    id: u64,
) -> Result<(), Failure> {
    let codec = &lead.set.codec;
    let broken = |detail| Err(Failure::new(Rule::Template, frame, 0, detail));
    let mut peer = match lead.sample.from {
        From::Client => lead.state(lead.bytes(), Some(lead.meta.id))?,
        // Its request is still unanswered, whatever its id is.
        From::Server => lead.state(&[], Some(meta.id))?,
    };
    let trace = peer.feed_whole(frame)?;
    match *trace.events.as_slice() {
        [Event::Frame { meta: read, tag, .. }]
            if trace.end == frame.len() && read == *meta && tag == lead.tag => {}
        _ => return broken(format!("it matches as {meta:?} and is read as {trace:?}")),
    }
    let facts = guard("attributes", || {
        let of = |conn: &C::Conn, meta: &Meta, frame: &[u8]| {
            let [mut service, mut method, mut kept] = [const { Vec::new() }; 3];
            format!(
                "{:?} {:?} {:?} {:?}",
                codec.service(conn, meta, frame, &mut service),
                codec.method(conn, meta, frame, &mut method),
                codec.keep(conn, meta, frame, &mut kept),
                codec.flavour(conn, meta),
            )
        };
        (of(&peer.conn, meta, frame), of(&peer.conn, &lead.meta, lead.bytes()))
    });
    let (says, said) = facts.map_err(|(rule, why)| lead.fail(rule, why))?;
    if lead.sample.from == From::Client {
        if says != said {
            return broken(format!("it says {says}, the one it is like says {said}"));
        }
        let accepted = guard("accepted", || codec.accepted(&mut peer.conn, meta, lead.tag, frame));
        let accepted = accepted.map_err(|(rule, why)| lead.fail(rule, why))?;
        if accepted != Accepted::Forward {
            return broken(format!("it is accepted as {accepted:?}"));
        }
    }
    let mut copied = Chain::default();
    template.copy(frame, id, &mut copied);
    let mut written = Chain::default();
    let result = guard("rewrite", || {
        let mut splice = Splice::new(frame, None, &mut written);
        let edit = Rewrite::new(Some(id), &[]);
        codec.rewrite(&peer.conn, &lead.receiver(), meta, lead.tag, &edit, &mut splice)
    });
    let result = result.map_err(|(rule, why)| lead.fail(rule, why))?;
    let (copied, written) = (copied.to_vec(), written.to_vec());
    if result.is_err() || copied != written {
        return broken(format!("a copy is {copied:?}, the rewrite {result:?} {written:?}"));
    }
    Ok(())
}
