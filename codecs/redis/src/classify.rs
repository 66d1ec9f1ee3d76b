//! From a whole request to what the engine must know of it: pure, so that decoding twice is
//! harmless. What it finds out changes the session later, in `state`.

use heptad_core::{Bind, FanOut, Fault, Kind, Lane, Meta, Outcome, Reason, Span, Step};

use crate::{
    Redis,
    args::{Arg, Args},
    auth::Login,
    conn::{DEFERRED_BYTES, DEFERRED_FRAMES, EFFECTS, Keyed, Multi, Replies, Session, place},
    scan::Shape,
    table::{Act, Entry, Family, Spread, Sticky, Wait, key_args, row::flag},
    tag::{Ask, Lanes, Mode, Say, Tag},
};

/// The bits of `Meta::aux` that hold the index of the command's entry.
pub(crate) const INDEX: u32 = 0xfff;
/// `Meta::aux` of a `HELLO`: the version it asks for, above the index.
pub(crate) const HELLO_SHIFT: u32 = 12;

/// The bit of `Meta::aux` of a request with a key that must be decoded: `Meta::key` is absent.
pub(crate) const ESCAPED: u32 = 1 << 31;

/// A request in the middle of being classified.
pub(crate) struct Request<'a> {
    redis: &'a Redis,
    s: &'a Session,
    frame: &'a [u8],
    shape: &'a Shape,
    entry: &'a Entry,
    meta: Meta,
    tag: Tag,
    /// It has a key.
    keyed: bool,
}

/// What a request is that has the name of the last one, if that was all that decided it then: one
/// key, the first argument, on a session where nothing else is going on.
#[inline]
pub(crate) fn again(s: &Session, buf: &[u8], shape: &Shape) -> Option<Step<Tag>> {
    let [name, key] = shape.seen;
    let Keyed { index, idempotent } = s.last.keyed?;
    if !s.is_ordinary() || !key.is_present() || !s.last.is(name.of(buf)?) {
        return None;
    }
    let meta = Meta::request(shape.len).aux(index.into()).method(name).key(key);
    Some(Step::Frame(meta.idempotent(idempotent), Tag::default()))
}

/// What a request is; `index` is the index of the name that the scan saw.
pub(crate) fn classify(
    redis: &Redis,
    s: &mut Session,
    frame: &[u8],
    shape: &Shape,
    mut index: u16,
) -> Step<Tag> {
    let table = &*redis.table;
    let span = match shape.seen {
        [name, first] if name.is_present() && (first.is_present() || shape.argc == 1) => {
            if let Some(first) = first.of(frame) {
                index = table.find_sub(index, first).map_or(index, |sub| or(sub, index));
            }
            name
        }
        _ => {
            let mut args = Args::of(frame);
            let name = args.next();
            let text = name.as_ref().map(|n| &*n.text).unwrap_or_default();
            index = table.find(text);
            if let Some(first) = args.next() {
                let sub = table.find_sub(index, &first.text);
                index = sub.map_or(index, |sub| or(sub, index));
            }
            name.and_then(|n| n.span).unwrap_or(Span::NONE)
        }
    };
    let entry = table.entry(index);
    let quiet = s.replies != Replies::On;
    let skip = s.replies == Replies::Skip;
    // The usual case first.
    let plain =
        entry.act == Act::Plain && s.multi.is_none() && !s.subscribed && !redis.is_stranger(s);
    let [_, first] = shape.seen;
    if plain && entry.first && entry.spread == Spread::Key && first.is_present() && !s.own {
        let idempotent = entry.has(flag::READONLY);
        if !entry.has_sub() && s.last.is(span.of(frame).unwrap_or_default()) {
            s.last.keyed = Some(Keyed { index, idempotent });
        }
        let meta = Meta::request(shape.len)
            .aux(u32::from(index))
            .method(span)
            .key(first)
            .idempotent(idempotent)
            .quiet(quiet);
        return Step::Frame(meta, Tag { skip, ..Tag::default() });
    }
    let request = Request {
        redis,
        s,
        frame,
        shape,
        entry,
        meta: Meta::request(shape.len)
            .aux(u32::from(index))
            .method(span)
            .idempotent(entry.has(flag::READONLY))
            .quiet(quiet),
        tag: Tag { skip, ..Tag::default() },
        keyed: false,
    };
    if plain {
        let mut request = request;
        request.spread(entry.spread, false);
        request.bind(Bind::Shared);
        return request.frame();
    }
    request.special()
}

/// The subcommand's index, or its container's if there is no such subcommand.
fn or(sub: u16, container: u16) -> u16 {
    if sub == 0 { container } else { sub }
}

impl Request<'_> {
    fn frame(self) -> Step<Tag> {
        Step::Frame(self.meta, self.tag)
    }

    fn ask(mut self, ask: Ask) -> Step<Tag> {
        self.tag.ask = ask;
        self.frame()
    }

    fn say(self, say: Say) -> Step<Tag> {
        self.ask(Ask::Say(say))
    }

    /// A refusal that counts as one.
    fn refuse(self, outcome: Outcome, reason: Reason, text: &'static str) -> Step<Tag> {
        Step::Reject(self.meta, Fault::new(outcome, reason, text))
    }

    fn arg(&self, number: usize) -> Option<Arg<'_>> {
        Args::of(self.frame).nth(number)
    }

    fn arg_is(&self, number: usize, word: &str) -> bool {
        self.arg(number).is_some_and(|a| a.text.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Whether the number of arguments is right.
    fn fits(&self) -> bool {
        self.entry.takes(self.shape.argc)
    }

    /// Sets the link; a session with links of its own uses no others.
    fn bind(&mut self, bind: Bind) {
        self.meta.bind = match bind {
            Bind::Shared | Bind::Exchange if self.s.own => Bind::Hold(Lane::PerEndpoint),
            bind => bind,
        };
    }

    /// There is a key, and it stands here if it stands there as it is read.
    fn key_at(&mut self, span: Option<Span>) {
        self.keyed = true;
        match span {
            Some(span) => self.meta.key = span,
            None => self.meta.aux |= ESCAPED,
        }
    }

    /// Sets the key and the endpoints. In a transaction (`one`) there is only one.
    fn spread(&mut self, spread: Spread, one: bool) {
        // Over the one link that is held, all endpoints could not be reached.
        let one = one || self.s.holds_one();
        let fan_out = match spread {
            Spread::Key | Spread::Split(_) => {
                let mut keys = key_args(self.entry, self.frame, self.shape.argc);
                let first = keys.next();
                let many = keys.next().is_some();
                // A value without its key or the reverse: the server will say so.
                let odd = matches!(&*self.entry.name, "MSET" | "MSETNX")
                    && self.shape.argc.is_multiple_of(2);
                match (first, spread) {
                    (None, _) => FanOut::One,
                    (Some((_, Arg { span, .. })), _) => {
                        self.key_at(span);
                        match spread {
                            _ if !many => FanOut::One,
                            Spread::Split(_) if !one && !odd => FanOut::Split,
                            _ => FanOut::Same,
                        }
                    }
                }
            }
            Spread::FirstArgument => {
                if let Some(span) = self.arg(1).map(|a| a.span) {
                    self.key_at(span);
                }
                FanOut::One
            }
            Spread::All(_) | Spread::Cursor if one => FanOut::Alone,
            Spread::All(_) => FanOut::All,
            Spread::Cursor => FanOut::Index,
            Spread::Home => FanOut::Home,
            Spread::Any => FanOut::One,
            Spread::Alone => FanOut::Alone,
        };
        self.meta.fan_out = fan_out;
    }

    /// A link for itself until the reply, with nothing else to it.
    fn exchange(mut self, ask: Ask) -> Step<Tag> {
        self.spread(self.entry.spread, false);
        self.bind(Bind::Exchange);
        self.ask(ask)
    }

    /// Everything but a plain command of a session without a special state.
    fn special(mut self) -> Step<Tag> {
        if self.redis.is_stranger(self.s)
            && !matches!(self.entry.act, Act::Auth | Act::Hello | Act::Quit | Act::Reset)
        {
            return self.refuse(Outcome::Unauthenticated, Reason::None, NOAUTH);
        }
        match self.entry.act {
            Act::Quit => return self.say(Say::Bye),
            Act::Reset if self.fits() => return self.reset(),
            _ => {}
        }
        if self.s.subscribed && !self.s.wish.resp3 {
            return self.while_subscribed();
        }
        if let Some(multi) = &self.s.multi {
            self.tag.queued = true;
            return self.in_multi(multi);
        }
        match self.entry.act {
            Act::Auth => self.auth(),
            Act::Hello => self.hello(),
            _ if !self.fits() && self.entry.act != Act::Plain => self.exchange(Ask::Plain),
            Act::Plain => {
                self.spread(self.entry.spread, false);
                self.bind(Bind::Shared);
                self.frame()
            }
            Act::Ping => self.ping(),
            Act::Block(wait) => {
                self.meta.wait_ms = self.wait(wait);
                if wait == Wait::Block && self.meta.wait_ms == 0 {
                    // `XREAD` without `BLOCK` does not wait.
                    self.spread(self.entry.spread, false);
                    self.bind(Bind::Shared);
                    return self.frame();
                }
                self.exchange(Ask::Plain)
            }
            Act::Wait(wait) => {
                self.meta.wait_ms = self.wait(wait);
                self.meta.idempotent = true;
                self.exchange(Ask::Wait)
            }
            Act::Scan => {
                self.spread(Spread::Cursor, false);
                self.bind(Bind::Shared);
                self.ask(Ask::Scan)
            }
            Act::Select => {
                self.meta.kind = Kind::Control;
                self.bind(Bind::Exchange);
                self.ask(Ask::Select)
            }
            Act::SetName | Act::SetInfo => {
                self.meta.kind = Kind::Control;
                let name = self.entry.act == Act::SetName;
                self.exchange(if name { Ask::SetName } else { Ask::SetInfo })
            }
            Act::Own(sticky) => self.own(sticky),
            Act::WhoAmI if self.s.user.is_some() => self.say(Say::WhoAmI),
            Act::WhoAmI => {
                self.spread(Spread::Home, false);
                self.bind(Bind::Shared);
                self.frame()
            }
            Act::Multi if self.s.holds_one() => {
                self.meta.bind = Bind::Hold(Lane::One);
                self.ask(Ask::Multi)
            }
            Act::Multi => self.say(Say::Begin),
            Act::Exec => self.say(Say::Error("ERR EXEC without MULTI")),
            Act::Discard => self.say(Say::Error("ERR DISCARD without MULTI")),
            Act::Watch => {
                self.spread(Spread::Key, false);
                self.meta.bind = Bind::Hold(Lane::One);
                let first = !self.s.watching;
                self.ask(Ask::Watch(first))
            }
            Act::Unwatch if self.s.watching => {
                let keep = self.s.monitor || self.s.subscribed;
                self.release(Lane::One, keep);
                self.ask(Ask::Unwatch { keep })
            }
            Act::Unwatch => self.say(Say::Ok),
            Act::Subscribe(family) => self.subscribe(family),
            Act::Unsubscribe(family) => self.unsubscribe(family),
            Act::Monitor => {
                self.meta.kind = Kind::Control;
                self.meta.bind = Bind::Hold(Lane::One);
                self.meta.fan_out = FanOut::Home;
                self.ask(Ask::Monitor)
            }
            Act::Reply => match self.mode() {
                Some(mode) => {
                    // The command that turns replies on is the first that is answered.
                    self.meta.quiet &= mode != Mode::On;
                    self.ask(Ask::Replies(mode))
                }
                None => self.exchange(Ask::Plain),
            },
            Act::Replica if !self.arg_is(1, "ACK") => self.exchange(Ask::Spend),
            Act::Replica | Act::Refused => self.refuse(
                Outcome::BadRequest,
                Reason::Unsupported,
                "replication does not pass through",
            ),
            Act::Exchange | Act::Quit | Act::Reset => self.exchange(Ask::Plain),
        }
    }

    fn mode(&self) -> Option<Mode> {
        [("ON", Mode::On), ("OFF", Mode::Off), ("SKIP", Mode::Skip)]
            .into_iter()
            .find_map(|(word, mode)| self.arg_is(2, word).then_some(mode))
    }

    fn ping(mut self) -> Step<Tag> {
        if self.shape.argc == 1 && !self.meta.quiet && !self.s.holds_one() && !self.s.own {
            self.meta.kind = Kind::Ping;
            return self.frame();
        }
        self.spread(Spread::Any, false);
        self.bind(Bind::Shared);
        self.frame()
    }

    /// How long the command may wait, in milliseconds.
    fn wait(&self, wait: Wait) -> u32 {
        let last = self.shape.argc.saturating_sub(1) as usize;
        let (text, scale) = match wait {
            Wait::LastSeconds => (self.arg(last), 1000.0),
            Wait::FirstSeconds => (self.arg(1), 1000.0),
            Wait::LastMillis => (self.arg(last), 1.0),
            Wait::Block => {
                let mut args = Args::of(self.frame).skip(1);
                let found = args.by_ref().take_while(|a| !is(a, "STREAMS"));
                let mut found = found.skip_while(|a| !is(a, "BLOCK"));
                found.next();
                (found.next(), 1.0)
            }
        };
        let Some(n) = text
            .as_ref()
            .and_then(|a| std::str::from_utf8(&a.text).ok())
            .and_then(|t| t.parse::<f64>().ok())
        else {
            return 0;
        };
        let ms = (n * scale).ceil();
        if ms == 0.0 {
            u32::MAX
        } else {
            // Saturates; what is negative or not a number is for the server to refuse.
            ms as u32
        }
    }

    /// A link is released by the reply, unless something else still holds it.
    fn release(&mut self, lane: Lane, keep: bool) {
        self.meta.bind = if keep { Bind::Hold(lane) } else { Bind::Release(lane) };
        self.meta.kind = Kind::Control;
    }

    fn auth(mut self) -> Step<Tag> {
        self.meta.kind = Kind::Login;
        let login = match self.shape.argc {
            1 => return self.say(Say::Error("ERR wrong number of arguments for 'auth' command")),
            2 => (None, self.arg(1)),
            3 => (self.arg(1), self.arg(2)),
            _ => return self.say(Say::Error("ERR syntax error")),
        };
        let (name, password) = login;
        let name = name.as_ref().map(|n| &*n.text);
        let password = password.as_ref().map(|p| &*p.text).unwrap_or_default();
        match self.redis.users.login(name, password) {
            Login::As(user) => self.ask(Ask::Login(user)),
            Login::Open => self.say(Say::Ok),
            Login::Wrong => self.refuse(Outcome::Unauthenticated, Reason::Credentials, WRONGPASS),
            Login::NoPassword => self.say(Say::Error(NO_PASSWORD)),
        }
    }

    fn hello(mut self) -> Step<Tag> {
        let stranger = self.redis.is_stranger(self.s);
        let mut args = Args::of(self.frame).skip(1);
        let version = args.next().map(|a| match &*a.text {
            b"2" => Some(false),
            b"3" => Some(true),
            _ => None,
        });
        let mut login = None;
        let mut sound = version != Some(None);
        while let Some(option) = args.next() {
            match (is(&option, "AUTH"), is(&option, "SETNAME"), args.next()) {
                (true, _, Some(name)) => match args.next() {
                    Some(password) => {
                        login = Some(self.redis.users.login(Some(&name.text), &password.text));
                    }
                    None => sound = false,
                },
                (_, true, Some(_)) => {}
                _ => sound = false,
            }
        }
        drop(args);
        match login {
            // The server finds the mistake before it looks at credentials.
            _ if !sound && !stranger => return self.exchange(Ask::Plain),
            _ if !sound => return self.refuse(Outcome::Unauthenticated, Reason::None, NOAUTH),
            Some(Login::Wrong | Login::NoPassword) => {
                self.meta.kind = Kind::Login;
                return self.refuse(Outcome::Unauthenticated, Reason::Credentials, WRONGPASS);
            }
            None if stranger => {
                return self.refuse(Outcome::Unauthenticated, Reason::None, HELLO_NOAUTH);
            }
            _ => {}
        }
        let resp3 = version.flatten().unwrap_or(self.s.wish.resp3);
        if self.s.listening && !resp3 {
            return self.say(Say::Error(
                "ERR heptad: HELLO cannot change the protocol of a subscribed connection",
            ));
        }
        self.meta.kind = if login.is_some() { Kind::Login } else { Kind::Control };
        self.meta.aux |= (2 + u32::from(resp3)) << HELLO_SHIFT;
        let user = match login {
            Some(Login::As(user)) => Some(user),
            _ => None,
        };
        let cut = login.is_some();
        self.exchange(Ask::Hello { resp3, user, cut })
    }

    fn own(mut self, sticky: Sticky) -> Step<Tag> {
        let off = match sticky {
            Sticky::ReadOnly => &*self.entry.name == "READWRITE",
            Sticky::Link => false,
            _ => self.arg_is(2, "OFF"),
        };
        if off && !self.s.own {
            return self.exchange(Ask::Plain);
        }
        self.meta.kind = Kind::Control;
        self.spread(self.entry.spread, false);
        self.meta.bind = Bind::Hold(Lane::PerEndpoint);
        match place(sticky) {
            Some(place) => self.ask(Ask::Sticky(place as u8)),
            None => self.ask(Ask::Taint),
        }
    }

    fn subscribe(mut self, family: Family) -> Step<Tag> {
        let named = self.s.wish.resp3 && !self.s.holds_one();
        self.spread(self.entry.spread, false);
        self.meta.bind = Bind::Hold(if named { Lane::Named } else { Lane::One });
        // Confirmations are pushes, which `CLIENT REPLY OFF` does not silence.
        self.meta.quiet = false;
        let names = self.shape.argc - 1;
        self.ask(Ask::Subscribe { family, names, named })
    }

    fn unsubscribe(mut self, family: Family) -> Step<Tag> {
        let s = self.s;
        self.meta.quiet = false;
        self.spread(self.entry.spread, false);
        let named = !s.subscribed && s.listening;
        let keep =
            if s.subscribed { s.watching || s.monitor || s.multi.is_some() } else { !s.listening };
        if s.subscribed || s.listening {
            self.release(if named { Lane::Named } else { Lane::One }, keep);
        } else {
            self.bind(Bind::Exchange);
        }
        let names = self.shape.argc - 1;
        self.ask(Ask::Unsubscribe { family, names, named, keep })
    }

    fn reset(mut self) -> Step<Tag> {
        let s = self.s;
        self.meta.kind = Kind::Control;
        // It is the one command that turns the replies on and is answered.
        self.meta.quiet = false;
        let lanes = match (s.holds_one(), s.listening, s.own) {
            (false, false, false) => Lanes::None,
            (true, false, false) => Lanes::One,
            (false, true, false) => Lanes::Named,
            (false, false, true) => Lanes::PerEndpoint,
            _ => Lanes::Several,
        };
        self.meta.bind = match lanes {
            Lanes::None | Lanes::Several => Bind::Shared,
            Lanes::One => Bind::Release(Lane::One),
            Lanes::Named => Bind::Release(Lane::Named),
            Lanes::PerEndpoint => Bind::Release(Lane::PerEndpoint),
        };
        self.ask(Ask::Reset(lanes))
    }

    /// Under RESP2 a subscribed connection takes a few commands only; the server says so.
    fn while_subscribed(mut self) -> Step<Tag> {
        match self.entry.act {
            Act::Subscribe(family) if self.fits() => self.subscribe(family),
            Act::Unsubscribe(family) if self.fits() => self.unsubscribe(family),
            _ => {
                self.meta.bind = Bind::Hold(Lane::One);
                self.meta.fan_out = FanOut::Home;
                self.frame()
            }
        }
    }

    fn in_multi(mut self, multi: &Multi) -> Step<Tag> {
        let fits = self.fits();
        match self.entry.act {
            Act::Exec => return self.exec(multi, fits),
            Act::Discard if fits && !multi.bound => return self.say(Say::Discarded),
            Act::Discard if fits => {
                let keep = self.s.monitor || self.s.subscribed;
                self.release(Lane::One, keep);
                return self.ask(Ask::Discard { keep });
            }
            Act::Multi if fits => {
                return self.say(Say::Error("ERR MULTI calls can not be nested"));
            }
            Act::Watch if fits => {
                return self.say(Say::Error("ERR WATCH inside MULTI is not allowed"));
            }
            // What changes the connection when `EXEC` comes to it, in ways that cannot be followed.
            Act::Auth
            | Act::Hello
            | Act::Reply
            | Act::Subscribe(_)
            | Act::Unsubscribe(_)
            | Act::Monitor
                if fits =>
            {
                return self.say(Say::Spoil(NOT_IN_MULTI));
            }
            Act::Own(sticky) if fits && sticky != Sticky::Link => {
                return self.say(Say::Spoil(NOT_IN_MULTI));
            }
            _ => {}
        }
        let changes = matches!(self.entry.act, Act::Select | Act::SetName | Act::SetInfo);
        if changes && multi.effects.len() >= EFFECTS {
            return self.say(Say::Spoil(TOO_MANY));
        }
        self.spread(self.entry.spread, true);
        if !multi.bound && self.can_defer(fits) {
            if multi.frames >= DEFERRED_FRAMES
                || multi.deferred.len() + self.shape.len > DEFERRED_BYTES
            {
                return self.say(Say::Spoil(TOO_MANY));
            }
            return self.ask(Ask::Defer);
        }
        self.meta.bind = Bind::Hold(Lane::One);
        self.ask(Ask::Queue)
    }

    /// Whether the server would queue the command without a word, and no key is in it.
    fn can_defer(&self, fits: bool) -> bool {
        let known = self.entry.classic
            && fits
            && !self.entry.has(flag::NO_MULTI)
            && !matches!(self.entry.act, Act::Exchange | Act::Refused);
        // A message must meet its subscribers.
        let anywhere = match self.meta.fan_out {
            FanOut::One => true,
            FanOut::Home => !self.entry.has(flag::PUBSUB),
            _ => false,
        };
        known && anywhere && !self.keyed
    }

    fn exec(mut self, multi: &Multi, fits: bool) -> Step<Tag> {
        if fits && !multi.bound && multi.dirty {
            return self.say(Say::Abort);
        }
        if fits && !multi.bound && multi.queued == 0 {
            return self.say(Say::Empty);
        }
        let keep = self.s.monitor || self.s.subscribed;
        self.release(Lane::One, keep);
        let effects = !multi.effects.is_empty();
        self.ask(Ask::Exec { effects, keep })
    }
}

fn is(arg: &Arg<'_>, word: &str) -> bool {
    arg.text.eq_ignore_ascii_case(word.as_bytes())
}

pub(crate) const NOAUTH: &str = "Authentication required.";
const HELLO_NOAUTH: &str = "HELLO must be called with the client already authenticated, otherwise \
    the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select \
    the RESP protocol version at the same time";
const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
const NOT_IN_MULTI: &str = "ERR heptad: the command is not supported inside MULTI";
const TOO_MANY: &str =
    "ERR heptad: too many commands that name no key before the first key of the transaction";

#[cfg(test)]
mod tests {
    use heptad_core::{Codec, Ctx, Side};

    use super::*;
    use crate::{conn::Conn, options::RedisOptions};

    fn frame(words: &[&str]) -> Vec<u8> {
        let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        format!("*{}\r\n{}", words.len(), bulks.collect::<String>()).into_bytes()
    }

    fn decode(redis: &Redis, conn: &mut Conn, bytes: &[u8]) -> String {
        format!("{:?}", redis.decode_request(conn, &Ctx::default(), bytes))
    }

    /// Every command, behind every kind of command that could be remembered wrongly, and where
    /// something is going on besides.
    #[test]
    fn what_is_remembered_of_the_last_command_changes_nothing() {
        let redis = Redis::new(&RedisOptions::default()).expect("no options");
        let open = || redis.open(Side::Session, heptad_core::Flavour::default());
        let names: Vec<_> = (1..).map_while(|at| redis.table.get(at)).map(|e| &*e.name).collect();
        assert!(names.len() > 200, "{}", names.len());
        let ways: [fn(&mut Session); 6] = [
            |_| (),
            |s| s.multi = Some(Box::default()),
            |s| s.subscribed = true,
            |s| s.own = true,
            |s| s.replies = Replies::Skip,
            |s| s.replies = Replies::Off,
        ];
        let mut again = 0;
        for name in names {
            let forms =
                [vec![name], vec![name, "a"], vec![name, "a", "b"], vec![name, "", "1", "c"]];
            let others = [frame(&[name, "k", "v"]), frame(&["get", "k"]), b"get k\r\n".to_vec()];
            let pairs = forms.iter().flat_map(|form| others.iter().map(move |o| (form, o)));
            for ((form, first), way) in pairs.flat_map(|pair| ways.map(|way| (pair, way))) {
                let bytes = frame(form);
                let (mut fresh, mut used) = (open(), open());
                decode(&redis, &mut used, first);
                for conn in [&mut fresh, &mut used] {
                    way(conn.session_mut().expect("a session"));
                }
                let last = used.session().expect("a session").last;
                again += u32::from(last.keyed.is_some() && last.is(name.as_bytes()));
                let expected = decode(&redis, &mut fresh, &bytes);
                assert_eq!(decode(&redis, &mut used, &bytes), expected, "{form:?}");
            }
        }
        assert!(again > 100, "{again}");
    }
}
