//! A router ready to be started, whether it was read from a file or built in code, and what its
//! parts counted as one sum. Knows neither threads nor sockets.

use std::{collections::HashMap, sync::Arc};

use heptad_config::{Listener, Model, Problem};
use heptad_engine::{Machine, Plan};
use heptad_net::{Collected, Performer};

use crate::{
    BuildError, Machines, Registry, Totals,
    compile::{Compiled, compile},
    outlets::Outlets,
};

/// Everything that is started together.
pub(crate) struct Setup {
    /// `None`: one per core.
    pub(crate) workers: Option<usize>,
    /// Whether workers make pauses.
    pub(crate) moderation: bool,
    pub(crate) parts: Vec<Part>,
    pub(crate) performers: HashMap<String, Performer>,
}

/// One listener.
pub(crate) struct Part {
    pub(crate) name: String,
    /// The codec's name, or that of a description.
    pub(crate) codec: String,
    /// Empty if it listens on nothing.
    pub(crate) listen: String,
    pub(crate) plan: Arc<Plan>,
    pub(crate) machines: Machines,
}

/// The names of a listener's protocols, as labels have them.
fn spoken(listener: &Listener) -> String {
    let names =
        listener.protocols().map(|(codec, node)| crate::described::protocol_name(codec, node));
    names.collect::<Vec<_>>().join("+")
}

impl Setup {
    /// What a model says.
    pub(crate) fn of_model(registry: &Registry, model: &Model) -> Result<Self, Problem> {
        let part = |listener: &Listener| {
            let Compiled { plan, machines } = compile(registry, model, listener)?;
            Ok(Part {
                name: listener.name.clone(),
                codec: spoken(listener),
                listen: listener.listen.to_string(),
                plan,
                machines,
            })
        };
        let parts = model.listeners.iter().map(part).collect::<Result<_, Problem>>()?;
        Ok(Self {
            workers: model.workers,
            moderation: model.moderation,
            parts,
            performers: HashMap::new(),
        })
    }

    /// How many workers.
    pub(crate) fn workers(&self) -> usize {
        self.workers.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        })
    }
}

impl Part {
    /// Makes the machines of its workers.
    pub(crate) fn factory(&self) -> Arc<dyn Fn(usize, u64) -> Box<dyn Machine> + Send + Sync> {
        let (plan, machines) = (self.plan.clone(), self.machines.clone());
        Arc::new(move |_, seed| machines(plan.clone(), seed))
    }
}

/// Opens what the filters of a listener of a file write to.
pub(crate) fn attach(outlets: &Outlets, listener: &Listener, plan: &Plan) -> Result<(), Problem> {
    for (filter, named) in plan.filters.iter().zip(&listener.filters) {
        let Some(feed) = filter.feed() else { continue };
        outlets.attach(feed).map_err(|why| {
            let span = named.options.as_ref().map_or(named.span, |node| {
                node.at(if feed.service() == heptad_filters::FILE { "path" } else { "" }).span()
            });
            Problem::new(span, format!("{}: {why}", named.name), "")
        })?;
    }
    Ok(())
}

/// Opens what the filters of a listener that was built in code write to.
pub(crate) fn attach_built(
    outlets: &Outlets,
    listener: &str,
    plan: &Plan,
) -> Result<(), BuildError> {
    for filter in &plan.filters {
        let Some(feed) = filter.feed() else { continue };
        outlets.attach(feed).map_err(|why| BuildError::Record {
            listener: listener.to_owned(),
            filter: filter.name().to_owned(),
            why,
        })?;
    }
    Ok(())
}

/// What a listener counted, summed over its workers.
pub(crate) fn sum<'a>(
    listener: &str,
    codec: &str,
    plan: Option<&Plan>,
    collected: impl IntoIterator<Item = &'a Collected>,
) -> Totals {
    let mut totals = Totals::new(listener, codec);
    for one in collected.into_iter().filter(|one| *one.listener == *listener) {
        totals.add(&one.stats);
        totals.restarts += one.io.restarts;
    }
    for filter in plan.iter().flat_map(|plan| &plan.filters) {
        let name: Arc<str> = filter.name().into();
        filter.counters(&mut |event, count| {
            *totals.filters.entry((name.clone(), event.into())).or_default() += count;
        });
    }
    totals
}
