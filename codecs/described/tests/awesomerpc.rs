//! The described AwesomeRPC and the coded one say the same of the same bytes, frame by frame:
//! whole, cut, damaged, edited and answered.

use awesomerpc::{AwesomeRpc, STATUSES, wire::Message};
use heptad_core::{
    Answer, Asked, Chain, Codec, Ctx, Fault, HeaderEdit, Kind, Meta, Outcome, Question, Reason,
    Rewrite, Splice, Step,
};
use heptad_described::{AwesomeRpc as DescribedRpc, Conn};
use proptest::{collection::vec, prelude::*, sample::select};

struct Nothing;

impl Asked<()> for Nothing {
    fn tag(&self, _: u64) -> Option<()> {
        None
    }
}

fn coded() -> AwesomeRpc {
    AwesomeRpc::default()
}

fn described() -> DescribedRpc {
    DescribedRpc::new(&Default::default()).expect("the description is good")
}

/// What a step says, but for words and what is the codec's own.
fn plain(step: Result<Step<()>, Fault>) -> Result<Step<()>, (Outcome, Reason)> {
    match step {
        Ok(Step::Frame(meta, ())) => Ok(Step::Frame(meta.aux(0), ())),
        Ok(Step::Reject(meta, fault)) => {
            Ok(Step::Reject(meta.aux(0), Fault::new(fault.outcome, fault.reason, "")))
        }
        Ok(step) => Ok(step),
        Err(fault) => Err((fault.outcome, fault.reason)),
    }
}

fn edits() -> impl Strategy<Value = Vec<HeaderEdit>> {
    let name = || select(vec!["user", "trace", "x", ""]);
    let value = "[a-z]{0,9}";
    let edit = prop_oneof![
        (name(), value).prop_map(|(n, v)| HeaderEdit::Set { name: n.into(), value: v.into() }),
        (name(), value).prop_map(|(n, v)| HeaderEdit::Add { name: n.into(), value: v.into() }),
        name().prop_map(|n| HeaderEdit::Remove { name: n.into() }),
    ];
    vec(edit, 0..4)
}

fn message() -> impl Strategy<Value = Message> {
    let kind = select(awesomerpc::KINDS.to_vec());
    let headers = vec((select(vec!["user", "trace", "y"]), "[a-z]{0,12}"), 0..4);
    (kind, any::<u32>(), "[a-z.]{0,20}", "[a-z]{0,9}", headers, 0_u8..20, vec(any::<u8>(), 0..40))
        .prop_map(|(kind, id, service, method, headers, status, body)| {
            let mut message = Message::new(kind, id);
            match kind {
                Kind::Request | Kind::Oneway | Kind::Open => {
                    message = Message::request(id, &service, &method);
                    message.kind = kind;
                    for (name, value) in headers {
                        message = message.header(name, &value);
                    }
                    message.body(body)
                }
                Kind::Reply | Kind::Reset => {
                    message.status = status;
                    message.body(body)
                }
                Kind::Ping | Kind::Pong | Kind::GoAway => message,
                _ => message.body(body),
            }
        })
}

/// Both decoders on bytes that begin a frame.
fn agree(buf: &[u8], cx: &Ctx, edits: &[HeaderEdit], id: Option<u64>) -> Option<usize> {
    let (rpc, other) = (coded(), described());
    let mut conn = Conn::default();
    let request = rpc.decode_request(&mut (), cx, buf);
    let same = other.decode_request(&mut conn, cx, buf);
    assert_eq!(plain(request), plain(same), "request");
    let reply = rpc.decode_reply(&mut (), &Nothing, cx, buf);
    let same_reply = other.decode_reply(&mut conn, &Nothing, cx, buf);
    assert_eq!(plain(reply), plain(same_reply), "reply");
    let mut len = None;
    for (a, b) in [(request, same), (reply, same_reply)] {
        let (Ok(Step::Frame(a, ())), Ok(Step::Frame(b, ()))) = (a, b) else { continue };
        let Some(frame) = buf.get(..a.len as usize) else { continue };
        len = Some(frame.len());
        assert_eq!(rpc.code_name(&a, frame), other.code_name(&b, frame));
        for name in ["user", "trace", "none"] {
            let (mut s, mut t) = (Vec::new(), Vec::new());
            let ours = other.header(&conn, &b, frame, name, &mut t);
            assert_eq!(rpc.header(&(), &a, frame, name, &mut s), ours);
        }
        let (mut s, mut t) = (Vec::new(), Vec::new());
        assert_eq!(rpc.service(&(), &a, frame, &mut s), other.service(&conn, &b, frame, &mut t));
        let edit = Rewrite::new(id, edits);
        let (mut one, mut two) = (Chain::default(), Chain::default());
        let mut splice = Splice::new(frame, None, &mut one);
        let first = rpc.rewrite(&(), &(), &a, (), &edit, &mut splice);
        let mut splice = Splice::new(frame, None, &mut two);
        let second = other.rewrite(&conn, &conn, &b, (), &edit, &mut splice);
        assert_eq!(first.map_err(|f| f.reason), second.map_err(|f| f.reason));
        assert_eq!(one.to_vec(), two.to_vec());
        answers(&a, &b);
    }
    len
}

fn answers(a: &Meta, b: &Meta) {
    let (rpc, other) = (coded(), described());
    let errors = Outcome::ALL.iter().filter(|o| !matches!(o, Outcome::Ok | Outcome::AppError));
    let reason = Reason::None;
    let errors = errors.map(|&outcome| Answer::Error { outcome, reason, text: "sorry" });
    for answer in errors.chain([Answer::Pong, Answer::Direct { text: "hello" }, Answer::Local]) {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let first = rpc.answer(&mut (), &Question::new(a, ()), &answer, &mut one);
        let second = other.answer(&mut Conn::default(), &Question::new(b, ()), &answer, &mut two);
        assert_eq!(first.is_ok(), second.is_ok(), "{answer:?}");
        assert_eq!(one, two, "{answer:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whole_and_cut_traffic(
        messages in vec(message(), 1..5),
        cut in any::<prop::sample::Index>(),
        edits in edits(),
        id in proptest::option::of(0..=u64::from(u32::MAX)),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(Message::to_bytes).collect();
        let mut at = 0;
        while let Some(len) = bytes.get(at..).filter(|rest| !rest.is_empty())
            .and_then(|rest| agree(rest, &Ctx::default(), &edits, id))
        {
            at += len;
        }
        prop_assert_eq!(at, bytes.len());
        for small in [Ctx::default(), Ctx::default().max_head(40).max_parts(2).max_frame(60)] {
            agree(&bytes[..1 + cut.index(bytes.len())], &small, &edits, id);
        }
    }

    #[test]
    fn damaged_traffic(
        message in message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        edits in edits(),
    ) {
        let mut bytes = message.to_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len().min(40));
            bytes[at] = byte;
        }
        agree(&bytes, &Ctx::default(), &edits, Some(7));
    }
}

#[test]
fn what_heptad_says_unasked() {
    let (rpc, other) = (coded(), described());
    let conn = &mut Conn::default();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    assert!(rpc.ping(&mut (), 7, &mut one) && other.ping(conn, 7, &mut two));
    assert!(rpc.abandon(&mut (), 8, (), &mut one) && other.abandon(conn, 8, (), &mut two));
    assert!(rpc.drain(&mut (), &mut one) && other.drain(conn, &mut two));
    assert_eq!(one, two);
    assert_eq!(rpc.traits(), other.traits());
}

#[test]
fn all_statuses_are_listed() {
    let (_, text) = heptad_described::SHIPPED[0];
    let (description, _) = heptad_described::read("awesomerpc.yaml", text).expect("it is good");
    let listed =
        description.statuses.iter().map(|s| (s.value.0, s.name.as_str(), s.outcome.clone()));
    let coded = STATUSES
        .iter()
        .enumerate()
        .map(|(n, (name, outcome))| (n as u64, *name, outcome.to_string()));
    assert!(listed.eq(coded));
}
