//! Header edits: attachments of requests and replies before and after, byte by byte.

mod common;

use common::*;
use heptad_core::{Asked, Codec, Ctx, Flavour, HeaderEdit, Meta, NoOptions, Reason, Side, Step};
use heptad_dubbo::{Dubbo, Tag, wire};

/// Edits a request whose types, arguments and attachments are `tail`.
#[track_caller]
fn check(tail: &[u8], edits: &[HeaderEdit], expected: &[u8]) {
    let edited = Call::of(&call(tail)).rewritten(None, edits).unwrap();
    let expected = call(expected);
    assert_eq!(edited.escape_ascii().to_string(), expected.escape_ascii().to_string());
    Call::of(&edited).header("user").unwrap();
}

#[test]
fn attachments_are_set_added_and_removed() {
    let tail = b"\x01I\x97H\x04user\x05jason\x01a\x01bZ";
    check(tail, &[set("user", "anna")], b"\x01I\x97H\x01a\x01b\x04user\x04annaZ");
    check(tail, &[add("user", "anna")], b"\x01I\x97H\x01a\x01b\x04user\x04annaZ");
    check(tail, &[set("x", "1")], b"\x01I\x97H\x04user\x05jason\x01a\x01b\x01x\x011Z");
    check(tail, &[remove("user")], b"\x01I\x97H\x01a\x01bZ");
    check(tail, &[remove("a")], b"\x01I\x97H\x04user\x05jasonZ");
    check(tail, &[remove("a"), remove("user")], b"\x01I\x97HZ");
    check(tail, &[remove("x")], tail);
    check(tail, &[set("a", "1"), remove("a")], b"\x01I\x97H\x04user\x05jasonZ");
    check(tail, &[remove("a"), set("a", "1")], b"\x01I\x97H\x04user\x05jason\x01a\x011Z");
    check(
        tail,
        &[add("x", "1"), add("x", "2")],
        b"\x01I\x97H\x04user\x05jason\x01a\x01b\x01x\x012Z",
    );
    let long = "ü".repeat(33);
    let expected = [b"\x01I\x97H\x04user\x05jason\x01a\x01b\x01x0\x21", long.as_bytes(), b"Z"];
    check(tail, &[set("x", &long)], &expected.concat());
    // Every one of a name, in any form.
    let twice = b"\0H\x04user\x01a\x01b\x01cR\0\x02us\x02er\x91\x04userTZ";
    check(twice, &[remove("user")], b"\0H\x01b\x01cZ");
}

#[test]
fn a_map_is_written_where_there_is_none() {
    check(b"\0N", &[set("x", "1")], b"\0H\x01x\x011Z");
    check(b"\0", &[set("x", "1")], b"\0H\x01x\x011Z");
    check(b"\x01I\x97", &[add("x", "1")], b"\x01I\x97H\x01x\x011Z");
    check(b"\0N", &[remove("x")], b"\0N");
    check(b"\0", &[remove("x")], b"\0");
    check(b"\0HZ", &[set("x", "1")], b"\0H\x01x\x011Z");
    let typed = b"\0M\x11java.util.HashMap\x01a\x01bZ";
    check(typed, &[set("x", "1"), remove("a")], b"\0M\x11java.util.HashMap\x01x\x011Z");
}

#[test]
fn what_references_count_is_not_taken_out() {
    let stuck = b"\0H\x01l\x79\x91\x01sQ\x91Z";
    for edit in [set("l", "1"), remove("l")] {
        let fault = Call::of(&call(stuck)).rewritten(None, &[edit]).unwrap_err();
        assert_eq!(fault.reason, Reason::Unsupported);
    }
    check(stuck, &[add("l", "1")], b"\0H\x01l\x79\x91\x01sQ\x91\x01l\x011Z");
    check(stuck, &[remove("s")], b"\0H\x01l\x79\x91Z");
    check(stuck, &[set("s", "1")], b"\0H\x01l\x79\x91\x01s\x011Z");
    // A key that is no text has no name.
    check(b"\0H\x78\x01a\x91\x01bZ", &[remove("a")], b"\0H\x78\x01a\x91\x01bZ");
}

#[test]
fn what_cannot_be_read_cannot_be_edited() {
    let unreadable = [call(b"\x01I\x40HZ"), call(b"\0HZ\0"), raw(0xc6, 0, 1, b"\"2.0.2\"\n")];
    for bytes in unreadable {
        let call = Call::of(&bytes);
        let fault = call.rewritten(Some(2), &[remove("user")]).unwrap_err();
        assert_eq!(fault.reason, Reason::Unsupported);
        let mut renumbered = bytes.clone();
        renumbered[4..12].copy_from_slice(&2_u64.to_be_bytes());
        assert_eq!(call.rewritten(Some(2), &[]), Ok(renumbered), "without edits it is forwarded");
    }
}

#[test]
fn a_thousand_removed_attachments_are_gone() {
    let many: Vec<(&str, &str)> = (0..2000).map(|i| (["a", "b"][i % 2], "x")).collect();
    let bytes = wire::request(1, "svc", "", "list", "", &[], &many);
    let edited = Call::of(&bytes).rewritten(Some(9), &[remove("a")]).unwrap();
    let (request, _) = wire::read_request(&edited).unwrap().unwrap();
    assert_eq!((request.id, request.attachments.len()), (9, 1001));
    assert!(request.attachments.iter().all(|(name, _)| name != "a"));
}

struct One(Tag);

impl Asked<Tag> for One {
    fn tag(&self, _: u64) -> Option<Tag> {
        Some(self.0)
    }
}

/// Edits a reply with this body to a request of this framework version.
fn edited_reply(
    framework: &str,
    flags: u8,
    status: u8,
    body: &[u8],
    edits: &[HeaderEdit],
) -> Vec<u8> {
    let version = [&[framework.len() as u8][..], framework.as_bytes()].concat();
    let asked = Call::of(&raw(0xc2, 0, 9, &[&version[..], b"\x03svc\0\x04list\0N"].concat()));
    let bytes = raw(flags, status, 9, body);
    let codec = Dubbo::default();
    let mut link = codec.open(Side::Link(&NoOptions::default()), Flavour::default());
    let step = codec.decode_reply(&mut link, &One(asked.tag), &Ctx::default(), &bytes);
    let Ok(Step::Frame(meta, ())) = step else { panic!("{step:?}") };
    let meta: Meta = meta;
    let new = rewritten(&link, &bytes, &meta, asked.tag, Some(4), edits).unwrap();
    assert_eq!(new[..12], raw(flags, status, 4, b"")[..12]);
    let len = u32::from_be_bytes(new[12..16].try_into().unwrap());
    assert_eq!(len as usize + 16, new.len());
    new[16..].to_vec()
}

#[test]
fn replies_get_attachments_where_their_client_reads_them() {
    let edits = [set("x", "1")];
    for (body, expected) in [
        (&b"\x90\x01e"[..], &b"\x93\x01eH\x01x\x011Z"[..]),
        (b"\x91\x01v", b"\x94\x01vH\x01x\x011Z"),
        (b"\x92", b"\x95H\x01x\x011Z"),
        (b"\xc8\x02", b"\x95H\x01x\x011Z"),
        (b"\x93\x01eH\x01a\x01bZ", b"\x93\x01eH\x01a\x01b\x01x\x011Z"),
        (b"\x94\x01vH\x01x\x01bZ", b"\x94\x01vH\x01x\x011Z"),
        (b"\x95N", b"\x95H\x01x\x011Z"),
        (b"\x94\x01v", b"\x94\x01vH\x01x\x011Z"),
        // What cannot be edited is still the reply.
        (b"\x94\x01vH\x01x\x78Z", b"\x94\x01vH\x01x\x78Z"),
        (b"\x94\x40HZ", b"\x94\x40HZ"),
        (b"\x96", b"\x96"),
    ] {
        let new = edited_reply("2.0.2", 0x02, 20, body, &edits);
        assert_eq!(new.escape_ascii().to_string(), expected.escape_ascii().to_string());
        let old = edited_reply("2.5.3", 0x02, 20, body, &edits);
        assert_eq!(old, body, "its client does not know attachments of replies");
    }
    assert_eq!(edited_reply("2.0.2", 0x02, 20, b"\x91N", &[remove("x")]), b"\x91N");
    assert_eq!(edited_reply("2.0.2", 0x02, 20, b"\x94NH\x01x\x01yZ", &[remove("x")]), b"\x94NHZ");
    assert_eq!(edited_reply("2.0.2", 0x02, 70, b"\x03bad", &edits), b"\x03bad");
    assert_eq!(edited_reply("2.0.2", 0x06, 20, b"1\n", &edits), b"1\n");
}
