//! Preparing links: the greeting of a new one, and the bytes that bring a link to the state of the
//! session that is about to use it.

use heptad_core::{Fault, Greet, Outcome, Prelude, Reason};

use crate::{
    conn::{Link, Session},
    resp::{Digits, command},
    tag::{Ask, Tag},
};

/// The first bytes on a new link.
pub(crate) fn greet(link: &mut Link, out: &mut Vec<u8>) -> Greet {
    let upstream = link.upstream.clone();
    let user = upstream.user.as_deref();
    let password = upstream.password.as_deref();
    if link.wish.resp3 {
        let mut words: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = password {
            let user = user.unwrap_or("default");
            words.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
        }
        command(out, &words);
        link.greeting += 1;
    } else if let Some(password) = password {
        match user {
            Some(user) => command(out, &[b"AUTH", user.as_bytes(), password.as_bytes()]),
            None => command(out, &[b"AUTH", password.as_bytes()]),
        }
        link.greeting += 1;
    }
    let db = link.db.unwrap_or_default();
    if db != 0 {
        command(out, &[b"SELECT", Digits::of(u64::from(db)).bytes()]);
        link.greeting += 1;
    }
    if link.greeting == 0 { Greet::Ready } else { Greet::Wait }
}

/// A reply to the greeting.
pub(crate) fn greeted(link: &mut Link, outcome: Outcome) -> Result<Greet, Fault> {
    if outcome != Outcome::Ok {
        return Err(Fault::new(
            Outcome::ConnectFailed,
            Reason::Greeting,
            "the server refused the login, the protocol version or the database",
        ));
    }
    link.greeting = link.greeting.saturating_sub(1);
    Ok(if link.greeting == 0 { Greet::Ready } else { Greet::Wait })
}

/// Writes what must come before a frame of the session's on a link of its own.
pub(crate) fn prelude(s: &mut Session, link: &mut Link, tag: Tag, out: &mut Vec<u8>) -> Prelude {
    let mut sent = 0;
    let mut send = |words: &[&[u8]]| {
        command(out, words);
        sent += 1;
    };
    // Between `MULTI` and `EXEC` it would be queued; subscribed under RESP2 it would be refused.
    let deaf = link.multi || link.monitor || (link.subs.total() > 0 && !link.wish.resp3);
    if !deaf && !matches!(tag.ask, Ask::Reset(_)) {
        if link.wish.resp3 != s.wish.resp3 && !matches!(tag.ask, Ask::Hello { .. }) {
            send(&[b"HELLO", if s.wish.resp3 { b"3" } else { b"2" }]);
            link.wish.resp3 = s.wish.resp3;
        }
        let db = s.db.unwrap_or(link.upstream.db);
        if link.db != Some(db) && tag.ask != Ask::Select {
            send(&[b"SELECT", Digits::of(u64::from(db)).bytes()]);
            link.db = Some(db);
        }
        if (link.unsure || link.wish.name != s.wish.name) && tag.ask != Ask::SetName {
            let name = s.wish.name.as_deref().unwrap_or_default();
            send(&[b"CLIENT", b"SETNAME", name]);
            link.wish.name = s.wish.name.clone();
            link.unsure = false;
        }
        for (want, has, word) in [
            (&s.wish.lib_name, &mut link.wish.lib_name, &b"LIB-NAME"[..]),
            (&s.wish.lib_ver, &mut link.wish.lib_ver, &b"LIB-VER"[..]),
        ] {
            if want != has && tag.ask != Ask::SetInfo {
                let value = want.as_deref().unwrap_or_default();
                send(&[b"CLIENT", b"SETINFO", word, value]);
                has.clone_from(want);
            }
        }
        sent += repeat(s, link, tag, out);
    }
    match tag.ask {
        Ask::Select | Ask::SetName | Ask::SetInfo | Ask::Hello { .. } => {
            link.pending.clone_from(&s.pending);
        }
        Ask::Spend | Ask::Taint => link.tainted = true,
        Ask::Sticky(place) => {
            // Counted as in force at once: if it fails, the old one is repeated.
            let place = usize::from(place);
            if let (Some(has), Some(want)) = (link.sticky.get_mut(place), s.sticky.get(place)) {
                *has = want.version + 1;
            }
        }
        // A server waits for what this connection wrote; nothing was written on this one, but a
        // command makes the server note where its log stands.
        Ask::Wait => {
            command(out, &[b"PING"]);
            sent += 1;
        }
        Ask::Multi => link.multi = true,
        Ask::Queue | Ask::Exec { .. } | Ask::Discard { .. } => {
            sent += transaction(s, link, tag, out)
        }
        _ => {}
    }
    // Transactions are written at once. All else is as if the connection had always been in this
    // state: `SCRIPT DEBUG` is refused behind other commands.
    let wait = !matches!(tag.ask, Ask::Queue | Ask::Exec { .. } | Ask::Discard { .. } | Ask::Multi);
    Prelude::new(sent, wait)
}

/// Commands that the session gave once and that hold on all of its links.
fn repeat(s: &Session, link: &mut Link, tag: Tag, out: &mut Vec<u8>) -> u32 {
    let mut sent = 0;
    for ((want, has), place) in s.sticky.iter().zip(&mut link.sticky).zip(0_u8..) {
        if want.version != *has && tag.ask != Ask::Sticky(place) && !want.frame.is_empty() {
            out.extend_from_slice(&want.frame);
            sent += 1;
            *has = want.version;
        }
    }
    sent
}

/// `MULTI` and the commands that were deferred, on a link that does not know of the transaction
/// yet; and what spoils it if a command was refused here.
fn transaction(s: &mut Session, link: &mut Link, tag: Tag, out: &mut Vec<u8>) -> u32 {
    let Some(multi) = &mut s.multi else { return 0 };
    let mut sent = 0;
    if !link.multi {
        command(out, &[b"MULTI"]);
        out.append(&mut multi.deferred);
        sent += 1 + std::mem::take(&mut multi.frames);
        link.multi = true;
    }
    if multi.dirty && matches!(tag.ask, Ask::Exec { .. }) {
        // The wrong number of arguments is what every server refuses to queue.
        command(out, &[b"GET"]);
        sent += 1;
    }
    sent
}
