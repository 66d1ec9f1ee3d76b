//! Headers of tRPC's streams stand in a message within a message. They are edited there, however
//! often the outer field comes, and if it does not come at all.

use heptad_core::{Chain, Codec, Ctx, HeaderEdit, Rewrite, Splice, Step};
use heptad_described::{Conn, Trpc};

/// A frame that opens a stream, with this head.
fn open(head: &[u8]) -> Vec<u8> {
    let size = u8::try_from(16 + head.len()).expect("a short one");
    [&[9, 0x30, 1, 1, 0, 0, 0, size, 0, 0, 0, 0, 0, 5, 0, 0], head].concat()
}

/// A header in the map of `TrpcStreamInitRequestMeta`.
fn entry(name: &str, value: &str) -> Vec<u8> {
    let text = |key: u8, text: &str| [&[key, text.len() as u8], text.as_bytes()].concat();
    let inner = [text(0x0a, name), text(0x12, value)].concat();
    [&[0x2a, inner.len() as u8], &inner[..]].concat()
}

fn meta(content: &[u8]) -> Vec<u8> {
    [&[0x0a, content.len() as u8], content].concat()
}

fn edited(frame: &[u8], edits: &[HeaderEdit]) -> Vec<u8> {
    let codec = Trpc::new(&Default::default()).expect("the description is good");
    let conn = Conn::default();
    let Ok(Step::Frame(meta, ())) =
        codec.decode_request(&mut Conn::default(), &Ctx::default(), frame)
    else {
        panic!("no frame")
    };
    let mut out = Chain::default();
    let mut splice = Splice::new(frame, None, &mut out);
    let edit = Rewrite::new(Some(9), edits);
    codec.rewrite(&conn, &conn, &meta, (), &edit, &mut splice).expect("it can be edited");
    out.to_vec()
}

fn set(name: &str, value: &str) -> HeaderEdit {
    HeaderEdit::Set { name: name.into(), value: value.into() }
}

/// The frame with this head and the id that the edit gave it.
fn expected(head: &[u8]) -> Vec<u8> {
    let mut frame = open(head);
    frame[13] = 9;
    frame
}

#[test]
fn headers_are_set_and_removed_where_they_stand() {
    let callee = b"\x12\x01s";
    let window = b"\x18\xff\xff\x03";
    let inner = [&callee[..], &entry("a", "1"), &entry("b", "2")].concat();
    let frame = open(&[&meta(&inner), &window[..]].concat());
    let edits = [set("b", "longer than before"), HeaderEdit::Remove { name: "a".into() }];
    let inner = [&callee[..], &entry("b", "longer than before")].concat();
    assert_eq!(edited(&frame, &edits), expected(&[&meta(&inner), &window[..]].concat()));
    assert_eq!(edited(&frame, &[]), {
        let mut same = frame;
        same[13] = 9;
        same
    });
}

#[test]
fn of_several_outer_fields_all_lose_and_the_last_one_gains() {
    let frame = open(&[meta(&entry("a", "1")), meta(&entry("a", "2"))].concat());
    let head = [meta(&[]), meta(&entry("a", "3"))].concat();
    assert_eq!(edited(&frame, &[set("a", "3")]), expected(&head));
}

#[test]
fn without_the_outer_field_there_is_one_afterwards_if_something_is_added() {
    let window = b"\x18\x07";
    let frame = open(window);
    let head = [&window[..], &meta(&entry("a", "1"))].concat();
    assert_eq!(edited(&frame, &[set("a", "1")]), expected(&head));
    let removed = edited(&frame, &[HeaderEdit::Remove { name: "a".into() }]);
    assert_eq!(removed, expected(window));
}
