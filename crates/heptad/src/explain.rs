//! What a configuration does with a request and why, without starting anything: the plan that
//! workers would get is asked, its table, its filters and its balancers.

mod json;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use heptad_config::{Model, Problem};
use heptad_core::Attr;
use heptad_engine::{Explained, Peer, explain_question};

use crate::{
    Registry,
    compile::{Compiled, compile},
    described,
    inspect::spoken,
};

/// A request to be explained: described by its attributes, or captured as bytes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Question {
    given: Vec<(Attr, Vec<u8>)>,
    frames: Option<Vec<u8>>,
    peer: Peer,
    port: Option<u16>,
}

impl Question {
    /// A request without any attribute, from nowhere, to the listener's own port.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute that is found in frames, with the value that rules see (of Redis the
    /// command in upper case). What is not given is absent.
    #[must_use]
    pub fn with(mut self, attr: Attr, value: impl Into<Vec<u8>>) -> Self {
        self.given.push((attr, value.into()));
        self
    }

    /// Instead of attributes: what a client sent on a new connection, any number of frames.
    #[must_use]
    pub fn frames(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.frames = Some(bytes.into());
        self
    }

    /// Where it comes from: `source.ip`, `source.port` and `source.principal`.
    #[must_use]
    pub fn from(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// `destination.port`, if it is not the listener's.
    #[must_use]
    pub fn port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// There is no listener of this name, but these.
    #[error("there is no listener {name}; there are: {}", known.join(", "))]
    NoListener {
        /// What was asked for.
        name: String,
        /// All there are.
        known: Vec<String>,
    },
    /// The model does not fit the registry's plugins.
    #[error("line {}: {}", .0.span.line, .0.message)]
    Model(Problem),
}

/// What becomes of a request, or of each of several, and why.
///
/// [`Display`](std::fmt::Display) is for people; [`Explanation::to_json`] for programs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Its codec's name.
    pub codec: String,
    /// Where it listens.
    pub address: String,
    /// The names of its routes, in order.
    pub routes: Vec<Arc<str>>,
    /// The request that was described, or one for each frame that was captured.
    pub requests: Vec<Explained>,
}

impl Explanation {
    /// Whether some request is surely not served.
    pub fn is_refused(&self) -> bool {
        self.requests.iter().any(Explained::is_refused)
    }

    /// Whether bytes are missing, or there are none at all.
    pub fn is_cut_off(&self) -> bool {
        self.requests.is_empty() || self.requests.iter().any(Explained::is_cut_off)
    }
}

/// Explains a request to a listener of `model`. Nothing is sent, opened or counted.
pub fn explain(
    registry: &Registry,
    model: &Model,
    listener: &str,
    question: &Question,
) -> Result<Explanation, ExplainError> {
    let found = model.listeners.iter().find(|one| one.name == listener);
    let found = found.ok_or_else(|| ExplainError::NoListener {
        name: listener.to_owned(),
        known: model.listeners.iter().map(|one| one.name.clone()).collect(),
    })?;
    let Compiled { mut plan, .. } = compile(registry, model, found).map_err(ExplainError::Model)?;
    if let (Some(port), Some(plan)) = (question.port, Arc::get_mut(&mut plan)) {
        plan.port = port;
        for plan in plan.also.iter_mut().filter_map(Arc::get_mut) {
            plan.port = port;
        }
    }
    let Question { given, frames, peer, .. } = question;
    // Captured bytes tell their protocol as they would on the wire.
    let number = match frames {
        Some(bytes) => spoken(registry, found, bytes).map_err(ExplainError::Model)?,
        None => 0,
    };
    let mut all = found.protocols().zip(std::iter::once(&plan).chain(&plan.also));
    let ((name, options), plan) =
        all.nth(number).unwrap_or(((&*found.codec, found.codec_options.as_ref()), &plan));
    let shown = described::protocol_name(name, options);
    let requests = match (frames, registry.any_codec(name)) {
        (Some(bytes), Some(codec)) => {
            codec.explain(options, plan, peer.clone(), bytes).map_err(ExplainError::Model)?
        }
        _ => {
            let mut question = heptad_engine::Question::from(peer.clone());
            for (attr, value) in given {
                question = question.with(attr.clone(), value.clone());
            }
            vec![explain_question(plan, shown, &question)]
        }
    };
    Ok(Explanation {
        listener: plan.listener.clone(),
        codec: shown.to_owned(),
        address: found.listen.to_string(),
        routes: plan.routes.iter().map(|route| route.name.clone()).collect(),
        requests,
    })
}

/// The name of a way to choose an endpoint, as files have it.
fn balance(balance: heptad_cluster::Balance) -> &'static str {
    use heptad_cluster::Balance;
    match balance {
        Balance::RoundRobin => "round_robin",
        Balance::Random => "random",
        Balance::LeastRequest => "least_request",
        Balance::Ring { .. } => "ring",
        Balance::Modula { .. } => "modula",
        Balance::Maglev { .. } => "maglev",
        Balance::Slots => "slots",
        _ => "the balancer",
    }
}

/// Bytes as text that has no control characters.
fn plain(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
