//! The reader of values: whatever a writer can write has an end that is found, whatever else does
//! not panic, hang or reserve; and edits of whatever was written say what was asked for.
//!
//! The writer here is the test's own. It uses every form that the serialization has, also where
//! another would be shorter.

mod common;

use common::*;
use heptad_core::HeaderEdit;
use heptad_dubbo::wire;
use proptest::prelude::*;

/// A value and the form it is written in.
#[derive(Clone, Debug)]
enum Node {
    Null,
    Bool(bool),
    /// As an integer of 32 bits; the second number makes some of them longer than they must be.
    Int(i32, u8),
    Long(i64, u8),
    Double(u8, u64),
    Date(u8, u64),
    /// The lengths of its chunks come from the numbers.
    Text(String, Vec<u8>),
    Bytes(Vec<u8>, Vec<u8>),
    /// The form, and how its type is given.
    List(u8, u8, Vec<Node>),
    Map(u8, Vec<(Node, Node)>),
    /// The class among eight, whose number of fields is its number modulo 4.
    Object(u8, Vec<Node>),
    Ref(u32),
}

/// Classes that are defined in a body.
type Classes = Vec<u8>;

fn put_int(out: &mut Vec<u8>, n: i32, longer: u8) {
    let b = n.to_be_bytes();
    match n {
        -16..=47 if longer == 0 => out.push((n + 0x90) as u8),
        -2048..=2047 if longer <= 1 => out.extend([(0xc8 + (n >> 8)) as u8, b[3]]),
        -262_144..=262_143 if longer <= 2 => out.extend([(0xd4 + (n >> 16)) as u8, b[2], b[3]]),
        _ => {
            out.push(b'I');
            out.extend(b);
        }
    }
}

fn put_long(out: &mut Vec<u8>, n: i64, longer: u8) {
    let b = n.to_be_bytes();
    match n {
        -8..=15 if longer == 0 => out.push((n + 0xe0) as u8),
        -2048..=2047 if longer <= 1 => out.extend([(0xf8 + (n >> 8)) as u8, b[7]]),
        -262_144..=262_143 if longer <= 2 => out.extend([(0x3c + (n >> 16)) as u8, b[6], b[7]]),
        -2_147_483_648..=2_147_483_647 if longer <= 3 => {
            out.push(0x59);
            out.extend(&b[4..]);
        }
        _ => {
            out.push(b'L');
            out.extend(b);
        }
    }
}

/// A text in chunks of these lengths, surrogates apart if the first number is odd.
fn put_text(out: &mut Vec<u8>, text: &str, chunks: &[u8]) {
    let apart = chunks.first().is_some_and(|n| n % 2 == 1);
    let mut characters: Vec<(usize, Vec<u8>)> = Vec::new();
    for c in text.chars() {
        if apart {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let n = u32::from(*unit);
                characters.push((
                    1,
                    match n {
                        0..0x80 => vec![n as u8],
                        0x80..0x800 => vec![0xc0 | (n >> 6) as u8, 0x80 | (n & 0x3f) as u8],
                        _ => {
                            let [a, b, c] = [n >> 12, n >> 6 & 0x3f, n & 0x3f].map(|n| n as u8);
                            vec![0xe0 | a, 0x80 | b, 0x80 | c]
                        }
                    },
                ));
            }
        } else {
            characters.push((c.len_utf16(), c.to_string().into_bytes()));
        }
    }
    let mut rest = &characters[..];
    for n in chunks {
        let (chunk, more) = rest.split_at(usize::from(*n).min(rest.len()));
        put_chunk(out, chunk, b'R');
        rest = more;
    }
    put_chunk(out, rest, b'S');
}

fn put_chunk(out: &mut Vec<u8>, characters: &[(usize, Vec<u8>)], tag: u8) {
    let len: usize = characters.iter().map(|(units, _)| units).sum();
    match (tag, len) {
        (b'S', 0..=31) if len % 5 != 4 => out.push(len as u8),
        (b'S', 0..=1023) if len % 3 != 2 => out.extend([0x30 + (len >> 8) as u8, len as u8]),
        _ => {
            out.push(tag);
            out.extend((len as u16).to_be_bytes());
        }
    }
    characters.iter().for_each(|(_, bytes)| out.extend(bytes));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8], chunks: &[u8]) {
    let mut rest = bytes;
    for n in chunks {
        let (chunk, more) = rest.split_at(usize::from(*n).min(rest.len()));
        out.push(b'A');
        out.extend((chunk.len() as u16).to_be_bytes());
        out.extend(chunk);
        rest = more;
    }
    match rest.len() {
        len @ 0..=15 if len % 4 != 3 => out.push(0x20 + len as u8),
        len @ 0..=1023 if len % 3 != 2 => out.extend([0x34 + (len >> 8) as u8, len as u8]),
        len => {
            out.push(b'B');
            out.extend((len as u16).to_be_bytes());
        }
    }
    out.extend(rest);
}

fn put_type(out: &mut Vec<u8>, how: u8) {
    match how % 3 {
        0 => put_int(out, i32::from(how), how % 4),
        1 => put_text(out, "[java.lang.Object", &[]),
        _ => put_text(out, "list", &[2]),
    }
}

impl Node {
    fn put(&self, out: &mut Vec<u8>, classes: &mut Classes) {
        match self {
            Self::Null => out.push(b'N'),
            Self::Bool(truth) => out.push(if *truth { b'T' } else { b'F' }),
            Self::Int(n, longer) => put_int(out, *n, *longer % 4),
            Self::Long(n, longer) => put_long(out, *n, *longer % 5),
            Self::Double(form, bits) => {
                let (tag, len) = [(0x5b, 0), (0x5c, 0), (0x5d, 1), (0x5e, 2), (0x5f, 4), (b'D', 8)]
                    [usize::from(*form % 6)];
                out.push(tag);
                out.extend(&bits.to_be_bytes()[8 - len..]);
            }
            Self::Date(form, bits) => {
                let (tag, len) = [(0x4a, 8), (0x4b, 4)][usize::from(*form % 2)];
                out.push(tag);
                out.extend(&bits.to_be_bytes()[8 - len..]);
            }
            Self::Text(text, chunks) => put_text(out, text, chunks),
            Self::Bytes(bytes, chunks) => put_bytes(out, bytes, chunks),
            Self::List(form, how, all) => {
                let len = all.len() as i32;
                let ends = match form % 6 {
                    0 => {
                        out.push(0x55);
                        put_type(out, *how);
                        true
                    }
                    1 => {
                        out.push(0x57);
                        true
                    }
                    2 if len < 8 => {
                        out.push(0x70 + len as u8);
                        put_type(out, *how);
                        false
                    }
                    3 if len < 8 => {
                        out.push(0x78 + len as u8);
                        false
                    }
                    4 => {
                        out.push(b'V');
                        put_type(out, *how);
                        put_int(out, len, *how % 4);
                        false
                    }
                    _ => {
                        out.push(0x58);
                        put_int(out, len, *how % 4);
                        false
                    }
                };
                all.iter().for_each(|node| node.put(out, classes));
                out.extend(ends.then_some(b'Z'));
            }
            Self::Map(how, all) => {
                if how % 2 == 0 {
                    out.push(b'H');
                } else {
                    out.push(b'M');
                    put_type(out, how / 2);
                }
                for (key, value) in all {
                    key.put(out, classes);
                    value.put(out, classes);
                }
                out.push(b'Z');
            }
            Self::Object(class, fields) => {
                let class = class % 24;
                let number =
                    classes.iter().position(|known| *known == class).unwrap_or_else(|| {
                        out.push(b'C');
                        put_text(out, &format!("com.example.Class{class}"), &[]);
                        put_int(out, i32::from(class % 4), class % 4);
                        (0..class % 4).for_each(|n| put_text(out, &format!("field{n}"), &[n]));
                        classes.push(class);
                        classes.len() - 1
                    });
                if number < 16 && class % 5 != 0 {
                    out.push(0x60 + number as u8);
                } else {
                    out.push(b'O');
                    put_int(out, number as i32, class % 4);
                }
                for n in 0..usize::from(class % 4) {
                    fields.get(n).unwrap_or(&Self::Null).put(out, classes);
                }
            }
            Self::Ref(number) => {
                out.push(0x51);
                put_int(out, *number as i32 & 0xff_ffff, (*number % 4) as u8);
            }
        }
    }

    /// What a rule sees of it as an argument.
    fn shown(&self) -> Is {
        match self {
            Self::Null => ABSENT,
            Self::Bool(truth) => is(if *truth { "true" } else { "false" }),
            Self::Int(n, _) => is(&n.to_string()),
            Self::Long(n, _) => is(&n.to_string()),
            Self::Text(text, _) => is(text),
            _ => UNKNOWN,
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,40}", "[a-zéß中\u{ffff}\u{0}\u{7ff}\u{800}]{0,30}", "[a-z]{1000,1100}"]
}

fn node() -> impl Strategy<Value = Node> {
    let chunks = || prop::collection::vec(0..20_u8, 0..4);
    let small = || -3000..3000_i32;
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        (prop_oneof![any::<i32>(), small()], any::<u8>()).prop_map(|(n, f)| Node::Int(n, f)),
        (prop_oneof![any::<i64>(), small().prop_map(i64::from)], any::<u8>())
            .prop_map(|(n, f)| Node::Long(n, f)),
        (any::<u8>(), any::<u64>()).prop_map(|(f, n)| Node::Double(f, n)),
        (any::<u8>(), any::<u64>()).prop_map(|(f, n)| Node::Date(f, n)),
        (text(), chunks()).prop_map(|(t, c)| Node::Text(t, c)),
        (prop::collection::vec(any::<u8>(), 0..1100), chunks())
            .prop_map(|(b, c)| Node::Bytes(b, c)),
        any::<u32>().prop_map(Node::Ref),
    ];
    leaf.prop_recursive(6, 60, 10, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..10);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..5);
        prop_oneof![
            (any::<u8>(), any::<u8>(), many()).prop_map(|(f, t, all)| Node::List(f, t, all)),
            (any::<u8>(), pairs).prop_map(|(f, all)| Node::Map(f, all)),
            (any::<u8>(), many()).prop_map(|(c, all)| Node::Object(c, all)),
        ]
    })
}

/// A request with these arguments, and these attachments in a map of this form.
fn body(args: &[Node], form: u8, attachments: &[(String, Node)]) -> Vec<u8> {
    let mut tail = Vec::new();
    put_text(&mut tail, &"Ljava/lang/Object;".repeat(args.len()), &[]);
    let mut classes = Classes::new();
    args.iter().for_each(|arg| arg.put(&mut tail, &mut classes));
    let pair = |(name, value): &(String, Node)| (Node::Text(name.clone(), vec![]), value.clone());
    Node::Map(form, attachments.iter().map(pair).collect()).put(&mut tail, &mut classes);
    call(&tail)
}

fn attachments() -> impl Strategy<Value = Vec<(String, Node)>> {
    let name = prop_oneof!["[abx]", "[a-z]{1,40}", Just("é".to_owned())];
    let texts = (text(), Just(vec![])).prop_map(|(t, c)| Node::Text(t, c));
    prop::collection::vec((name, prop_oneof![3 => texts, 1 => node()]), 0..6)
}

/// The header of an attachment, by what counts of a name.
fn header(attachments: &[(String, Node)], name: &str) -> Is {
    match attachments.iter().rev().find(|(known, _)| known == name) {
        Some((_, Node::Bool(_))) => UNKNOWN,
        Some((_, value)) => value.shown(),
        None => ABSENT,
    }
}

fn edit() -> impl Strategy<Value = HeaderEdit> {
    let name = || prop_oneof!["[abx]", Just("é".to_owned())];
    prop_oneof![
        (name(), text()).prop_map(|(n, v)| set(&n, &v)),
        (name(), text()).prop_map(|(n, v)| add(&n, &v)),
        name().prop_map(|n| remove(&n)),
    ]
}

/// Attachments after edits; `None` if one is asked for that cannot be done.
fn edited(before: &[(String, Node)], edits: &[HeaderEdit]) -> Option<Vec<(String, Node)>> {
    let mut after = before.to_vec();
    for edit in edits {
        let (name, value, must) = match edit {
            HeaderEdit::Set { name, value } => (name, Some(value), true),
            HeaderEdit::Add { name, value } => (name, Some(value), false),
            HeaderEdit::Remove { name } => (name, None, true),
            _ => return None,
        };
        let holds =
            |value: &Node| matches!(value, Node::List(..) | Node::Map(..) | Node::Object(..));
        if must && before.iter().any(|(known, value)| **known == **name && holds(value)) {
            return None;
        }
        after.retain(|(known, value)| **known != **name || holds(value));
        if let Some(value) = value {
            after.push((name.to_string(), Node::Text(value.to_string(), vec![])));
        }
    }
    Some(after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_value_has_an_end_that_is_found(
        args in prop::collection::vec(node(), 0..5),
        form in any::<u8>(),
        attachments in attachments(),
    ) {
        let call = Call::of(&body(&args, form, &attachments));
        for (n, arg) in args.iter().enumerate() {
            prop_assert_eq!(call.arg(n as u16), arg.shown());
        }
        prop_assert_eq!(call.arg(args.len() as u16), ABSENT);
        for (name, _) in attachments.iter().chain(&[("none".to_owned(), Node::Null)]) {
            prop_assert_eq!(call.header(name), header(&attachments, name));
        }
        prop_assert_eq!(call.service(), is("svc"));
        // The reader for servers, written apart, finds as much.
        let (request, _) = wire::read_request(&call.bytes).unwrap().unwrap();
        prop_assert_eq!(request.args.len(), args.len());
        prop_assert_eq!(request.attachments.len(), attachments.len());
    }

    #[test]
    fn an_edited_frame_says_what_was_asked_for(
        args in prop::collection::vec(node(), 0..4),
        form in any::<u8>(),
        attachments in attachments(),
        edits in prop::collection::vec(edit(), 0..4),
    ) {
        let call = Call::of(&body(&args, form, &attachments));
        let new = call.rewritten(Some(77), &edits);
        let Some(after) = edited(&attachments, &edits) else {
            prop_assert!(new.is_err());
            return Ok(());
        };
        let new = Call::of(&new.unwrap());
        prop_assert_eq!((new.meta.id, new.meta.len as usize), (77, new.bytes.len()));
        for name in ["a", "b", "x", "é"] {
            prop_assert_eq!(new.header(name), header(&after, name), "{}", name);
        }
        for (n, arg) in args.iter().enumerate() {
            prop_assert_eq!(new.arg(n as u16), arg.shown());
        }
        let (request, _) = wire::read_request(&new.bytes).unwrap().unwrap();
        let mut names: Vec<_> = request.attachments.iter().map(|(name, _)| &**name).collect();
        let mut expected: Vec<_> = after.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(names, expected);
    }

    #[test]
    fn a_body_that_ends_anywhere_else_is_unknown(
        args in prop::collection::vec(node(), 0..3),
        attachments in attachments(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = body(&args, 0, &attachments);
        // Behind the prefix and the types, of which there is at least one byte.
        let from = 38 + "Ljava/lang/Object;".len() * args.len();
        let at = from + cut.index(bytes.len() - from);
        let mut short = bytes[..at].to_vec();
        short[12..16].copy_from_slice(&((at - 16) as u32).to_be_bytes());
        if let Ok(heptad_core::Step::Frame(..)) = request(&short) {
            let call = Call::of(&short);
            // Where the arguments end there are no attachments; everywhere else it is broken.
            let seen = call.header("none");
            prop_assert!(seen == UNKNOWN || seen == ABSENT);
            if seen == ABSENT {
                prop_assert!(wire::read_request(&short).is_ok());
            }
        }
        let mut long = bytes.clone();
        long.push(b'N');
        long[12..16].copy_from_slice(&((bytes.len() - 15) as u32).to_be_bytes());
        prop_assert_eq!(Call::of(&long).service(), UNKNOWN);
    }

    #[test]
    fn noise_is_read_without_a_panic(
        tail in prop::collection::vec(any::<u8>(), 0..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        args in prop::collection::vec(node(), 0..3),
        attachments in attachments(),
    ) {
        for mut bytes in [call(&tail), body(&args, 1, &attachments)] {
            for (at, byte) in &damage {
                let at = 16 + at.index(bytes.len() - 16);
                bytes[at] = *byte;
            }
            if let Ok(heptad_core::Step::Frame(..)) = request(&bytes) {
                let call = Call::of(&bytes);
                let _ = (call.service(), call.method(), call.header("a"), call.arg(1));
                let _ = (call.timeout(), call.rewritten(Some(1), &[set("a", "b")]));
            }
            let _ = wire::read(&bytes);
        }
    }
}

#[test]
fn hostile_values_are_unknown_and_cost_no_more_than_their_bytes() {
    let mega = 1 << 20;
    let deep = |open: &[u8]| open.repeat(10_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("ten thousand lists", deep(b"\x79")),
        ("lists without an end", deep(b"\x57")),
        ("maps as keys", deep(b"H")),
        ("maps as values", deep(b"H\x91")),
        ("typed maps", deep(b"M\x90")),
        ("objects in themselves", [&b"C\x01a\x91\x01x"[..], &deep(b"\x60")].concat()),
        ("a list of 2^31", b"\x58I\x7f\xff\xff\xff".to_vec()),
        ("a typed list of 2^31", b"V\x01tI\x7f\xff\xff\xff".to_vec()),
        ("a list of -1", b"\x58\x8f".to_vec()),
        ("a class of 2^31 fields", b"C\x01aI\x7f\xff\xff\xff".to_vec()),
        ("a class of -1 fields", b"C\x01a\x8f\x60".to_vec()),
        ("an object of no class", b"\x60".to_vec()),
        ("an object of class 2^31", b"C\x01a\x90OI\x7f\xff\xff\xff".to_vec()),
        ("an object of class -1", b"C\x01a\x90O\x8f".to_vec()),
        ("a text of 64 KiB", b"S\xff\xff".to_vec()),
        ("bytes of 64 KiB", b"B\xff\xff".to_vec()),
        ("chunks of text without end", b"R\0\0".repeat(mega / 3)),
        ("chunks of bytes without end", b"A\0\0".repeat(mega / 3)),
        ("definitions without end", [&b"C\x01a\x90".repeat(mega / 4)[..], b"C"].concat()),
        ("reference to -1", b"Q\x8f".to_vec()),
        ("a length that is a text", b"\x58\x01a".to_vec()),
        ("a length that is a long", b"\x58\xe1N".to_vec()),
        ("the end of nothing", b"Z".to_vec()),
        ("a map with a key alone", b"H\x91Z".to_vec()),
    ];
    for (name, value) in &cases {
        let call = Call::of(&call(&[b"\x01I", &value[..], b"HZ"].concat()));
        assert_eq!(call.header("a"), UNKNOWN, "{name}");
        assert_eq!(call.service(), UNKNOWN, "{name}");
        assert!(wire::read(&call.bytes).is_err(), "{name}");
    }
    // An object that is its own field is a number on the wire.
    let cycle = Call::of(&call(b"\x01IC\x01a\x91\x01x\x60Q\x90H\x01a\x01bZ"));
    assert_eq!(cycle.header("a"), is("b"));
}

#[test]
fn the_work_grows_with_the_bytes() {
    // Each of these is some megabytes of what is dearest to read. Quadratic reading would take hours.
    let cx = curious().max_depth(u32::MAX).max_parts(u32::MAX);
    let mega = 1 << 20;
    for tail in [
        [&b"\x01I\x57"[..], &b"\x91".repeat(4 * mega), b"ZH\x01a\x01bZ"].concat(),
        [&b"\x01I"[..], &b"\x79".repeat(4 * mega), b"NH\x01a\x01bZ"].concat(),
        [&b"\x01I"[..], &b"R\0\0".repeat(mega), b"\0H\x01a\x01bZ"].concat(),
        [&b"\x01I"[..], &b"C\x01a\x90".repeat(mega), b"\x60H\x01a\x01bZ"].concat(),
        [&b"\x01IH"[..], &b"\x91\x78".repeat(mega), b"ZH\x01a\x01bZ"].concat(),
        [&b"\x01I"[..], &b"RD\x44\xc3\xa9"[..], &b"\xc3\xa9".repeat(0x4443), b"\0H\x01a\x01bZ"]
            .concat(),
        [&b"\0H"[..], &b"\x01a\x01c".repeat(mega), b"\x01a\x01bZ"].concat(),
    ] {
        let call = Call::with(&cx, &call(&tail));
        assert_eq!((call.header("a"), call.service()), (is("b"), is("svc")));
        assert!(call.rewritten(Some(1), &[remove("a")]).is_ok());
    }
}
