//! Sequences that depend on what went before, played between a client, the codec and a small model
//! of a server: what the client hears, and what the server hears over which link.

use heptad_core::{
    Accepted, Answer, Asked, Bind, Chain, Codec, Ctx, Flavour, Greet, Kind, Lane, Meta, Outcome,
    Question, Reason, Rewrite, Side, Splice, Step,
};
use heptad_redis::{Redis, RedisOptions, RedisUpstream, Secret, Tag, UserOptions};

/// A server's end of a connection, as far as these tests need one.
#[derive(Default)]
struct Model {
    multi: Option<Vec<Vec<String>>>,
    spoilt: bool,
    subs: Vec<String>,
    db: String,
    resp3: bool,
}

impl Model {
    fn hear(&mut self, words: &[String]) -> String {
        let name = words[0].to_ascii_uppercase();
        let arg = |i: usize| words.get(i).cloned().unwrap_or_default();
        if self.multi.is_some() && name != "EXEC" && name != "DISCARD" {
            if name == "GET" && words.len() != 2 || name == "NOSUCH" {
                self.spoilt = true;
                return "-ERR refused\r\n".into();
            }
            self.multi.get_or_insert_default().push(words.to_vec());
            return "+QUEUED\r\n".into();
        }
        match name.as_str() {
            "MULTI" => {
                self.multi = Some(Vec::new());
                "+OK\r\n".into()
            }
            "DISCARD" => {
                self.multi = None;
                "+OK\r\n".into()
            }
            "EXEC" => {
                let queued = self.multi.take().unwrap_or_default();
                if std::mem::take(&mut self.spoilt) {
                    return "-EXECABORT no\r\n".into();
                }
                let replies: String = queued.iter().map(|q| self.hear(q)).collect();
                format!("*{}\r\n{replies}", queued.len())
            }
            "SELECT" if arg(1) == "99" => "-ERR DB index is out of range\r\n".into(),
            "SELECT" => {
                self.db = arg(1);
                "+OK\r\n".into()
            }
            "HELLO" => {
                self.resp3 = arg(1) == "3";
                "%0\r\n".into()
            }
            "SUBSCRIBE" | "UNSUBSCRIBE" => {
                let mut all = String::new();
                let mut names = words[1..].to_vec();
                if names.is_empty() {
                    names.clone_from(&self.subs);
                }
                for n in names {
                    self.subs.retain(|s| *s != n);
                    if name == "SUBSCRIBE" {
                        self.subs.push(n.clone());
                    }
                    let kind = if self.resp3 { '>' } else { '*' };
                    let word = name.to_ascii_lowercase();
                    all += &format!("{kind}3\r\n${}\r\n{word}\r\n+{n}\r\n", word.len());
                    all += &format!(":{}\r\n", self.subs.len());
                }
                all
            }
            "GET" => format!("+{}@{}\r\n", arg(1), self.db),
            "PING" => "+PONG\r\n".into(),
            _ => "+OK\r\n".into(),
        }
    }
}

/// One connection to the model.
struct Link {
    conn: <Redis as Codec>::Conn,
    server: Model,
    heard: Vec<String>,
}

struct One(Tag);

impl Asked<Tag> for One {
    fn tag(&self, _: u64) -> Option<Tag> {
        Some(self.0)
    }
}

/// The least of an engine: one endpoint, one request at a time.
struct Play {
    codec: Redis,
    session: <Redis as Codec>::Conn,
    links: Vec<Link>,
    shared: Option<usize>,
    held: Vec<(Lane, usize)>,
    upstream: RedisUpstream,
    closed: bool,
    /// The method that a filter refuses.
    refuses: &'static str,
}

impl Play {
    fn new(options: &RedisOptions) -> Self {
        let codec = Redis::new(options).expect("fine");
        Self {
            session: codec.open(Side::Session, Flavour::default()),
            codec,
            links: Vec::new(),
            shared: None,
            held: Vec::new(),
            upstream: RedisUpstream::default(),
            closed: false,
            refuses: "",
        }
    }

    fn plain() -> Self {
        Self::new(&RedisOptions::default())
    }

    fn dial(&mut self, flavour: Flavour) -> usize {
        let conn = self.codec.open(Side::Link(&self.upstream), flavour);
        let mut link = Link { conn, server: Model::default(), heard: Vec::new() };
        let mut out = Vec::new();
        let mut greet = self.codec.greet(&mut link.conn, None, &mut out);
        for words in split(&out) {
            let reply = link.server.hear(&words);
            link.heard.push(words.join(" "));
            assert_eq!(greet, Ok(Greet::Wait));
            let outcome = if reply.starts_with('-') { Outcome::AppError } else { Outcome::Ok };
            let meta = Meta::reply(reply.len(), outcome);
            let heard = Some((&meta, reply.as_bytes()));
            greet = self.codec.greet(&mut link.conn, heard, &mut Vec::new());
        }
        assert_eq!(greet, Ok(Greet::Ready));
        self.links.push(link);
        self.links.len() - 1
    }

    /// What the client hears when it says a line.
    fn say(&mut self, line: &str) -> String {
        let frame = format!("{line}\r\n").into_bytes();
        let step = self.codec.decode_request(&mut self.session, &Ctx::default(), &frame);
        let mut out = Vec::new();
        let refused = |outcome, reason, text| Answer::Error { outcome, reason, text };
        let (meta, tag, answer) = match step {
            Ok(Step::Frame(meta, tag)) if meta.kind == Kind::Ping => (meta, tag, Answer::Pong),
            Ok(Step::Frame(meta, tag)) => {
                let mut scratch = Vec::new();
                let method = self.codec.method(&self.session, &meta, &frame, &mut scratch);
                let method = method.expect("readable").unwrap_or_default();
                if method == self.refuses.as_bytes() {
                    (meta, tag, refused(Outcome::Denied, Reason::Filter, "no"))
                } else {
                    match self.codec.accepted(&mut self.session, &meta, tag, &frame) {
                        Accepted::Forward => return self.forward(&meta, tag, &frame),
                        accepted => {
                            self.closed |= accepted == Accepted::LocalClose;
                            (meta, tag, Answer::Local)
                        }
                    }
                }
            }
            Ok(Step::Reject(meta, f)) => {
                (meta, Tag::default(), refused(f.outcome, f.reason, f.text))
            }
            other => panic!("{line}: {other:?}"),
        };
        let question = Question::new(&meta, tag);
        let result = self.codec.answer(&mut self.session, &question, &answer, &mut out);
        assert_eq!(result, Ok(()));
        String::from_utf8(out).expect("text")
    }

    fn forward(&mut self, meta: &Meta, tag: Tag, frame: &[u8]) -> String {
        let flavour = self.codec.flavour(&self.session, meta);
        let held = |lane| self.held.iter().find(|h| h.0 == lane).map(|h| h.1);
        let (at, own) = match (held(Lane::One), meta.bind) {
            (Some(at), _) => (at, true),
            (None, Bind::Shared) => {
                let at = match self.shared {
                    Some(at) => at,
                    None => self.dial(flavour),
                };
                self.shared = Some(at);
                (at, false)
            }
            (None, Bind::Hold(lane) | Bind::Held(lane) | Bind::Release(lane)) => match held(lane) {
                Some(at) => (at, true),
                None => (self.dial(flavour), true),
            },
            (None, _) => (self.dial(flavour), true),
        };
        if let Bind::Hold(lane) = meta.bind
            && !self.held.contains(&(lane, at))
        {
            self.held.push((lane, at));
        }
        let link = &mut self.links[at];
        let mut bytes = Vec::new();
        let swallow = if own {
            let (s, l) = (&mut self.session, &mut link.conn);
            self.codec.prelude(s, l, meta, tag, &mut bytes).replies
        } else {
            0
        };
        let mut chain = Chain::default();
        let mut splice = Splice::new(frame, None, &mut chain);
        let edit = Rewrite::new(None, &[]);
        let result = self.codec.rewrite(&self.session, &link.conn, meta, tag, &edit, &mut splice);
        assert_eq!(result, Ok(()));
        bytes.extend(chain.to_vec());
        let words = split(&bytes);
        assert_eq!(words.len(), swallow as usize + 1, "replies to swallow");
        let mut heard = String::new();
        for (i, words) in words.iter().enumerate() {
            let reply = link.server.hear(words);
            link.heard.push(words.join(" "));
            let last = i == swallow as usize;
            let asked = One(if last { tag } else { Tag::default() });
            let cx = Ctx::default();
            let step = self.codec.decode_reply(&mut link.conn, &asked, &cx, reply.as_bytes());
            let Ok(Step::Frame(reply_meta, ())) = step else {
                panic!("{words:?}: {reply} {step:?}")
            };
            assert_eq!(reply_meta.len as usize, reply.len(), "{words:?}: {reply}");
            if last {
                assert_eq!(reply_meta.kind, Kind::Reply);
                let bytes = reply.as_bytes();
                self.codec.settled(&mut self.session, tag, &reply_meta, bytes);
                if let Bind::Release(lane) = reply_meta.bind {
                    self.held.retain(|h| h.0 != lane);
                    assert!(self.codec.reusable(&link.conn), "{words:?} left something");
                }
                heard = reply;
            }
        }
        if meta.quiet { String::new() } else { heard }
    }

    /// What a server heard, the first link first.
    fn heard(&self, link: usize) -> Vec<&str> {
        self.links[link].heard.iter().map(String::as_str).collect()
    }

    fn check(&mut self, lines: &[(&str, &str)]) {
        for (line, expect) in lines {
            assert_eq!(self.say(line).trim_end(), *expect, "{line}");
        }
    }
}

/// The commands in bytes of either form.
fn split(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut lines = std::str::from_utf8(bytes).expect("text").split("\r\n");
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        match line.strip_prefix('*') {
            Some(n) => {
                let n = n.parse().expect("a number");
                let mut word = || lines.nth(1).expect("a word").to_owned();
                all.push((0..n).map(|_| word()).collect());
            }
            None if line.is_empty() => {}
            None => all.push(line.split(' ').map(str::to_owned).collect()),
        }
    }
    all
}

#[test]
fn a_transaction_binds_to_its_first_key() {
    let mut p = Play::plain();
    p.check(&[
        ("get a", "+a@"),
        ("multi", "+OK"),
        ("ping", "+QUEUED"),
        ("multi", "-ERR MULTI calls can not be nested"),
        ("watch a", "-ERR WATCH inside MULTI is not allowed"),
        ("get a", "+QUEUED"),
        ("ping", "+QUEUED"),
        ("exec", "*3\r\n+PONG\r\n+a@\r\n+PONG"),
        ("get a", "+a@"),
        ("exec", "-ERR EXEC without MULTI"),
    ]);
    assert_eq!(p.heard(0), ["get a", "get a"]);
    assert_eq!(p.heard(1), ["MULTI", "ping", "get a", "ping", "exec"]);
}

#[test]
fn a_transaction_without_keys_needs_no_server_until_it_is_executed() {
    let mut p = Play::plain();
    p.check(&[
        ("multi", "+OK"),
        ("exec", "*0"),
        ("multi", "+OK"),
        ("ping", "+QUEUED"),
        ("discard", "+OK"),
        ("discard", "-ERR DISCARD without MULTI"),
        ("multi", "+OK"),
        ("ping", "+QUEUED"),
        ("exec", "*1\r\n+PONG"),
    ]);
    assert_eq!(p.links.len(), 1);
    assert_eq!(p.heard(0), ["MULTI", "ping", "exec"]);
}

#[test]
fn a_refused_command_spoils_the_transaction() {
    let mut p = Play::plain();
    p.refuses = "DEL";
    p.check(&[
        ("multi", "+OK"),
        ("del a", "-NOPERM heptad: no"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("multi", "+OK"),
        ("get a", "+QUEUED"),
        ("del a", "-NOPERM heptad: no"),
        ("exec", "-EXECABORT no"),
        ("multi", "+OK"),
        ("hello 3", "-ERR heptad: the command is not supported inside MULTI"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("multi", "+OK"),
        ("nosuch a", "-ERR refused"),
        ("exec", "-EXECABORT no"),
    ]);
    assert_eq!(p.heard(0), ["MULTI", "get a", "GET", "exec"]);
}

#[test]
fn a_database_is_chosen_by_success_only() {
    let mut p = Play::plain();
    p.check(&[
        ("select 99", "-ERR DB index is out of range"),
        ("client getname", "+OK"),
        ("select 3", "+OK"),
        ("blpop l 1", "+OK"),
        ("get a", "+a@3"),
        ("multi", "+OK"),
        ("select 5", "+QUEUED"),
        ("get a", "+QUEUED"),
        ("exec", "*2\r\n+OK\r\n+a@5"),
        ("brpop l 1", "+OK"),
    ]);
    assert_eq!(p.heard(0), ["select 99"]);
    assert_eq!(p.heard(1), ["client getname"]);
    assert_eq!(p.heard(3), ["SELECT 3", "blpop l 1"]);
    assert_eq!(p.heard(6), ["SELECT 5", "brpop l 1"]);
}

#[test]
fn what_a_client_says_of_itself_follows_it_to_links_of_its_own() {
    let mut p = Play::plain();
    p.check(&[
        ("client setname joe", "+OK"),
        ("client setinfo lib-name x", "+OK"),
        ("hello 3", "%0"),
        ("wait 0 1", "+OK"),
    ]);
    let name = ["CLIENT SETNAME joe", "CLIENT SETINFO LIB-NAME x"];
    assert_eq!(p.heard(2)[..], [&["HELLO 3"][..], &name[..], &["hello 3"]].concat());
    assert_eq!(p.heard(3)[..], [&["HELLO 3"][..], &name[..], &["PING", "wait 0 1"]].concat());
}

#[test]
fn subscriptions_hold_one_link_under_resp2_and_another_under_resp3() {
    let sub = |kind, word: &str, n| format!("{kind}3\r\n${}\r\n{word}\r\n+x\r\n:{n}", word.len());
    let mut p = Play::plain();
    p.check(&[("subscribe x", &sub('*', "subscribe", 1)), ("ping", "+PONG")]);
    assert_eq!(p.held, [(Lane::One, 0)]);
    p.check(&[("unsubscribe", &sub('*', "unsubscribe", 0)), ("ping", "+PONG")]);
    assert_eq!(p.held, []);
    assert_eq!(p.heard(0), ["subscribe x", "ping", "unsubscribe"]);

    p.check(&[
        ("hello 3", "%0"),
        ("subscribe x", &sub('>', "subscribe", 1)),
        ("get a", "+a@"),
        ("hello 2", "-ERR heptad: HELLO cannot change the protocol of a subscribed connection"),
    ]);
    assert_eq!(p.held.iter().map(|h| h.0).collect::<Vec<_>>(), [Lane::Named]);
    p.check(&[("unsubscribe", &sub('>', "unsubscribe", 0))]);
    assert_eq!(p.held, []);
}

#[test]
fn replies_can_be_turned_off() {
    let mut p = Play::plain();
    p.check(&[
        ("client reply off", ""),
        ("get a", ""),
        ("ping", ""),
        ("exec", ""),
        ("client reply skip", ""),
        ("get a", ""),
        ("client reply on", "+OK"),
        ("client reply skip", ""),
        ("get a", ""),
        ("get a", "+a@"),
        ("client reply skip", ""),
        ("exec", ""),
        ("exec", "-ERR EXEC without MULTI"),
    ]);
}

#[test]
fn strangers_are_asked_to_log_in() {
    let mut options = RedisOptions::default();
    for (name, password) in [("default", "top"), ("joe", "secret")] {
        let mut user = UserOptions::default();
        user.name = name.into();
        user.password = Secret::new(password);
        options.users.push(user);
    }
    let mut p = Play::new(&options);
    p.upstream.password = Some(Secret::new("upstream"));
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    p.check(&[
        ("get a", "-NOAUTH Authentication required."),
        ("nosuch", "-NOAUTH Authentication required."),
        ("auth nope", wrong),
        ("auth joe top", wrong),
        ("hello 3 auth joe top", wrong),
        ("reset", "+RESET"),
    ]);
    assert!(p.say("hello 3").starts_with("-NOAUTH HELLO must be called"));
    assert!(p.links.is_empty(), "nothing has reached a server");
    p.check(&[("auth joe secret", "+OK"), ("acl whoami", "$3\r\njoe"), ("get a", "+a@")]);
    assert_eq!(p.codec.principal(&p.session), Some("joe"));
    assert_eq!(p.heard(0), ["AUTH upstream", "get a"]);

    p.check(&[("reset", "+RESET"), ("get a", "-NOAUTH Authentication required.")]);
    assert_eq!(p.codec.principal(&p.session), None);
    p.check(&[("hello 3 auth default top setname auth", "%0")]);
    assert_eq!(p.codec.principal(&p.session), Some("default"));
    assert_eq!(
        p.heard(1),
        ["HELLO 3 AUTH default upstream", "HELLO 3 SETNAME auth".to_lowercase().as_str()]
    );
    p.check(&[("quit", "+OK")]);
    assert!(p.closed);
}

#[test]
fn watch_holds_its_link_until_the_end_of_the_transaction() {
    let mut p = Play::plain();
    p.check(&[
        ("watch a", "+OK"),
        ("get a", "+a@"),
        ("multi", "+OK"),
        ("get a", "+QUEUED"),
        ("exec", "*1\r\n+a@"),
    ]);
    assert_eq!(p.heard(0), ["watch a", "get a", "multi", "get a", "exec"]);
    assert_eq!(p.held, []);
    p.check(&[("unwatch", "+OK"), ("watch a", "+OK"), ("unwatch", "+OK")]);
    assert_eq!(p.heard(1), ["watch a", "unwatch"]);
    assert_eq!(p.held, []);
}
