//! What Heptad itself says to a client, in Redis's words.

use heptad_core::{Answer, Outcome, Question, Reason};

use crate::{
    Redis,
    classify::NOAUTH,
    conn::Conn,
    resp::{bulk, line},
    state::failed,
    tag::{Ask, Lanes, Mode, Say, Tag},
};

/// Appends an answer.
pub(crate) fn answer(
    redis: &Redis,
    conn: &mut Conn,
    to: &Question<'_, Tag>,
    answer: &Answer<'_>,
    out: &mut Vec<u8>,
) {
    if let (Answer::Error { .. }, Some(s)) = (answer, conn.session_mut()) {
        failed(s, to.tag);
    }
    if to.meta.quiet {
        return;
    }
    match *answer {
        Answer::Pong => line(out, b'+', "PONG"),
        Answer::Local => local(redis, conn, to.tag, out),
        Answer::Direct { text } => line(out, b'+', text),
        Answer::Error { outcome, reason, text } => error(out, outcome, reason, text),
        _ => {}
    }
}

fn local(redis: &Redis, conn: &Conn, tag: Tag, out: &mut Vec<u8>) {
    match tag.ask {
        Ask::Say(Say::Ok | Say::Bye | Say::Begin | Say::Discarded)
        | Ask::Login(_)
        | Ask::Replies(Mode::On) => line(out, b'+', "OK"),
        Ask::Say(Say::Empty) => out.extend_from_slice(b"*0\r\n"),
        Ask::Say(Say::Abort) => {
            line(out, b'-', "EXECABORT Transaction discarded because of previous errors.")
        }
        Ask::Say(Say::Error(text) | Say::Spoil(text)) => line(out, b'-', text),
        Ask::Say(Say::WhoAmI) => {
            let user = conn.session().and_then(|s| s.user);
            let name = user.and_then(|u| redis.users.name(u)).unwrap_or("default");
            bulk(out, name.as_bytes());
        }
        Ask::Defer => line(out, b'+', "QUEUED"),
        Ask::Reset(Lanes::None | Lanes::Several) => line(out, b'+', "RESET"),
        _ => {}
    }
}

/// An error in the words that clients know; where Redis has none, those of Heptad.
pub(crate) fn error(out: &mut Vec<u8>, outcome: Outcome, reason: Reason, text: &str) {
    let text = if text.is_empty() { outcome.as_str() } else { text };
    let mut say = |prefix: &str| line(out, b'-', &format!("{prefix}{text}"));
    match (outcome, reason) {
        // The text begins with its code.
        (Outcome::Unauthenticated, Reason::Credentials) => say(""),
        (Outcome::Unauthenticated, _) if text == Outcome::Unauthenticated.as_str() => {
            line(out, b'-', &format!("NOAUTH {NOAUTH}"));
        }
        (Outcome::Unauthenticated, _) => say("NOAUTH "),
        (Outcome::Denied, _) => say("NOPERM heptad: "),
        (_, Reason::CrossShard) => {
            line(out, b'-', "CROSSSLOT Keys in request don't hash to the same slot")
        }
        (Outcome::BadRequest | Outcome::TooLarge, _) if text.starts_with("Protocol error") => {
            say("ERR ");
        }
        _ => say("ERR heptad: "),
    }
}
