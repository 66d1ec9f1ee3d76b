//! What a plan does with a request, and why, without sending anything: the plan's own table,
//! filters and balancers are asked, in the order in which an engine asks them.
//!
//! Nothing here serves requests. What chance, time or other requests decide is said as such.

mod frames;
mod question;

use std::sync::Arc;

use heptad_cluster::Balance;
use heptad_core::{
    Accepted, Answer, Attr, Attributes, HeaderEdit, Kind, Meta, Outcome, Reason, Refusal, Request,
    Time, Unknown, Value, Verdict,
};
use heptad_route::{Scratch, Seen};

use crate::{Plan, Route, Target, admit::hashed, plan::End, pool::Pool, text::text};

pub use frames::explain_frames;
pub use question::{Question, explain_question};

/// What becomes of one request, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// What the codec found; `None` if the request was described and not captured.
    pub frame: Option<Frame>,
    /// Each attribute that a frame has or that somebody asked for, in the order of asking.
    pub asked: Vec<(Attr, Seen)>,
    /// What each route said, up to the one that was found; `None` if none was looked for.
    pub lookup: Option<heptad_route::Explained>,
    /// The attribute that chose among weighted clusters; `None`: chance, or there is no choice.
    pub split_on: Option<(Attr, Seen)>,
    /// What may become of it: one way, or one for each cluster that chance may choose.
    pub branches: Vec<Branch>,
    /// What the client gets from Heptad itself; empty if nothing, or if chance decides.
    pub answer: Vec<u8>,
}

impl Explained {
    /// Whether it is surely not served: refused, dropped, or not the protocol.
    pub fn is_refused(&self) -> bool {
        self.branches.iter().all(|branch| matches!(branch.fate, Fate::Refused(_) | Fate::Dropped))
    }

    /// Whether its last byte is missing, so that nothing can be told.
    pub fn is_cut_off(&self) -> bool {
        self.branches.iter().any(|branch| matches!(branch.fate, Fate::CutOff(..)))
    }

    fn of(frame: Option<Frame>, fate: Fate) -> Self {
        Self {
            frame,
            asked: Vec::new(),
            lookup: None,
            split_on: None,
            branches: vec![Branch { cluster: None, weight: 1, filters: Vec::new(), fate }],
            answer: Vec::new(),
        }
    }
}

/// A frame as the codec found it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Frame {
    /// Its first byte's place in what was captured.
    pub at: usize,
    /// What the decoder found; `None` if it found a fault, or too little.
    pub meta: Option<Meta>,
    /// Every key; `Err` if it may touch others than those that it names.
    pub keys: Result<Vec<Vec<u8>>, Unknown>,
}

/// One way that a request may go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Branch {
    /// The cluster; `None` if it goes to none.
    pub cluster: Option<Arc<str>>,
    /// Its share among the branches.
    pub weight: u64,
    /// What each filter says, in order.
    pub filters: Vec<Said>,
    /// The end of it.
    pub fate: Fate,
}

/// What a filter says of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Said {
    /// The filter's name.
    pub filter: String,
    /// Its explanation: lines, maybe none.
    pub text: String,
    /// What it surely decides; `None`: it is not asked, because an earlier one refuses.
    pub verdict: Option<Verdict>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever shows it must show each kind")]
pub enum Fate {
    /// It is sent.
    Sent(To),
    /// The route answers it with this.
    Direct(Arc<str>),
    /// The codec answers it; whether the connection is closed then.
    Local(bool),
    /// It is a heartbeat, answered here.
    Pong,
    /// It is answered with an error.
    Refused(Refused),
    /// A filter drops it without an answer.
    Dropped,
    /// It belongs to a stream that is open, and goes where that goes.
    Stream,
    /// Nothing follows from it.
    Ignored,
    /// So many bytes are there, of at least so many.
    CutOff(usize, usize),
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// What happened.
    pub outcome: Outcome,
    /// Which limit, fault or rule.
    pub reason: Reason,
    /// What the client is told.
    pub text: String,
    /// The connection is closed then.
    pub closes: bool,
}

fn refused((outcome, reason): End, text: impl Into<String>) -> Fate {
    Fate::Refused(Refused { outcome, reason, text: text.into(), closes: false })
}

/// In the standard words.
fn ended(end: End) -> Fate {
    refused(end, text(end.0, end.1))
}

/// Where a request is sent to.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever shows it must show each kind")]
pub enum To {
    /// This endpoint, always.
    One(Arc<str>, Why),
    /// One of these, with their weights; the balancer decides at that moment.
    Any(Balance, Vec<(Arc<str>, u32)>),
    /// All of these.
    All(Vec<Arc<str>>),
    /// Each of these gets its keys.
    Split(Vec<(Arc<str>, Vec<Vec<u8>>)>),
    /// The endpoint, if that is known, whose link the frame with this place in the capture took.
    Held(Option<Arc<str>>, usize),
}

/// Why it is this endpoint.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever shows it must show each kind")]
pub enum Why {
    /// There is no other.
    Only,
    /// The hash of this key.
    Key(Balance, Vec<u8>),
    /// The hash of this attribute.
    Attr(Balance, Attr, Seen),
    /// Such requests always go to the first one.
    First,
    /// The request itself names it.
    Named,
}

/// A request to be explained: a captured frame, or a description.
trait Subject {
    /// As routes (without a place) and filters (with the route and the cluster) see it.
    fn view<'v>(&'v mut self, place: Option<(&'v str, &'v str)>) -> Box<dyn Request + 'v>;

    /// What it is.
    fn kind(&self) -> Kind;

    /// Refuses what cannot be done with several endpoints.
    fn together(&mut self, pool: &Pool) -> Result<(), End>;

    /// The session's state may change.
    fn accept(&mut self) -> Accepted;

    /// Where it goes in its cluster, which has endpoints.
    fn aim(&mut self, pool: &mut Pool, chosen: Option<Chosen>) -> Result<To, End>;

    /// The bytes of an answer.
    fn answer(&mut self, answer: &Answer<'_>) -> Vec<u8>;
}

/// The endpoint that an attribute's hash decided, and the attribute.
type Chosen = (usize, Attr, Seen);

/// What becomes of a request that is to be routed.
fn admit(plan: &Plan, subject: &mut dyn Subject, mut asked: Vec<(Attr, Seen)>) -> Explained {
    let lookup = {
        let mut view = Noted { inner: &mut *subject.view(None), asked: &mut asked };
        plan.table.explain(&mut Scratch::default(), &mut view)
    };
    let route = lookup.found.and_then(|at| plan.routes.get(at));
    let (split_on, targets) = targets(route, subject, &mut asked);
    let mut branches = Vec::new();
    let mut open = Vec::new();
    for (at, weight) in targets {
        let cluster = at.and_then(|at| plan.clusters.get(at));
        let mut pool = cluster.map(|cluster| Pool::new(cluster.clone(), true, 0));
        let chosen = match (route.and_then(|route| route.hash_on.as_ref()), &mut pool) {
            (Some(attr), Some(pool)) if pool.balancer.is_hashing() => {
                hash(subject, attr, &mut asked, |v| pool.pick(Time::ZERO, Some(v)))
            }
            _ => None,
        };
        let mut filters = Vec::new();
        let fate = match route {
            // Whoever may not do anything may still log in.
            None if subject.kind() == Kind::Login => None,
            // Filters see what no route is for, too.
            route => {
                let place = (
                    route.map_or("", |route| &*route.name),
                    cluster.map_or("", |cluster| &*cluster.name),
                );
                let fate = filter(plan, place, subject, &mut filters, &mut asked);
                fate.or_else(|| match route {
                    Some(route) => direct(&route.target),
                    None => Some(ended((Outcome::NoRoute, Reason::None))),
                })
            }
        };
        let fate = fate.or_else(|| {
            let pool = pool.as_ref().filter(|pool| pool.endpoints.len() > 1)?;
            subject.together(pool).err().map(ended)
        });
        let cluster = cluster.map(|cluster| cluster.name.clone());
        if fate.is_none() {
            open.push((branches.len(), pool, chosen));
        }
        // What is open is decided below.
        let fate = fate.unwrap_or(Fate::Ignored);
        branches.push(Branch { cluster, weight, filters, fate });
    }
    let accepted = if open.is_empty() { Accepted::Forward } else { subject.accept() };
    for (at, pool, chosen) in open {
        let fate = match (accepted, pool) {
            (Accepted::Local, _) => Fate::Local(false),
            (Accepted::LocalClose, _) => Fate::Local(true),
            (_, None) => ended((Outcome::NoRoute, Reason::None)),
            (_, Some(pool)) if pool.endpoints.is_empty() => {
                ended((Outcome::NoEndpoint, Reason::None))
            }
            (_, Some(mut pool)) => subject.aim(&mut pool, chosen).map_or_else(ended, Fate::Sent),
        };
        if let Some(branch) = branches.get_mut(at) {
            branch.fate = fate;
        }
    }
    let mut explained = Explained {
        frame: None,
        asked,
        lookup: Some(lookup),
        split_on,
        branches,
        answer: Vec::new(),
    };
    explained.answer = answer(subject, &explained.branches);
    explained
}

/// Places of clusters in the plan, with their weights.
type Targets = Vec<(Option<usize>, u64)>;

/// The clusters that a route may choose, with their weights, and the attribute that chose.
fn targets(
    route: Option<&Route>,
    subject: &mut dyn Subject,
    asked: &mut Vec<(Attr, Seen)>,
) -> (Option<(Attr, Seen)>, Targets) {
    let Some(route) = route else {
        return (None, vec![(None, 1)]);
    };
    match &route.target {
        Target::Cluster(at) => (None, vec![(Some(*at), 1)]),
        Target::Weighted(weights, clusters) => {
            let stable = route.hash_on.as_ref().and_then(|attr| {
                hash(subject, attr, asked, |value| Some(weights.pick_stable(value)))
            });
            let shares = clusters.iter().copied().map(Some).zip(weights.weights());
            match stable {
                Some((pick, attr, seen)) => {
                    (Some((attr, seen)), shares.skip(pick).take(1).collect())
                }
                None => (None, shares.filter(|(_, weight)| *weight > 0).collect()),
            }
        }
        Target::Answer(_) | Target::Refuse(..) => (None, vec![(None, 1)]),
    }
}

/// Gives an attribute's bytes to `hash`.
fn hash(
    subject: &mut dyn Subject,
    attr: &Attr,
    asked: &mut Vec<(Attr, Seen)>,
    hash: impl FnOnce(&[u8]) -> Option<usize>,
) -> Option<Chosen> {
    let mut view = Noted { inner: &mut *subject.view(None), asked };
    let picked = hashed(&mut view, attr, hash)?;
    let seen = Seen::of(view.attr(attr));
    Some((picked, attr.clone(), seen))
}

/// Asks the filters; what becomes of the request if one of them ends it.
fn filter(
    plan: &Plan,
    place: (&str, &str),
    subject: &mut dyn Subject,
    said: &mut Vec<Said>,
    asked: &mut Vec<(Attr, Seen)>,
) -> Option<Fate> {
    let mut fate = None;
    for filter in &plan.filters {
        let name = filter.name().to_owned();
        if fate.is_some() {
            said.push(Said { filter: name, text: String::new(), verdict: None });
            continue;
        }
        let mut view = Noted { inner: &mut *subject.view(Some(place)), asked };
        let text = filter.explain(&mut view);
        let verdict = filter.foresee(&mut view);
        match &verdict {
            Verdict::Refuse(Refusal { outcome, text, .. }) => {
                fate = Some(refused((*outcome, Reason::Filter), &**text));
            }
            Verdict::Pass | Verdict::Ask(_) | Verdict::Wait(_) => {}
            _ => fate = Some(Fate::Dropped),
        }
        said.push(Said { filter: name, text, verdict: Some(verdict) });
    }
    fate
}

/// What a route without clusters does.
fn direct(target: &Target) -> Option<Fate> {
    match target {
        Target::Answer(text) | Target::Refuse(Outcome::Ok, text) => {
            Some(Fate::Direct(text.clone()))
        }
        Target::Refuse(outcome, text) => Some(refused((*outcome, Reason::Direct), &**text)),
        Target::Cluster(_) | Target::Weighted(..) => None,
    }
}

/// What the client gets, if all branches say the same.
fn answer(subject: &mut dyn Subject, branches: &[Branch]) -> Vec<u8> {
    let one = |branch: &Branch| match &branch.fate {
        Fate::Refused(refused) => Some((refused.outcome, refused.reason, refused.text.clone())),
        Fate::Direct(text) => Some((Outcome::Ok, Reason::Direct, text.to_string())),
        Fate::Local(_) => Some((Outcome::Ok, Reason::None, String::new())),
        _ => None,
    };
    let mut all = branches.iter().map(one);
    let Some(Some(first)) = all.next() else {
        return Vec::new();
    };
    if subject.kind() == Kind::Oneway || !all.all(|other| other.as_ref() == Some(&first)) {
        return Vec::new();
    }
    let (outcome, reason, text) = first;
    subject.answer(&match (outcome, reason) {
        (Outcome::Ok, Reason::Direct) => Answer::Direct { text: &text },
        (Outcome::Ok, Reason::None) => Answer::Local,
        _ => Answer::Error { outcome, reason, text: &text },
    })
}

/// Remembers what is asked for.
struct Noted<'a> {
    inner: &'a mut (dyn Request + 'a),
    asked: &'a mut Vec<(Attr, Seen)>,
}

impl Attributes for Noted<'_> {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        // The route and the cluster are told elsewhere, and are others on each branch.
        if !attr.is_routed() && !self.asked.iter().any(|(known, _)| known == attr) {
            let seen = Seen::of(self.inner.attr(attr));
            self.asked.push((attr.clone(), seen));
        }
        self.inner.attr(attr)
    }
}

impl Request for Noted<'_> {
    fn keys(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
        self.inner.keys(each)
    }

    fn edit(&mut self, edit: HeaderEdit) {
        self.inner.edit(edit);
    }
}

/// The addresses of a pool's endpoints, with their weights.
fn weighed(pool: &Pool) -> Vec<(Arc<str>, u32)> {
    let weights = pool.cluster.spec.endpoints.iter().map(|endpoint| endpoint.weight);
    pool.endpoints.iter().map(|endpoint| endpoint.address.clone()).zip(weights).collect()
}

fn address(pool: &Pool, at: usize) -> Arc<str> {
    pool.endpoints.get(at).map_or_else(|| Arc::from(""), |endpoint| endpoint.address.clone())
}

/// The endpoint that a key decided, or, without one that decides, the balancer's choice.
fn by_key(pool: &Pool, at: usize, key: Option<Vec<u8>>) -> To {
    let balance = pool.cluster.spec.balance;
    match key {
        _ if pool.endpoints.len() == 1 => To::One(address(pool, at), Why::Only),
        Some(key) if pool.balancer.is_hashing() => {
            To::One(address(pool, at), Why::Key(balance, key))
        }
        _ => To::Any(balance, weighed(pool)),
    }
}

/// The endpoint that an attribute's hash decided.
fn by_attr(pool: &Pool, (at, attr, seen): Chosen) -> To {
    let why = match pool.endpoints.len() {
        1 => Why::Only,
        _ => Why::Attr(pool.cluster.spec.balance, attr, seen),
    };
    To::One(address(pool, at), why)
}
