//! How a session changes: when a request has passed all filters, and when its reply has come.

use heptad_core::{Accepted, Bind, Lane, Meta, Outcome};

use crate::{
    args::Args,
    conn::{Multi, Pending, Replies, Session},
    scan::Elements,
    tag::{Ask, Lanes, Mode, Say, Tag},
};

/// The request is about to be sent, or answered here.
pub(crate) fn accepted(s: &mut Session, tag: Tag, frame: &[u8]) -> Accepted {
    if tag.skip {
        s.replies = Replies::On;
    }
    match tag.ask {
        Ask::Say(say) => return said(s, say),
        Ask::Defer => {
            let change = change(frame);
            if let Some(multi) = &mut s.multi {
                match frame.first() {
                    Some(b'*') => multi.deferred.extend_from_slice(frame),
                    _ => multi.deferred.extend_from_slice(&crate::codec::as_array(frame)),
                }
                multi.frames += 1;
                multi.queue(change);
            }
            return Accepted::Local;
        }
        Ask::Queue => {
            let change = change(frame);
            if let Some(multi) = &mut s.multi {
                multi.bound = true;
                multi.queue(change);
            }
        }
        Ask::Select | Ask::SetName | Ask::SetInfo => s.pending = change(frame),
        Ask::Hello { .. } => s.pending = hello_name(frame),
        Ask::Sticky(place) => {
            s.own = true;
            s.pending = Some(Pending::Sticky(usize::from(place), frame.into()));
        }
        Ask::Taint => s.own = true,
        Ask::Multi => {
            s.multi = Some(Box::new(Multi { bound: true, ..Multi::default() }));
        }
        Ask::Exec { .. } | Ask::Discard { .. } => {
            if let Some(multi) = &mut s.multi {
                multi.ending = true;
            }
        }
        Ask::Watch(_) => s.watching = true,
        Ask::Subscribe { named: true, .. } => s.listening = true,
        Ask::Subscribe { named: false, .. } => s.subscribed = true,
        Ask::Monitor => s.monitor = true,
        Ask::Reset(Lanes::None) => {
            s.reset();
            return Accepted::Local;
        }
        Ask::Reset(Lanes::Several) => {
            s.reset();
            return Accepted::LocalClose;
        }
        Ask::Login(user) => {
            s.user = Some(user);
            return Accepted::Local;
        }
        Ask::Replies(mode) => {
            s.replies = match (mode, s.replies) {
                (Mode::On, _) => Replies::On,
                (Mode::Off, _) | (Mode::Skip, Replies::Off) => Replies::Off,
                (Mode::Skip, _) => Replies::Skip,
            };
            return Accepted::Local;
        }
        Ask::Plain
        | Ask::Spend
        | Ask::Unwatch { .. }
        | Ask::Unsubscribe { .. }
        | Ask::Scan
        | Ask::Wait
        | Ask::Reset(_) => {}
    }
    Accepted::Forward
}

fn said(s: &mut Session, say: Say) -> Accepted {
    match say {
        Say::Begin => s.multi = Some(Box::default()),
        Say::Empty | Say::Abort | Say::Discarded => s.multi = None,
        Say::Spoil(_) => {
            if let Some(multi) = &mut s.multi {
                multi.dirty = true;
            }
        }
        Say::Bye => return Accepted::LocalClose,
        Say::Ok | Say::WhoAmI | Say::Error(_) => {}
    }
    Accepted::Local
}

/// The reply has come.
pub(crate) fn settled(s: &mut Session, tag: Tag, reply: &Meta, frame: &[u8]) {
    let ok = reply.outcome == Outcome::Ok;
    match tag.ask {
        Ask::Select | Ask::SetName | Ask::SetInfo | Ask::Sticky(_) => {
            if let Some(change) = s.pending.take().filter(|_| ok) {
                s.apply(change);
            }
        }
        Ask::Hello { resp3, user, .. } => {
            let pending = s.pending.take();
            // The server checks a name after the login.
            s.user = user.or(s.user);
            if ok {
                s.wish.resp3 = resp3;
                if let Some(change) = pending {
                    s.apply(change);
                }
            }
        }
        Ask::Queue if !ok => {
            // The server spoilt its transaction; what was counted on is not queued.
            if let Some(multi) = &mut s.multi {
                multi.dirty = true;
            }
        }
        Ask::Exec { .. } => {
            s.watching = false;
            let Some(multi) = s.multi.take() else { return };
            if let Some(elements) = Elements::of(frame).filter(|_| ok && !multi.effects.is_empty())
            {
                let mut effects = multi.effects.into_iter().peekable();
                for (element, number) in elements.zip(0_u32..) {
                    if let Some((_, change)) = effects.next_if(|(n, _)| *n == number)
                        && element.first() == Some(&b'+')
                    {
                        s.apply(change);
                    }
                }
            }
        }
        Ask::Discard { .. } => {
            s.multi = None;
            s.watching = false;
        }
        Ask::Unwatch { .. } => s.watching = false,
        // `aux` is the number of subscriptions left on the link.
        Ask::Subscribe { named, .. } | Ask::Unsubscribe { named, .. } if reply.aux == 0 => {
            if named {
                s.listening = false;
            } else {
                s.subscribed = false;
            }
        }
        Ask::Monitor if !ok => s.monitor = false,
        Ask::Watch(true) if !ok => s.watching = false,
        Ask::Reset(_) if ok => s.reset(),
        _ => {}
    }
}

/// The request was answered with an error of Heptad's.
pub(crate) fn failed(s: &mut Session, tag: Tag) {
    if tag.skip && s.replies == Replies::Skip {
        s.replies = Replies::On;
    }
    match tag.ask {
        Ask::Exec { .. } | Ask::Discard { .. } if s.multi.as_ref().is_some_and(|m| m.ending) => {
            s.multi = None;
            s.watching = false;
        }
        Ask::Watch(true) => s.watching = false,
        Ask::Monitor => s.monitor = false,
        Ask::Select | Ask::SetName | Ask::SetInfo | Ask::Hello { .. } | Ask::Sticky(_) => {
            s.pending = None;
        }
        _ if tag.queued => {
            if let Some(multi) = &mut s.multi {
                multi.dirty = true;
            }
        }
        _ => {}
    }
}

/// Which link a reply releases.
pub(crate) fn released(ask: Ask, left: u32) -> Option<Bind> {
    let lane = match ask {
        Ask::Exec { keep: false, .. }
        | Ask::Discard { keep: false }
        | Ask::Unwatch { keep: false }
        | Ask::Reset(Lanes::One) => Lane::One,
        Ask::Reset(Lanes::Named) => Lane::Named,
        Ask::Reset(Lanes::PerEndpoint) => Lane::PerEndpoint,
        Ask::Unsubscribe { named, keep: false, .. } if left == 0 => {
            if named {
                Lane::Named
            } else {
                Lane::One
            }
        }
        _ => return None,
    };
    Some(Bind::Release(lane))
}

impl Multi {
    fn queue(&mut self, change: Option<Pending>) {
        if let Some(change) = change {
            self.effects.push((self.queued, change));
        }
        self.queued += 1;
    }
}

/// What a `SELECT`, `CLIENT SETNAME` or `CLIENT SETINFO` changes if it succeeds.
fn change(frame: &[u8]) -> Option<Pending> {
    let mut args = Args::of(frame);
    let name = args.next()?;
    let first = args.next()?;
    if name.text.eq_ignore_ascii_case(b"SELECT") {
        let text = std::str::from_utf8(&first.text).ok()?;
        return Some(Pending::Db(text.parse().ok()?));
    }
    if !name.text.eq_ignore_ascii_case(b"CLIENT") {
        return None;
    }
    let second = args.next()?;
    if first.text.eq_ignore_ascii_case(b"SETNAME") {
        return Some(Pending::Name(unless_empty(&second.text)));
    }
    if !first.text.eq_ignore_ascii_case(b"SETINFO") {
        return None;
    }
    let third = args.next()?;
    if second.text.eq_ignore_ascii_case(b"LIB-NAME") {
        Some(Pending::LibName(unless_empty(&third.text)))
    } else {
        Some(Pending::LibVer(unless_empty(&third.text)))
    }
}

/// The name that a `HELLO` sets.
fn hello_name(frame: &[u8]) -> Option<Pending> {
    let mut args = Args::of(frame).skip(2);
    let mut name = None;
    while let Some(option) = args.next() {
        let value = args.next()?;
        if option.text.eq_ignore_ascii_case(b"AUTH") {
            args.next();
        } else {
            name = Some(Pending::Name(unless_empty(&value.text)));
        }
    }
    name
}

fn unless_empty(text: &[u8]) -> Option<Box<[u8]>> {
    (!text.is_empty()).then(|| text.into())
}
