//! The forms that values of the file can have: the one description from which the check, its
//! messages and the JSON schema are made.
//!
//! Knows the forms; which keys have which is in [`table`](crate::table).

/// The form of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// Text without control characters, in this inclusive range of bytes.
    Line(usize, usize),
    /// Text that serves as a name, also in metrics.
    Name,
    /// `true` or `false`.
    Bool,
    /// A whole number in this inclusive range.
    Whole(i64, i64),
    /// Bytes, as a whole number or with a unit, in this inclusive range.
    Size(u64, u64),
    /// A duration above zero; whether `off` may be said, too.
    Duration { off: bool },
    /// An address. One that is listened on may have port 0, and must not be a host.
    Address { listen: bool },
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// The name of an attribute.
    Attribute,
    /// A range of slots.
    Slots,
    /// The two characters around a hash tag.
    Tag,
    /// A regular expression.
    Regex,
    /// A bare value that an attribute is compared with: text, a number or a truth value.
    Exact(Exact),
    /// Two whole numbers, the first not above the second.
    Range,
    /// A list of these, with at least so many items.
    List(&'static Shape, usize),
    /// A mapping with these keys.
    Record(&'static Record),
    /// A mapping from what names something to a value: the name's description, and the value.
    Table(&'static str, &'static Shape),
    /// The first of these that takes this kind of value. The text names them all.
    Either(&'static [Shape], &'static str),
    /// The name of a codec, or a mapping from it to its options.
    Codec,
    /// The name of a filter, or a mapping from it to its options.
    Filter,
}

/// What a bare value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    Text,
    Port,
    /// An address or a network.
    Ip,
}

/// The keys of a mapping.
#[derive(Debug)]
pub(crate) struct Record {
    /// What the mapping is, for messages and the schema: `a listener`.
    pub(crate) what: &'static str,
    pub(crate) keys: &'static [KeyRule],
    /// What else must hold.
    pub(crate) also: Also,
}

/// What must hold for the keys of a mapping together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Also {
    Nothing,
    /// There is at least one key.
    Some,
    /// Exactly one of these is there; the first of the second list only with the second.
    OneOf(&'static [&'static str], Option<[&'static str; 2]>),
    /// Names of codecs are keys too, with their upstream options.
    Upstreams,
}

/// One key of a mapping.
#[derive(Debug)]
pub(crate) struct KeyRule {
    /// As written; if it ends with `.<name>`, any name may stand there; with `.<number>`, a number
    /// of 16 bits in its one decimal form.
    pub(crate) key: &'static str,
    pub(crate) shape: &'static Shape,
    pub(crate) need: Need,
    /// What it does, in one line.
    pub(crate) doc: &'static str,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    /// If it is not there, it is as if this were.
    Default(&'static str),
    /// If it is not there, this is what happens.
    Absent(&'static str),
}

impl KeyRule {
    /// Whether the key of a file is this one.
    pub(crate) fn is(&self, key: &str) -> bool {
        if let Some(prefix) = self.key.strip_suffix("<name>") {
            return key.len() > prefix.len() && key.starts_with(prefix);
        }
        let Some(prefix) = self.key.strip_suffix("<number>") else {
            return key == self.key;
        };
        let number = key.strip_prefix(prefix).unwrap_or_default();
        number.parse::<u16>().is_ok_and(|n| n.to_string() == number)
    }
}

impl Record {
    pub(crate) fn find(&self, key: &str) -> Option<&'static KeyRule> {
        self.keys.iter().find(|rule| rule.is(key))
    }
}
