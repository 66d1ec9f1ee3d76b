//! The command table: what is known of each command, and its look-up without allocation.
//!
//! It is put together once per codec from the generated rows, those added by hand for newer
//! servers, and the commands that the options describe.

mod generated;
mod keys;
mod newer;
pub(crate) mod row;
mod treat;

use heptad_core::OptionsError;

use crate::options::CommandOptions;
pub(crate) use keys::key_args;
use row::{Begin, Keys, Row, flag};
pub(crate) use treat::{Act, Family, Merge, Spread, Sticky, Wait};

/// What is known of a command or subcommand.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Upper case; of a subcommand its own name without the container's.
    pub(crate) name: Box<str>,
    /// What policy knows it by: the upper-case name, for a subcommand its container's.
    pub(crate) method: Box<str>,
    /// As in [`Row`].
    pub(crate) arity: i16,
    /// As in [`Row`].
    pub(crate) flags: u16,
    /// As in [`Row`].
    pub(crate) keys: &'static [Keys],
    /// The one key is the first argument, the usual case.
    pub(crate) first: bool,
    /// It may touch keys that no specification tells of.
    pub(crate) open: bool,
    /// What it means for the connection.
    pub(crate) act: Act,
    /// What several endpoints do with it.
    pub(crate) spread: Spread,
    /// Redis 7.0 has it, so that its name and arity need no server to be checked.
    pub(crate) classic: bool,
    /// Subcommands, from the first of these indices to before the second.
    subs: (u16, u16),
}

impl Entry {
    /// Whether a call with this many arguments, the name included, has the right number of them.
    pub(crate) fn takes(&self, argc: u32) -> bool {
        let argc = i64::from(argc);
        let arity = i64::from(self.arity);
        if arity >= 0 { argc == arity } else { argc >= -arity }
    }

    /// Whether its first argument names a subcommand.
    pub(crate) fn has_sub(&self) -> bool {
        self.name != self.method || self.subs.0 != self.subs.1
    }

    /// Whether any of the flags is set.
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// All commands. Entry 0 stands for every command that is not in the table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    /// Open addressing by [`hash`]; 0 is empty.
    slots: Box<[u16; SLOTS]>,
}

const SLOTS: usize = 2048;

/// The largest position of a key that options may name.
const KEY_MAX: usize = 8;

/// One key at position `i`; nothing at 0.
static KEY_AT: [[Keys; 1]; KEY_MAX + 1] = {
    let mut all = [[Keys::Unknown; 1]; KEY_MAX + 1];
    let mut i = 0;
    while i <= KEY_MAX {
        all[i] = [Keys::Range { begin: Begin::At(i as u8), last: 0, step: 1, limit: 0 }];
        i += 1;
    }
    all
};

impl Table {
    /// The table with the commands of the options added.
    pub(crate) fn new<'a>(
        more: impl IntoIterator<Item = (&'a String, &'a CommandOptions)>,
    ) -> Result<Self, OptionsError> {
        let unknown = Entry {
            name: "".into(),
            method: "".into(),
            arity: -1,
            flags: 0,
            keys: &[],
            first: false,
            open: true,
            act: Act::Exchange,
            spread: Spread::FirstArgument,
            classic: false,
            subs: (0, 0),
        };
        let mut table = Self { entries: vec![unknown], slots: Box::new([0; SLOTS]) };
        for row in generated::ROWS {
            table.add(row, true);
        }
        for row in newer::ROWS {
            table.add(row, false);
        }
        for (container, rows) in newer::SUBS {
            table.extend(container, rows);
        }
        for (name, options) in more {
            table.describe(name, options)?;
        }
        Ok(table)
    }

    /// The index of a command by its name in any case; 0 if there is none.
    pub(crate) fn find(&self, name: &[u8]) -> u16 {
        let mut slot = hash(name) % SLOTS;
        loop {
            let index = self.slots.get(slot).copied().unwrap_or(0);
            if index == 0 || self.entry(index).name.as_bytes().eq_ignore_ascii_case(name) {
                return index;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The index of a subcommand; `None` if the command has no subcommands, `Some(0)` if it has but
    /// not this one.
    #[inline]
    pub(crate) fn find_sub(&self, container: u16, name: &[u8]) -> Option<u16> {
        let (from, to) = self.entry(container).subs;
        if from == to {
            return None;
        }
        Some(
            (from..to)
                .find(|i| self.entry(*i).name.as_bytes().eq_ignore_ascii_case(name))
                .unwrap_or(0),
        )
    }

    /// The entry with an index that the table gave; of any other that of unknown commands.
    pub(crate) fn entry(&self, index: u16) -> &Entry {
        self.entries.get(usize::from(index)).unwrap_or_else(|| &self.entries[0])
    }

    /// The entry with an index, if there is one.
    #[cfg(test)]
    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    fn add(&mut self, row: &'static Row, classic: bool) {
        let index = self.push(entry(row, None, classic));
        let from = self.entries.len() as u16;
        for sub in row.subs {
            self.push(entry(sub, Some(row.name), classic));
        }
        let to = self.entries.len() as u16;
        if let Some(e) = self.entries.get_mut(usize::from(index)) {
            e.subs = (from, to);
            // Called with a subcommand that is not known.
            e.open |= from != to;
        }
        self.index(index);
    }

    /// Gives a container more subcommands.
    fn extend(&mut self, container: &'static str, rows: &'static [Row]) {
        let index = usize::from(self.find(container.as_bytes()));
        let Some((from, to)) = self.entries.get(index).map(|e| e.subs) else {
            return;
        };
        let start = self.entries.len() as u16;
        for i in from..to {
            let old = self.entry(i).clone();
            self.push(old);
        }
        for row in rows {
            self.push(entry(row, Some(container), false));
        }
        let end = self.entries.len() as u16;
        if let Some(e) = self.entries.get_mut(index) {
            e.subs = (start, end);
        }
    }

    /// Adds or replaces a command by what the options say of it.
    fn describe(&mut self, name: &str, options: &CommandOptions) -> Result<(), OptionsError> {
        let bad = |what: &str| Err(OptionsError::new(format!("commands.{name}"), what));
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return bad("a command's name is 1 to 64 printable characters");
        }
        let key = usize::from(options.key);
        let Some(one) = KEY_AT.get(key) else {
            return bad("key is the position of the key, 1 to 8, or 0 for none");
        };
        let old = self.find(name.as_bytes());
        if old != 0 {
            return bad("the command is built in and needs no description");
        }
        if self.entries.len() >= 4000 {
            return bad("too many commands");
        }
        let upper: Box<str> = name.to_ascii_uppercase().into();
        let index = self.push(Entry {
            name: upper.clone(),
            method: upper,
            arity: -1,
            flags: if options.write { flag::WRITE } else { flag::READONLY },
            keys: if key == 0 { &[] } else { one },
            first: key == 1,
            open: false,
            act: if options.shared { Act::Plain } else { Act::Exchange },
            spread: if key == 0 { Spread::Any } else { Spread::Key },
            classic: false,
            subs: (0, 0),
        });
        self.index(index);
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> u16 {
        self.entries.push(entry);
        (self.entries.len() - 1) as u16
    }

    fn index(&mut self, index: u16) {
        let mut slot = hash(self.entry(index).name.as_bytes()) % SLOTS;
        while let Some(s) = self.slots.get_mut(slot) {
            if *s == 0 {
                *s = index;
                return;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

fn entry(row: &'static Row, container: Option<&str>, classic: bool) -> Entry {
    let (act, spread) = treat::treat(row);
    let own = row.name.rsplit('|').next().unwrap_or(row.name);
    Entry {
        name: own.to_ascii_uppercase().into(),
        method: container.unwrap_or(row.name).to_ascii_uppercase().into(),
        arity: row.arity,
        flags: row.flags,
        keys: row.keys,
        first: matches!(row.keys, [Keys::Range { begin: Begin::At(1), last: 0, .. }]),
        open: treat::open(row),
        act,
        spread,
        classic,
        subs: (0, 0),
    }
}

/// The same for every case of the name's letters. Names are short, and an attacker who finds
/// collisions gains probes in a table that he cannot fill.
fn hash(name: &[u8]) -> usize {
    let mut h: u32 = 0x811c_9dc5;
    for b in name.get(..24).unwrap_or(name) {
        h = (h ^ u32::from(b | 0x20)).wrapping_mul(0x0100_0193);
    }
    (h ^ (h >> 15)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new([]).expect("the table is well formed")
    }

    #[test]
    fn every_row_is_found_in_any_case() {
        let table = table();
        for row in generated::ROWS.iter().chain(newer::ROWS) {
            let index = table.find(row.name.to_ascii_uppercase().as_bytes());
            assert_eq!(table.find(row.name.as_bytes()), index);
            assert_ne!(index, 0, "{}", row.name);
            assert!(table.entry(index).name.eq_ignore_ascii_case(row.name));
            for sub in row.subs {
                let own = sub.name.split_once('|').map_or("", |(_, s)| s);
                let at = table.find_sub(index, own.as_bytes());
                let at = at.unwrap_or_default();
                assert_ne!(at, 0, "{}", sub.name);
                assert_eq!(&*table.entry(at).method, row.name.to_ascii_uppercase());
            }
        }
        assert_eq!(table.find(b"NOSUCH"), 0);
        assert_eq!(table.find(b""), 0);
        let client = table.find(b"client");
        assert_ne!(table.find_sub(client, b"setinfo"), Some(0));
        assert_ne!(table.find_sub(client, b"id"), Some(0));
        assert_eq!(table.find_sub(client, b"nosuch"), Some(0));
        assert_eq!(table.find_sub(table.find(b"get"), b"x"), None);
        assert!(table.entries.len() < 4000, "an index fits into twelve bits");
    }

    #[test]
    fn options_describe_module_commands() {
        let options = |key, write, shared| {
            let mut o = CommandOptions::default();
            (o.key, o.write, o.shared) = (key, write, shared);
            o
        };
        let name = "My.Cmd".to_owned();
        let table = Table::new([(&name, &options(2, false, true))]).expect("fine");
        let entry = table.entry(table.find(b"MY.cmd"));
        assert_eq!(&*entry.method, "MY.CMD");
        assert_eq!((entry.act, entry.spread), (Act::Plain, Spread::Key));
        assert!(entry.has(flag::READONLY));
        for (name, key) in [("GET", 1), ("x", 9), ("", 1), ("a b", 1)] {
            assert!(Table::new([(&name.to_owned(), &options(key, true, true))]).is_err());
        }
    }
}
