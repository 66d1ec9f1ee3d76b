//! Decoding what a server sends: replies, confirmations of subscriptions, and what it sends unasked.

use heptad_core::{Ctx, Fault, Kind, Meta, Outcome, Redirect, Span, Step};

use crate::{
    conn::{Link, Pending, Subs},
    scan::{Elements, Top, first_bulk, text},
    state::released,
    table::Family,
    tag::{Ask, Tag},
};

/// Where `-MOVED slot host:port` and `-ASK slot host:port` point. An empty host (the server does not
/// know its own) and an IPv6 address without brackets are left to the client.
pub(crate) fn redirect(frame: &[u8]) -> Option<Redirect<'_>> {
    let line = std::str::from_utf8(frame.strip_prefix(b"-")?.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.split(' ');
    let (word, slot, address) = (words.next()?, words.next()?, words.next()?);
    let (host, port) = address.rsplit_once(':')?;
    let plain = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
    port.parse::<u16>().ok().filter(|_| plain)?;
    match word {
        "MOVED" => Some(Redirect::moved(address, slot.parse().ok()?)),
        "ASK" => Some(Redirect::once(address, (b"*1\r\n$6\r\nASKING\r\n", 1))),
        _ => None,
    }
}

/// The usual reply to a request that asks nothing of the connection, where nothing but replies can
/// come: what [`decode`] makes of it.
#[inline]
pub(crate) fn usual(link: &Link, tag: Option<Tag>, cx: &Ctx, buf: &[u8]) -> Option<Step<()>> {
    let plain = matches!(tag, None | Some(Tag { ask: Ask::Plain, .. }));
    let quiet = !link.monitor && link.confirmed == 0 && link.wanted == 0 && link.value_at == 0;
    if !plain || !quiet || link.subs != Subs::default() {
        return None;
    }
    let end = link.scan.usual(buf, cx)?;
    Some(Step::Frame(Meta::reply(end, Outcome::Ok), ()))
}

/// Looks at the bytes a server sent; `tag` is that of the oldest request without its reply.
pub(crate) fn decode(
    link: &mut Link,
    tag: Option<Tag>,
    cx: &Ctx,
    buf: &[u8],
) -> Result<Step<()>, Fault> {
    let ask = tag.map(|t| t.ask).unwrap_or_default();
    loop {
        let end = match link.scan.value(buf, cx)? {
            Top::Need(n) => return Ok(Step::Need(n)),
            Top::End(end) => end,
        };
        let value = buf.get(link.value_at..end).unwrap_or_default();
        let quiet = link.subs.total() == 0 && !link.monitor && link.confirmed == 0;
        if quiet && ask == Ask::Plain && value.first() != Some(&b'>') {
            // Nothing but a reply can come here.
            reset(link);
            return Ok(Step::Frame(Meta::reply(end, outcome(value)), ()));
        }
        let confirmed = confirmation(value);
        let wanted = match ask {
            Ask::Subscribe { family, names, .. } => Some((family, true, names)),
            Ask::Unsubscribe { family, names, .. } => Some((family, false, names)),
            _ => None,
        };
        if let (Some((family, subscribes, total)), true) = (confirmed, listens(link, wanted, value))
        {
            if let Some((.., 0)) = wanted
                && link.wanted == 0
            {
                link.wanted = link.subs.of(family).max(1);
            }
            link.subs.confirm(family, total);
            if let Some((asked, mode, names)) = wanted
                && (asked, mode) == (family, subscribes)
            {
                link.confirmed += 1;
                if link.confirmed >= names.max(link.wanted).max(1) {
                    return Ok(finish(link, ask, end, Outcome::Ok, buf));
                }
                link.value_at = end;
                continue;
            }
        }
        if link.confirmed > 0 {
            // Between confirmations: part of what the client gets for this request.
            link.value_at = end;
            continue;
        }
        if is_push(link, value) {
            reset(link);
            return Ok(Step::Frame(Meta::frame(Kind::Push, end), ()));
        }
        return Ok(finish(link, ask, end, outcome(value), buf));
    }
}

fn reset(link: &mut Link) {
    link.scan.reset();
    link.confirmed = 0;
    link.wanted = 0;
    link.value_at = 0;
}

/// A whole reply: what it says about the link.
fn finish(link: &mut Link, ask: Ask, end: usize, outcome: Outcome, buf: &[u8]) -> Step<()> {
    reset(link);
    let ok = outcome == Outcome::Ok;
    let mut meta = Meta::reply(end, outcome);
    match ask {
        Ask::Select | Ask::SetName | Ask::SetInfo | Ask::Hello { .. } => {
            let change = link.pending.take().filter(|_| ok);
            match change {
                Some(Pending::Db(db)) => link.db = Some(db),
                Some(Pending::Name(name)) => link.wish.name = name,
                Some(Pending::LibName(name)) => link.wish.lib_name = name,
                Some(Pending::LibVer(ver)) => link.wish.lib_ver = ver,
                Some(Pending::Sticky(..)) | None => {}
            }
            if let Ask::Hello { resp3, .. } = ask
                && ok
            {
                link.wish.resp3 = resp3;
            }
        }
        Ask::Monitor if ok => link.monitor = true,
        Ask::Exec { effects, .. } => {
            link.multi = false;
            if effects {
                link.db = None;
                link.unsure = true;
            }
        }
        Ask::Discard { .. } => link.multi = false,
        // The login is gone with everything else.
        Ask::Reset(_) => link.tainted = true,
        Ask::Subscribe { .. } | Ask::Unsubscribe { .. } => meta.aux = link.subs.total(),
        Ask::Scan if ok => note_cursor(&mut meta, buf),
        _ => {}
    }
    if let Some(bind) = released(ask, link.subs.total()) {
        meta.bind = bind;
    }
    Step::Frame(meta, ())
}

/// Remembers where the cursor of a `SCAN`'s reply stands, with its bulk's head, in `key`.
fn note_cursor(meta: &mut Meta, buf: &[u8]) {
    let frame = buf.get(..meta.len as usize).unwrap_or_default();
    let Some(cursor) = Elements::of(frame).and_then(|mut e| e.next()) else {
        return;
    };
    // The element is the first in the frame: behind the array's head.
    let head = frame.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
    if number(cursor).is_some() {
        meta.key = Span::new(head, cursor.len());
    }
}

/// The cursor whose place `note_cursor` remembered, and that place.
pub(crate) fn cursor(meta: &Meta, frame: &[u8]) -> Option<(u64, std::ops::Range<usize>)> {
    Some((number(meta.key.of(frame)?)?, meta.key.range()))
}

/// The number that a string is.
fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(text(value)?).ok()?.parse().ok()
}

/// How a reply ended.
fn outcome(value: &[u8]) -> Outcome {
    match value.first() {
        Some(b'-' | b'!') => match code(value) {
            Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY") => {
                Outcome::Overloaded
            }
            _ => Outcome::AppError,
        },
        _ => Outcome::Ok,
    }
}

/// The error code of a reply: its first word, if it is one.
pub(crate) fn code(value: &[u8]) -> Option<&str> {
    let text = match value.split_first()? {
        (b'-', text) => text,
        (b'!', rest) => rest.get(rest.iter().position(|b| *b == b'\n')? + 1..)?,
        _ => return None,
    };
    let end =
        text.iter().position(|b| !(b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_'))?;
    let ended = matches!(text.get(end), Some(b' ' | b'\r'));
    let word = text.get(..end).filter(|w| ended && !w.is_empty() && w.len() <= 64);
    word.and_then(|w| std::str::from_utf8(w).ok()).or(Some("ERR"))
}

/// Reads a confirmation: its family, whether it subscribes, and the number that are left.
fn confirmation(value: &[u8]) -> Option<(Family, bool, u32)> {
    let (family, subscribes) = match first_bulk(value)? {
        b"subscribe" => (Family::Channel, true),
        b"unsubscribe" => (Family::Channel, false),
        b"psubscribe" => (Family::Pattern, true),
        b"punsubscribe" => (Family::Pattern, false),
        b"ssubscribe" => (Family::Shard, true),
        b"sunsubscribe" => (Family::Shard, false),
        _ => return None,
    };
    let last = Elements::of(value).filter(|e| e.left() == 3)?.last()?;
    let digits = last.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    let total = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((family, subscribes, total))
}

/// Whether a value that looks like a confirmation can be one here.
fn listens(link: &Link, wanted: Option<(Family, bool, u32)>, value: &[u8]) -> bool {
    wanted.is_some() || value.first() == Some(&b'>') || link.subs.total() > 0
}

/// Whether the server sent it without being asked.
fn is_push(link: &Link, value: &[u8]) -> bool {
    match value.first() {
        Some(b'>') => true,
        Some(b'*') => {
            !link.wish.resp3
                && link.subs.total() > 0
                && matches!(
                    first_bulk(value),
                    Some(b"message" | b"pmessage" | b"smessage" | b"sunsubscribe")
                )
        }
        Some(b'+') => link.monitor && is_monitor_line(value),
        _ => false,
    }
}

/// `+1700000000.123456 [0 127.0.0.1:1] "get" "k"`
fn is_monitor_line(value: &[u8]) -> bool {
    let body = value.get(1..).unwrap_or_default();
    let digits = |b: &[u8]| b.iter().take_while(|b| b.is_ascii_digit()).count();
    let seconds = digits(body);
    let rest = body.get(seconds..).unwrap_or_default();
    let Some((b'.', rest)) = rest.split_first() else {
        return false;
    };
    seconds > 0 && rest.get(digits(rest)..).is_some_and(|r| r.starts_with(b" ["))
}
