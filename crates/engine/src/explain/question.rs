//! A request that is described and not captured: attributes, and no bytes. What is not given is
//! absent.

use heptad_core::{
    Accepted, Answer, Attr, Attributes, HeaderEdit, Kind, Outcome, Reason, Request, Time, Unknown,
    Value,
};
use heptad_route::Seen;

use super::{Chosen, Explained, Subject, To, admit, by_attr, by_key};
use crate::{
    Peer, Plan,
    plan::End,
    pool::Pool,
    view::{known, named},
};

/// A request in words. It has one key at most, and goes to one endpoint.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Question {
    /// The attributes that a frame would have.
    pub given: Vec<(Attr, Vec<u8>)>,
    /// Where it comes from.
    pub peer: Peer,
}

impl Question {
    /// A request from somewhere without anything.
    pub fn from(peer: Peer) -> Self {
        Self { given: Vec::new(), peer }
    }

    /// Adds an attribute of the frame; the first of a name counts. Values are those that rules see
    /// (of Redis the command in upper case).
    #[must_use]
    pub fn with(mut self, attr: Attr, value: impl Into<Vec<u8>>) -> Self {
        self.given.push((attr, value.into()));
        self
    }

    fn find(&self, attr: &Attr) -> Option<&[u8]> {
        let (_, value) = self.given.iter().find(|(given, _)| given == attr)?;
        Some(value)
    }
}

/// What `plan` does with a request that comes over `protocol`.
pub fn explain_question(plan: &Plan, protocol: &str, question: &Question) -> Explained {
    let given = question.given.iter();
    let asked = given.map(|(attr, value)| (attr.clone(), Seen::Bytes(value.clone()))).collect();
    admit(plan, &mut Asked { plan, protocol, question }, asked)
}

struct Asked<'a> {
    plan: &'a Plan,
    protocol: &'a str,
    question: &'a Question,
}

impl Subject for Asked<'_> {
    fn view<'v>(&'v mut self, place: Option<(&'v str, &'v str)>) -> Box<dyn Request + 'v> {
        Box::new(View { asked: self, place })
    }

    fn kind(&self) -> Kind {
        Kind::Request
    }

    fn together(&mut self, _: &Pool) -> Result<(), End> {
        Ok(())
    }

    fn accept(&mut self) -> Accepted {
        Accepted::Forward
    }

    fn aim(&mut self, pool: &mut Pool, chosen: Option<Chosen>) -> Result<To, End> {
        if let Some(chosen) = chosen {
            return Ok(by_attr(pool, chosen));
        }
        let key = self.question.find(&Attr::Key);
        let at = pool.pick(Time::ZERO, key).ok_or((Outcome::NoEndpoint, Reason::None))?;
        Ok(by_key(pool, at, key.map(<[u8]>::to_vec)))
    }

    /// Nobody says in which words.
    fn answer(&mut self, _: &Answer<'_>) -> Vec<u8> {
        Vec::new()
    }
}

struct View<'a> {
    asked: &'a Asked<'a>,
    place: Option<(&'a str, &'a str)>,
}

impl Attributes for View<'_> {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        let Asked { plan, protocol, question } = self.asked;
        Ok(match attr {
            Attr::Route => named(self.place.map(|(route, _)| route)),
            Attr::Cluster => named(self.place.map(|(_, cluster)| cluster)),
            Attr::Service | Attr::Method | Attr::Key | Attr::Header(_) | Attr::Arg(_) => {
                question.find(attr).map(Value::Bytes)
            }
            _ => {
                let principal = question.peer.principal.as_deref();
                return known(protocol, &question.peer, principal, plan, attr);
            }
        })
    }
}

impl Request for View<'_> {
    fn keys(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
        if let Some(key) = self.asked.question.find(&Attr::Key) {
            each(key);
        }
        Ok(())
    }

    fn edit(&mut self, _: HeaderEdit) {}
}
