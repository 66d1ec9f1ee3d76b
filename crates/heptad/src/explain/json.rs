//! An explanation for programs. Attributes are text; what is not text is escaped.

use std::collections::BTreeMap;

use heptad_engine::{Branch, Explained, Fate, Frame, Refused, To, Why};
use heptad_route::{Reason, Seen, Tri};
use serde_json::{Value, json};

use super::{Explanation, balance, plain, text::decides};

impl Explanation {
    /// As JSON: `listener`, `codec`, `address`, and of each of the `requests` its `frame`,
    /// `attributes`, `routes` up to the `route` that was found, `ways`, and whether it is `refused`.
    pub fn to_json(&self) -> Value {
        json!({
            "listener": *self.listener,
            "codec": self.codec,
            "address": self.address,
            "requests": self.requests.iter().map(|one| self.one(one)).collect::<Vec<_>>(),
        })
    }

    fn one(&self, request: &Explained) -> Value {
        let attributes: BTreeMap<_, _> =
            request.asked.iter().map(|(attr, value)| (attr.to_string(), seen(value))).collect();
        let lookup = request.lookup.as_ref();
        let route = lookup.and_then(|lookup| self.routes.get(lookup.found?)).map(|name| &**name);
        let routes: Vec<_> = lookup
            .map(|lookup| lookup.reasons.iter().map(|reason| self.reason(reason)).collect())
            .unwrap_or_default();
        let split_on = request.split_on.as_ref().map(|(attr, _)| attr.to_string());
        json!({
            "frame": request.frame.as_ref().map(frame),
            "attributes": attributes,
            "routes": routes,
            "route": route,
            "split_on": split_on,
            "ways": request.branches.iter().map(way).collect::<Vec<_>>(),
            "answer": match request.answer.is_empty() {
                true => None,
                false => Some(request.answer.escape_ascii().to_string()),
            },
            "refused": request.is_refused(),
            "cut_off": request.is_cut_off(),
        })
    }

    fn reason(&self, reason: &Reason) -> Value {
        let because: Vec<_> = reason
            .causes
            .iter()
            .map(|cause| {
                let not = if cause.negated { "not " } else { "" };
                json!({
                    "attribute": cause.attr.to_string(),
                    "value": seen(&cause.seen),
                    "wanted": format!("{not}{}", cause.wanted),
                })
            })
            .collect();
        let matches = match reason.said {
            Tri::True => "yes",
            Tri::False => "no",
            Tri::Unknown => "unknown",
        };
        let name = self.routes.get(reason.rule).map(|name| &**name);
        json!({ "route": name, "matches": matches, "because": because })
    }
}

/// Absent is null; what cannot be told is an object, so that no value is taken for it.
fn seen(value: &Seen) -> Value {
    match value {
        Seen::Absent => Value::Null,
        Seen::Unknown => json!({ "unknown": true }),
        Seen::Bytes(bytes) => plain(bytes).into(),
        Seen::Ip(ip) => ip.to_canonical().to_string().into(),
        Seen::Number(n) => (*n).into(),
    }
}

fn texts(all: &[Vec<u8>]) -> Vec<String> {
    all.iter().map(|bytes| plain(bytes)).collect()
}

fn frame(frame: &Frame) -> Value {
    json!({
        "at": frame.at,
        "kind": frame.meta.map(|meta| format!("{:?}", meta.kind).to_lowercase()),
        "length": frame.meta.map(|meta| meta.len),
        "id": frame.meta.map(|meta| meta.id),
        "keys": frame.keys.as_ref().ok().map(|keys| texts(keys)),
    })
}

fn way(branch: &Branch) -> Value {
    let filters: Vec<_> = branch
        .filters
        .iter()
        .map(|said| {
            let verdict = said.verdict.as_ref().map(decides);
            json!({ "filter": said.filter, "verdict": verdict, "text": said.text })
        })
        .collect();
    json!({
        "cluster": branch.cluster.as_deref(),
        "weight": branch.weight,
        "filters": filters,
        "result": fate(&branch.fate),
    })
}

fn fate(fate: &Fate) -> Value {
    match fate {
        Fate::Sent(to) => json!({ "sent": sent(to) }),
        Fate::Direct(text) => json!({ "direct": **text }),
        Fate::Local(closes) => json!({ "local": { "closes": closes } }),
        Fate::Pong => json!("pong"),
        Fate::Refused(Refused { outcome, reason, text, closes, .. }) => json!({
            "refused": {
                "outcome": outcome.as_str(),
                "reason": reason.as_str(),
                "text": text,
                "closes": closes,
            }
        }),
        Fate::Dropped => json!("dropped"),
        Fate::Stream => json!("stream"),
        Fate::Ignored => json!("ignored"),
        Fate::CutOff(has, needs) => json!({ "cut_off": { "has": has, "needs": needs } }),
    }
}

fn sent(to: &To) -> Value {
    match to {
        To::One(address, why) => {
            let because = match why {
                Why::Only => json!("only"),
                Why::Key(way, key) => json!({ "balance": balance(*way), "key": plain(key) }),
                Why::Attr(way, attr, value) => json!({
                    "balance": balance(*way),
                    "attribute": attr.to_string(),
                    "value": seen(value),
                }),
                Why::First => json!("first"),
                Why::Named => json!("named"),
            };
            json!({ "endpoint": **address, "because": because })
        }
        To::Any(way, of) => {
            let of: Vec<_> = of
                .iter()
                .map(|(address, weight)| json!({ "endpoint": **address, "weight": weight }))
                .collect();
            json!({ "balance": balance(*way), "any": of })
        }
        To::All(of) => json!({ "all": of.iter().map(|one| &**one).collect::<Vec<_>>() }),
        To::Split(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|(address, keys)| json!({ "endpoint": **address, "keys": texts(keys) }))
                .collect();
            json!({ "split": parts })
        }
        To::Held(address, at) => json!({ "endpoint": address.as_deref(), "held_since": at }),
    }
}
