//! Each conformance check fails for the codec that is broken in just its way, by the rule's name,
//! and does not for the codec that is not.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_core::{
    Answer, Asked, Codec, Ctx, FanOut, Fault, Flavour, Found, Greet, HeaderEdit, Kind, Meta,
    NoOptions, OptionsError, Outcome, PartReply, Question, Reason, Rewrite, Side, Span, Splice,
    Step, Template, Traits, Unknown,
};
use heptad_testkit::conformance::{Conformance, Failure, Rule};

/// AwesomeRPC with one mistake.
#[derive(Clone)]
struct Mutant {
    inner: AwesomeRpc,
    bug: Bug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Takes the end of the read for the end of the frame.
    LenIsRead,
    /// Knows the service only if the body is there too.
    LateService,
    /// Counts its calls in what it says.
    CountsCalls,
    /// Changes its mind when a frame is decoded once more.
    ForgetsAfterFrame,
    /// Faults where it should wait.
    FaultsOnHalf,
    /// Looks at what follows a reply.
    LooksBehind,
    /// Counts the calls until a reply is there.
    CountsReplyCalls,
    /// Has no `TooLarge` among its faults.
    WrongWord,
    NeedsWhatItHas,
    NeedsTheWholeBody,
    SkipsNothing,
    EmptyFrame,
    IgnoresMaxFrame,
    IgnoresMaxHead,
    HeadBeyondLen,
    SpanBeyondHead,
    RepliesFromClients,
    LongCodeName,
    PanicsOnGarbage,
    KeepsId,
    CutsIdTo16Bits,
    DropsHeader,
    LosesBody,
    AddsTail,
    IgnoresEdits,
    RemovesAll,
    AnswersNothing,
    AnswersTwice,
    AnswersOtherId,
    AnswersOk,
    AnswerClears,
    AnswerPanics,
    AnswerFails,
    DirectIsError,
    PongWithoutId,
    PingIsGarbage,
    AbandonWritesNothing,
    DrainIsReply,
    /// Reads the whole head anew with every byte of it.
    RescansHead,
    /// Knows the limit on parts, and another word for it.
    PartsAreMalformed,
    /// Has another word for what the test calls hostile.
    DeniesGarbage,
    /// Has one word for all that can go wrong, which is the wrong one.
    AllIsLimited,
    /// Spells methods in another way if rules said that they ask for services.
    SpellsIfWanted,
    /// Lists a header that nobody sent.
    ListsTooMany,
    /// Remembers the first request it has seen, whatever became of it.
    RemembersRefused,
    /// Says that the last request failed when it was told to answer with an error.
    RemembersErrors,
    /// Greets with what no server understands.
    GreetsInGarbage,
    /// Waits for an answer to nothing.
    GreetsNobody,
    /// Makes a success of what two endpoints failed to do.
    JoinsToOk,
    /// Takes requests to all services for alike.
    TemplateWithoutNames,
    /// Has the id in another place when it is copied.
    TemplateAtLength,
}

impl Mutant {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// As a decoder that looks through the head with every byte, and asks for one more. Some bytes
    /// make it ask for the rest.
    fn rescan(&self, buf: &[u8], step: Step<()>) -> Step<()> {
        match step {
            Step::Need(n) if n > 12 && self.is(Bug::RescansHead) && !buf.contains(&0xff) => {
                Step::Need(buf.len() + 1)
            }
            step => step,
        }
    }

    fn twist(&self, calls: &mut u32, buf: &[u8], step: Step<()>) -> Step<()> {
        if !matches!(self.bug, Bug::RemembersRefused | Bug::RemembersErrors) {
            *calls += 1;
        }
        match (self.bug, step) {
            (Bug::NeedsWhatItHas, Step::Need(_)) => Step::Need(buf.len()),
            (Bug::SkipsNothing, _) if buf.len() > 3 => Step::Skip(0),
            (bug, Step::Frame(mut meta, ())) => {
                let body_here = buf.len() >= meta.len as usize;
                let has_body = meta.len > meta.head;
                match bug {
                    Bug::LenIsRead if has_body && body_here => meta.len = buf.len() as u32,
                    Bug::LateService if !body_here => meta.service = Span::NONE,
                    Bug::CountsCalls => meta.aux = *calls,
                    Bug::ForgetsAfterFrame if calls.is_multiple_of(2) => meta.method = Span::NONE,
                    Bug::NeedsTheWholeBody if !body_here => {
                        return Step::Need(meta.len as usize);
                    }
                    Bug::EmptyFrame => meta.len = 0,
                    Bug::HeadBeyondLen => meta.head = meta.len + 1,
                    Bug::SpanBeyondHead => meta.method = Span::new(meta.head as usize, 1),
                    Bug::RemembersRefused => {
                        let id = meta.id as u32 & 0xffff;
                        if *calls & 0xffff != id {
                            *calls = *calls << 16 | id;
                        }
                        meta.aux = *calls >> 16;
                    }
                    Bug::RemembersErrors => meta.aux = u32::from(*calls == u32::MAX),
                    Bug::JoinsToOk if meta.kind == Kind::Request => meta.fan_out = FanOut::All,
                    Bug::RepliesFromClients if meta.kind == Kind::Oneway => {
                        meta.kind = Kind::Reply;
                    }
                    _ => {}
                }
                Step::Frame(meta, ())
            }
            (_, step) => step,
        }
    }

    fn limits(&self, cx: &Ctx) -> Ctx {
        match self.bug {
            Bug::IgnoresMaxFrame => cx.max_frame(u32::MAX),
            Bug::IgnoresMaxHead => cx.max_head(u32::MAX),
            _ => *cx,
        }
    }
}

impl Codec for Mutant {
    const NAME: &'static str = "mutant";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = u32;
    type Tag = ();

    fn new(options: &NoOptions) -> Result<Self, OptionsError> {
        let inner = AwesomeRpc::new(options)?;
        Ok(Self { inner, bug: Bug::None })
    }

    fn traits(&self) -> Traits {
        self.inner.traits()
    }

    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) -> u32 {
        0
    }

    fn decode_request(&self, calls: &mut u32, cx: &Ctx, buf: &[u8]) -> Result<Step<()>, Fault> {
        if self.is(Bug::FaultsOnHalf) && buf.len() < 12 {
            return Err(Fault::malformed("half a frame"));
        }
        let step = self.inner.decode_request(&mut (), &self.limits(cx), buf);
        assert!(!self.is(Bug::PanicsOnGarbage) || step.is_ok(), "expected by this test");
        match step {
            Err(_) if self.is(Bug::WrongWord) => Err(Fault::malformed("something is wrong")),
            Err(_) if self.is(Bug::DeniesGarbage) && buf.first() == Some(&b'G') => {
                Err(Fault::new(Outcome::Denied, Reason::None, "not this"))
            }
            Ok(Step::Reject(meta, fault))
                if self.is(Bug::PartsAreMalformed) && fault.reason == Reason::Parts =>
            {
                Ok(Step::Reject(meta, Fault::malformed("too many")))
            }
            Ok(Step::Frame(meta, ())) if self.is(Bug::SpellsIfWanted) => {
                Ok(Step::Frame(meta.aux(u32::from(cx.want.service)), ()))
            }
            step => Ok(self.twist(calls, buf, self.rescan(buf, step?))),
        }
    }

    fn decode_reply<A: Asked<()>>(
        &self,
        calls: &mut u32,
        asked: &A,
        cx: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        *calls += 1;
        let cx = self.limits(cx);
        let step = self.inner.decode_reply(&mut (), asked, &cx, buf)?;
        Ok(match (self.bug, step) {
            (Bug::LooksBehind, Step::Frame(meta, ())) if buf.len() > meta.len as usize => {
                Step::Frame(meta.aux(1), ())
            }
            (Bug::CountsReplyCalls, Step::Frame(meta, ())) => Step::Frame(meta.aux(*calls), ()),
            (_, step) => step,
        })
    }

    fn answer(
        &self,
        conn: &mut u32,
        to: &Question<'_, ()>,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let ok = Answer::Direct { text: "ok" };
        let error = Answer::Error { outcome: Outcome::Denied, reason: Reason::None, text: "" };
        let other = Meta::request(12).id(to.meta.id ^ 1);
        let is_error = matches!(answer, Answer::Error { .. });
        let is_direct = matches!(answer, Answer::Direct { .. });
        match self.bug {
            Bug::AnswersNothing if is_error => return Ok(()),
            Bug::AnswersTwice if is_error => self.inner.answer(&mut (), to, answer, out)?,
            Bug::AnswersOtherId if is_error => {
                return self.inner.answer(&mut (), &Question::new(&other, ()), answer, out);
            }
            Bug::PongWithoutId if !is_error && !is_direct => {
                let other = Meta::frame(Kind::Ping, 12);
                return self.inner.answer(&mut (), &Question::new(&other, ()), answer, out);
            }
            Bug::AnswersOk if is_error => return self.inner.answer(&mut (), to, &ok, out),
            Bug::DirectIsError if is_direct => {
                return self.inner.answer(&mut (), to, &error, out);
            }
            Bug::AllIsLimited if is_error => {
                let reason = Reason::None;
                let limited = Answer::Error { outcome: Outcome::Limited, reason, text: "no" };
                return self.inner.answer(&mut (), to, &limited, out);
            }
            Bug::RemembersErrors if is_error => *conn = u32::MAX,
            Bug::AnswerClears if is_error => out.clear(),
            Bug::AnswerPanics => assert!(
                !matches!(answer, Answer::Error { outcome: Outcome::FaultInjected, .. }),
                "expected by this test"
            ),
            Bug::AnswerFails if is_error => return Err(Fault::malformed("no words for it")),
            _ => {}
        }
        self.inner.answer(&mut (), to, answer, out)
    }

    fn method<'a>(
        &'a self,
        _: &'a u32,
        meta: &Meta,
        frame: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let method = meta.method.of(frame);
        if self.is(Bug::SpellsIfWanted) && meta.aux == 1 {
            scratch.extend(method.unwrap_or_default().to_ascii_uppercase());
            return Ok(method.and(Some(scratch)));
        }
        Ok(method)
    }

    fn header<'a>(
        &'a self,
        _: &'a u32,
        meta: &Meta,
        frame: &'a [u8],
        name: &str,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        self.inner.header(&(), meta, frame, name, scratch)
    }

    fn template(&self, _: &u32, _: &u32, meta: &Meta, (): (), frame: &[u8]) -> Option<Template> {
        match self.bug {
            Bug::TemplateWithoutNames => Template::new(12, 4, 12, 8..12),
            Bug::TemplateAtLength => Template::new(meta.head as usize, 8, 12, 4..8),
            // What some of the others make of a frame is not decided by its head alone.
            Bug::None => self.inner.template(&(), &(), meta, (), frame),
            _ => None,
        }
    }

    fn headers(
        &self,
        _: &u32,
        meta: &Meta,
        frame: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unknown> {
        if self.is(Bug::ListsTooMany) {
            each(b"nobody", b"sent this");
        }
        self.inner.headers(&(), meta, frame, each)
    }

    fn code_name<'a>(&'a self, meta: &Meta, frame: &'a [u8]) -> Option<&'a str> {
        const LONG: &str = "A_NAME_THAT_IS_MUCH_TOO_LONG_TO_BE_A_LABEL_OF_A_METRIC_IN_PROMETHEUS";
        let name = self.inner.code_name(meta, frame);
        if self.is(Bug::LongCodeName) { name.and(Some(LONG)) } else { name }
    }

    fn rewrite(
        &self,
        _: &u32,
        _: &u32,
        meta: &Meta,
        (): (),
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let mut edit = *edit;
        let removal = edit.headers.iter().any(|edit| matches!(edit, HeaderEdit::Remove { .. }));
        let user = [HeaderEdit::Remove { name: "user".into() }];
        match self.bug {
            Bug::KeepsId => edit.id = None,
            Bug::CutsIdTo16Bits => edit.id = edit.id.map(|id| id & 0xffff),
            Bug::DropsHeader if edit.headers.is_empty() => edit.headers = &user,
            Bug::IgnoresEdits => edit.headers = &[],
            Bug::RemovesAll if removal => edit.headers = &user,
            Bug::LosesBody if edit.id == Some(1) => {
                let head = meta.head as usize;
                let fixed = out.frame().get(..head).unwrap_or_default().to_vec();
                let mut bytes = fixed;
                let length = (head as u32 - 12).to_be_bytes();
                bytes.splice(4..8, length);
                bytes.splice(8..12, 1_u32.to_be_bytes());
                out.put(&bytes);
                return Ok(());
            }
            _ => {}
        }
        self.inner.rewrite(&(), &(), meta, (), &edit, out)?;
        if self.is(Bug::AddsTail) {
            out.put(b"!");
        }
        Ok(())
    }

    fn greet(
        &self,
        _: &mut u32,
        _: Option<(&Meta, &[u8])>,
        out: &mut Vec<u8>,
    ) -> Result<Greet, Fault> {
        match self.bug {
            Bug::GreetsInGarbage => out.extend_from_slice(b"hello"),
            Bug::GreetsNobody => return Ok(Greet::Wait),
            _ => {}
        }
        Ok(Greet::Ready)
    }

    fn join(
        &self,
        _: &mut u32,
        to: &Question<'_, ()>,
        _: &[PartReply<'_>],
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Fault> {
        self.inner.answer(&mut (), to, &Answer::Direct { text: "ok" }, out)?;
        Ok(Outcome::Ok)
    }

    fn ping(&self, _: &mut u32, id: u64, out: &mut Vec<u8>) -> bool {
        if self.is(Bug::PingIsGarbage) {
            out.extend_from_slice(b"ping");
            return true;
        }
        self.inner.ping(&mut (), id, out)
    }

    fn abandon(&self, _: &mut u32, id: u64, (): (), out: &mut Vec<u8>) -> bool {
        self.is(Bug::AbandonWritesNothing) || self.inner.abandon(&mut (), id, (), out)
    }

    fn drain(&self, _: &mut u32, out: &mut Vec<u8>) -> bool {
        if self.is(Bug::DrainIsReply) {
            out.extend(Message::reply(0, "bye").to_bytes());
            return true;
        }
        self.inner.drain(&mut (), out)
    }
}

fn suite(bug: Bug) -> Conformance<Mutant> {
    let request = Message::request(0x10_0007, "reviews", "list")
        .header("user", "jason")
        .header("trace", "0af7651916cd43dd")
        .body("page=1");
    let mut requests = request.to_bytes();
    requests.extend(Message::oneway("audit", "note").body("seen").to_bytes());
    requests.extend(Message::new(Kind::Ping, 5).to_bytes());
    let mut asked = request.to_bytes();
    asked.extend(Message::request(8, "a", "b").to_bytes());
    let mut replies = Message::reply(8, "five stars").to_bytes();
    replies.extend(Message::error(0x10_0007, "APP_ERROR", "none").to_bytes());
    let codec = Mutant { inner: AwesomeRpc::default(), bug };
    Conformance::new(codec)
        .requests(&requests, 3)
        .replies(&asked, &replies, 2)
        .headers(&["user", "trace"])
        .hostile(b"GET / HTTP/1.1\r\n\r\n", Outcome::BadRequest)
        .limits(Ctx::default().max_head(64).max_frame(4096))
}

/// The mutant is found out, and by which rule.
fn caught(bug: Bug) -> Option<Rule> {
    let failure = suite(bug).check().err()?;
    shows_what_its_author_needs(&failure);
    Some(failure.rule)
}

/// The rule by name, the offset, and the bytes as hex and as text.
fn shows_what_its_author_needs(failure: &Failure) {
    let report = failure.to_string();
    let Failure { rule, bytes, at, .. } = failure;
    assert!(report.starts_with(&format!("rule `{rule}` is broken: {}", rule.says())), "{report}");
    let count = format!("{} bytes, the frame begins at {at}:", bytes.len());
    assert!(report.contains(&count), "{report}");
    let row = bytes.get(..bytes.len().min(16)).unwrap_or_default();
    if row.is_empty() {
        // What was written is the finding: nothing.
        assert!(failure.detail.len() > 10, "{report}");
        return;
    }
    let hex: String = row.iter().map(|byte| format!(" {byte:02x}")).collect();
    let shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let text: String =
        row.iter().map(|byte| if shown(byte) { char::from(*byte) } else { '.' }).collect();
    let shown = format!("  000000 {hex:<48}  |{text}|");
    assert!(report.contains(&shown), "{shown}\n{report}");
}

#[test]
fn the_codec_without_a_mistake_passes() {
    let report = suite(Bug::None).assert();
    assert_eq!(report.frames, 2 * 5);
    assert!(report.decodes > 10_000, "{report:?}");
}

#[test]
fn a_protocol_without_heads_knows_the_limit_of_frames_alone() {
    for bug in [Bug::NeedsTheWholeBody, Bug::IgnoresMaxHead] {
        suite(bug).whole_frames().assert();
    }
    let failure = suite(Bug::IgnoresMaxFrame).whole_frames().check().err();
    assert_eq!(failure.map(|f| f.rule), Some(Rule::Length));
}

/// Heads that are long enough for many reads.
fn long_heads(bug: Bug) -> Conformance<Mutant> {
    let request = Message::request(7, "reviews", "list").header("user", &"x".repeat(900));
    let codec = Mutant { inner: AwesomeRpc::default(), bug };
    Conformance::new(codec).rounds(20).requests(&request.to_bytes(), 1)
}

#[test]
fn bytes_are_not_scanned_again_and_again() {
    long_heads(Bug::None).assert();
    let failure = long_heads(Bug::RescansHead).check().err();
    assert_eq!(failure.map(|failure| failure.rule), Some(Rule::Linear));
}

#[test]
fn greetings_end_where_the_test_says() {
    let pong = Message::new(Kind::Pong, 1).to_bytes();
    suite(Bug::None).greeting(|_| 0, b"").assert();
    let failure = suite(Bug::None).greeting(|_| 0, &pong).check().err();
    assert_eq!(failure.map(|failure| failure.rule), Some(Rule::Greet));
}

#[test]
fn all_broken_rules_are_told_as_data() {
    assert_eq!(suite(Bug::None).failures(), []);
    let rules = |bug| suite(bug).failures().iter().map(|f| f.rule).collect::<Vec<_>>();
    assert_eq!(rules(Bug::DrainIsReply), [Rule::Drain]);
    let nothing = rules(Bug::AnswersNothing);
    assert_eq!(nothing, [Rule::Answer]);
    let failure = &suite(Bug::KeepsId).failures()[0];
    assert!(!failure.bytes.is_empty() && failure.at < failure.bytes.len(), "{failure}");
    // A sample that is none stops what depends on it, and the other samples go on.
    let codec = Mutant { inner: AwesomeRpc::default(), bug: Bug::LongCodeName };
    let asked = Message::request(1, "a", "b").to_bytes();
    let failed = Message::error(1, "APP_ERROR", "none").to_bytes();
    let set = Conformance::new(codec).requests(&asked, 2).replies(&asked, &failed, 1);
    let rules: Vec<_> = set.failures().iter().map(|f| f.rule.name()).collect();
    assert_eq!(rules, ["sample", "code-name"]);
}

/// What is told of each mutant.
const TABLE: &[(Bug, Rule)] = &[
    (Bug::LenIsRead, Rule::Sample),
    (Bug::LateService, Rule::Truncated),
    (Bug::CountsCalls, Rule::Again),
    (Bug::ForgetsAfterFrame, Rule::Again),
    (Bug::FaultsOnHalf, Rule::Truncated),
    (Bug::CountsReplyCalls, Rule::Chunking),
    (Bug::LooksBehind, Rule::Truncated),
    (Bug::NeedsWhatItHas, Rule::Need),
    (Bug::NeedsTheWholeBody, Rule::NeedLimit),
    (Bug::SkipsNothing, Rule::Skip),
    (Bug::EmptyFrame, Rule::Length),
    (Bug::IgnoresMaxFrame, Rule::Length),
    (Bug::IgnoresMaxHead, Rule::MaxHead),
    (Bug::WrongWord, Rule::MaxFrame),
    (Bug::HeadBeyondLen, Rule::Head),
    (Bug::SpanBeyondHead, Rule::Spans),
    (Bug::RepliesFromClients, Rule::Kind),
    (Bug::LongCodeName, Rule::CodeName),
    (Bug::PanicsOnGarbage, Rule::Panic),
    (Bug::KeepsId, Rule::RewriteId),
    (Bug::CutsIdTo16Bits, Rule::RewriteId),
    (Bug::DropsHeader, Rule::RewriteBack),
    (Bug::LosesBody, Rule::RewriteKeeps),
    (Bug::AddsTail, Rule::RewriteKeeps),
    (Bug::IgnoresEdits, Rule::Headers),
    (Bug::RemovesAll, Rule::Headers),
    (Bug::AnswersNothing, Rule::Answer),
    (Bug::AnswersTwice, Rule::Answer),
    (Bug::AnswersOtherId, Rule::Answer),
    (Bug::AnswersOk, Rule::Answer),
    (Bug::AnswerClears, Rule::Answer),
    (Bug::AnswerPanics, Rule::Panic),
    (Bug::AnswerFails, Rule::Answer),
    (Bug::DirectIsError, Rule::Direct),
    (Bug::PongWithoutId, Rule::Pong),
    (Bug::PingIsGarbage, Rule::Ping),
    (Bug::AbandonWritesNothing, Rule::Abandon),
    (Bug::DrainIsReply, Rule::Drain),
    (Bug::PartsAreMalformed, Rule::MaxParts),
    (Bug::DeniesGarbage, Rule::Hostile),
    (Bug::AllIsLimited, Rule::Status),
    (Bug::SpellsIfWanted, Rule::Lazy),
    (Bug::ListsTooMany, Rule::Lazy),
    (Bug::RemembersRefused, Rule::Refused),
    (Bug::RemembersErrors, Rule::Refused),
    (Bug::GreetsInGarbage, Rule::Greet),
    (Bug::GreetsNobody, Rule::Greet),
    (Bug::JoinsToOk, Rule::Parts),
    (Bug::TemplateWithoutNames, Rule::Template),
    (Bug::TemplateAtLength, Rule::Template),
];

#[test]
fn each_mistake_breaks_its_rule() {
    let wrong: Vec<String> = TABLE
        .iter()
        .map(|&(bug, rule)| (bug, caught(bug), Some(rule)))
        .filter(|(_, found, rule)| found != rule)
        .map(|(bug, found, rule)| format!("{bug:?}: found {found:?}, expected {rule:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Without a mutant that breaks it, nobody knows whether a rule is checked at all.
#[test]
fn each_rule_has_its_mutant() {
    // Both have a test of their own here, because they need other samples.
    let elsewhere = [Rule::Linear, Rule::Pipelined];
    let missing: Vec<_> = Rule::ALL
        .into_iter()
        .filter(|rule| !elsewhere.contains(rule) && TABLE.iter().all(|(_, known)| known != rule))
        .collect();
    assert_eq!(missing, []);
}

#[test]
fn a_single_frame_is_judged_with_others_behind_it() {
    let request = Message::request(1, "reviews", "list").to_bytes();
    let codec = Mutant { inner: AwesomeRpc::default(), bug: Bug::LooksBehind };
    let reply = Message::reply(1, "five stars").to_bytes();
    let failure = Conformance::new(codec).replies(&request, &reply, 1).check();
    assert_eq!(failure.map_err(|failure| failure.rule), Err(Rule::Pipelined));
}
