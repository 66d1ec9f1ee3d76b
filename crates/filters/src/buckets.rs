//! Which of a limit's atomic numbers a request counts against: one for all, or one for each value
//! of an attribute. Knows how requests are told apart, and not what is counted.

use std::{
    fmt::Write as _,
    net::IpAddr,
    sync::{OnceLock, atomic::AtomicU64},
};

use heptad_core::{Attr, Attributes, OptionsError, Value, Want};
use heptad_route::{Expr, Tri};

use crate::slots::{Mark, Slot, Slots};

/// Most keys that a limit may be told to tell apart.
const MOST_KEYS: u32 = 10_000_000;

/// Longest part of a value that is shown to a client, characters.
const SHOWN: usize = 64;

/// A number that many requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Common {
    /// Of a limit that tells no requests apart.
    All,
    /// Of requests without the attribute.
    Absent,
    /// Of requests whose attribute cannot be read.
    Unknown,
    /// Of values for which there was no room.
    Overflow,
}

/// How many [`Common`] numbers there are.
pub(crate) const COMMON: usize = 4;

/// The number that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// One that is shared.
    Common(Common),
    /// The value's own, as long as the slot holds its mark.
    Own(Slot, Mark),
}

impl Bucket {
    /// Its place among all buckets, below [`Buckets::len`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Common(common) => common as usize,
            Self::Own(slot, _) => slot.index() + COMMON,
        }
    }

    /// Which shared number it is, if it is one.
    pub(crate) fn common(self) -> Option<Common> {
        match self {
            Self::Common(common) => Some(common),
            Self::Own(..) => None,
        }
    }
}

/// A limit's numbers.
#[derive(Debug)]
pub(crate) struct Buckets {
    per: Option<Attr>,
    keys: u32,
    common: [Alone; COMMON],
    /// Made by the first worker, with its seed.
    slots: OnceLock<Slots>,
}

/// A number on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(AtomicU64);

impl Buckets {
    /// `per` is the name of an attribute; empty if requests are not told apart.
    pub(crate) fn new(per: &str, keys: u32) -> Result<Self, OptionsError> {
        let per = match per {
            "" => None,
            name => Some(name.parse().map_err(|_| {
                let known = "expected service, method, key, header.<name>, arg.<number>, route, \
                             cluster, source.ip or another attribute";
                OptionsError::new("per", format!("{known}, got {name:?}"))
            })?),
        };
        if keys == 0 || keys > MOST_KEYS {
            return Err(OptionsError::new("keys", format!("expected 1 to {MOST_KEYS}")));
        }
        Ok(Self { per, keys, common: Default::default(), slots: OnceLock::new() })
    }

    /// Must be called before the first request.
    pub(crate) fn prepare(&self, seed: u64) {
        if self.per.is_some() {
            self.slots.get_or_init(|| Slots::new(self.keys, seed));
        }
    }

    /// How many numbers there are; known once it is prepared.
    pub(crate) fn len(&self) -> usize {
        COMMON + self.slots.get().map_or(0, Slots::len)
    }

    /// The bucket of a request; a new value gets one whose number is `free`.
    pub(crate) fn of(&self, request: &mut dyn Attributes, free: impl Fn(u64) -> bool) -> Bucket {
        let Some(per) = &self.per else {
            return Bucket::Common(Common::All);
        };
        let Some(slots) = self.slots.get() else {
            return Bucket::Common(Common::Overflow);
        };
        let mark = match request.attr(per) {
            Ok(Some(Value::Bytes(bytes))) => slots.mark(bytes),
            Ok(Some(Value::Ip(ip))) => match ip.to_canonical() {
                IpAddr::V4(ip) => slots.mark(&ip.octets()),
                IpAddr::V6(ip) => slots.mark(&ip.octets()),
            },
            Ok(Some(Value::Number(n))) => slots.mark(&n.to_be_bytes()),
            Ok(None) => return Bucket::Common(Common::Absent),
            _ => return Bucket::Common(Common::Unknown),
        };
        match slots.find(mark).or_else(|| slots.claim(mark, free)) {
            Some(slot) => Bucket::Own(slot, mark),
            None => Bucket::Common(Common::Overflow),
        }
    }

    /// A bucket's number. After a change to it [`Buckets::holds`] tells whose it was.
    pub(crate) fn number(&self, bucket: Bucket) -> &AtomicU64 {
        match (bucket, self.slots.get()) {
            (Bucket::Own(slot, _), Some(slots)) => slots.value(slot),
            (Bucket::Common(common), _) => &self.common[common as usize].0,
            (Bucket::Own(..), None) => &self.common[Common::Overflow as usize].0,
        }
    }

    /// The number at a place; see [`Bucket::index`].
    pub(crate) fn at(&self, index: usize) -> Option<&AtomicU64> {
        match index.checked_sub(COMMON) {
            None => self.common.get(index).map(|alone| &alone.0),
            Some(slot) => self.slots.get().and_then(|slots| slots.at(slot)),
        }
    }

    /// Whether the bucket still is the one of the request it was found for.
    pub(crate) fn holds(&self, bucket: Bucket) -> bool {
        match (bucket, self.slots.get()) {
            (Bucket::Own(slot, mark), Some(slots)) => slots.holds(slot, mark),
            _ => true,
        }
    }

    /// Adds to a text whose bucket a request counts against: nothing for one of all requests.
    pub(crate) fn say(
        &self,
        request: &mut dyn Attributes,
        common: Option<Common>,
        to: &mut String,
    ) {
        let Some(per) = &self.per else { return };
        let _ = match request.attr(per) {
            Ok(Some(value)) => {
                let _ = write!(to, " for {per} \"");
                say_value(&value, to);
                let shared = common == Some(Common::Overflow);
                to.write_str(if shared { "\", shared with other values" } else { "\"" })
            }
            Ok(None) => write!(to, " for requests without {per}"),
            _ => write!(to, " for requests whose {per} cannot be read"),
        };
    }

    /// What decoders must be told.
    pub(crate) fn want(&self, matches: &Expr) -> Want {
        let mut want = want(matches);
        self.per.iter().for_each(|attr| want |= attr.want());
        want
    }
}

/// Escaped and cut, so that a client's bytes can stand in one line of an answer.
fn say_value(value: &Value<'_>, to: &mut String) {
    let _ = match value {
        Value::Bytes(bytes) => {
            for (at, c) in bytes.iter().flat_map(|b| b.escape_ascii()).enumerate() {
                if at == SHOWN {
                    to.push_str("...");
                    break;
                }
                to.push(char::from(c));
            }
            Ok(())
        }
        Value::Ip(ip) => write!(to, "{}", ip.to_canonical()),
        Value::Number(n) => write!(to, "{n}"),
        _ => Ok(()),
    };
}

/// What decoders must be told that a condition asks.
pub(crate) fn want(matches: &Expr) -> Want {
    let mut want = Want::default();
    matches.attrs(&mut |attr| want |= attr.want());
    want
}

/// Whether a limit is for the request. A limit protects: what cannot be told is limited, so that
/// nobody escapes by being unreadable.
pub(crate) fn limited(matches: &Expr, request: &mut dyn Attributes) -> bool {
    matches.eval(request) != Tri::False
}
