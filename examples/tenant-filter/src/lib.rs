//! A filter as somebody outside of Heptad would write it: it lets known tenants pass, counts their
//! requests and refuses everybody else, in every protocol.
//!
//! ```yaml
//! filters:
//!   - tenant: { from: header.tenant, tenants: [ acme, globex ] }
//!   - tenant: { from: key, until: ":", tenants: [ acme, globex ] }   # SET acme:cart:7 …
//! ```
//!
//! It knows attributes and no protocol, and depends on the core crate only. Its options are a serde
//! type: unknown keys and wrong types are reported at their line by that alone, and what the type
//! cannot say by [`Tenant::new`].
#![forbid(unsafe_code)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use heptad_core::{
    Attr, Filter, FilterWorker, OptionsError, Outcome, Refusal, Request, Time, Value, Verdict,
};

/// Options of the filter `tenant`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TenantOptions {
    /// The attribute that names the tenant, as in a route's `match`: `header.tenant`, `key`, `arg.0`.
    pub from: String,
    /// Only what stands in front of this is the name.
    pub until: Option<String>,
    /// Who may pass; at least one.
    pub tenants: Vec<String>,
}

impl Default for TenantOptions {
    fn default() -> Self {
        Self { from: "header.tenant".to_owned(), until: None, tenants: Vec::new() }
    }
}

/// The filter: options that make sense, and counters that all workers share.
#[derive(Clone, Debug)]
pub struct Tenant(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    from: Attr,
    until: Option<String>,
    /// Sorted by name.
    tenants: Vec<(String, AtomicU64)>,
    refused: AtomicU64,
}

impl Tenant {
    /// The name to register it with.
    pub const NAME: &'static str = "tenant";

    /// A filter with these options; an error names the option that makes no sense.
    pub fn new(options: &TenantOptions) -> Result<Self, OptionsError> {
        let TenantOptions { from, until, tenants } = options;
        let from: Attr = from.parse().map_err(|e| OptionsError::new("from", format!("{e}")))?;
        if until.as_deref() == Some("") {
            return Err(OptionsError::new("until", "an empty text stands in front of everything"));
        }
        if tenants.is_empty() {
            return Err(OptionsError::new("tenants", "name at least one tenant"));
        }
        let mut sorted: Vec<(String, AtomicU64)> = Vec::new();
        for (at, name) in tenants.iter().enumerate() {
            match sorted.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(_) => {
                    let path = format!("tenants.{at}");
                    return Err(OptionsError::new(path, format!("`{name}` is there twice")));
                }
                Err(place) => sorted.insert(place, (name.clone(), AtomicU64::new(0))),
            }
        }
        let refused = AtomicU64::new(0);
        Ok(Self(Arc::new(Shared { from, until: until.clone(), tenants: sorted, refused })))
    }
}

impl Filter for Tenant {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        // Relaxed counts are all that workers share; a filter with state of its own makes it here.
        Box::new(self.clone())
    }

    fn explain(&self, request: &mut dyn Request) -> String {
        match self.0.find(request) {
            Ok(at) => format!("tenant {}", self.0.tenants[at].0),
            Err(why) => format!("refuses: {why}"),
        }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        for (name, passed) in &self.0.tenants {
            each(name, passed.load(Ordering::Relaxed));
        }
        each("refused", self.0.refused.load(Ordering::Relaxed));
    }
}

impl FilterWorker for Tenant {
    fn request(&mut self, _: Time, request: &mut dyn Request, _: &mut u64) -> Verdict {
        match self.0.find(request) {
            Ok(at) => {
                self.0.tenants[at].1.fetch_add(1, Ordering::Relaxed);
                Verdict::Pass
            }
            Err(why) => {
                self.0.refused.fetch_add(1, Ordering::Relaxed);
                Verdict::Refuse(Refusal::new(Outcome::Denied, why))
            }
        }
    }
}

impl Shared {
    /// The place of the request's tenant, or what its client is told.
    fn find(&self, request: &mut dyn Request) -> Result<usize, &'static str> {
        // What cannot be read could be anybody.
        let value = request.attr(&self.from).map_err(|_| "the tenant cannot be read")?;
        let Some(Value::Bytes(mut name)) = value else { return Err("the request has no tenant") };
        if let Some(until) = self.until.as_deref().map(str::as_bytes) {
            let end = name.windows(until.len()).position(|part| part == until);
            name = end.and_then(|end| name.get(..end)).ok_or("the request has no tenant")?;
        }
        self.tenants
            .binary_search_by(|(known, _)| known.as_bytes().cmp(name))
            .map_err(|_| "unknown tenant")
    }
}
