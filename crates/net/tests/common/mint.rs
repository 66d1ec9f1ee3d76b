//! Ids for machines that are no engine. Only an engine can make ids, so one is kept for that: each
//! byte of its one session wants a link of its own.

use std::sync::Arc;

use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{
    Answer, Asked, Bind, Codec, Ctx, Fault, Flavour, Meta, NoOptions, OptionsError, Outcome,
    Question, Side, Step, Time, Traits,
};
use heptad_engine::{
    Cluster, Engine, Event, LinkId, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_route::{Expr, Table};

#[derive(Clone, Debug)]
struct Byte;

impl Codec for Byte {
    const NAME: &'static str = "byte";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = ();
    type Tag = ();

    fn new(_: &NoOptions) -> Result<Self, OptionsError> {
        Ok(Self)
    }

    fn traits(&self) -> Traits {
        Traits::in_order().share(false)
    }

    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) {}

    fn decode_request(&self, (): &mut (), _: &Ctx, _: &[u8]) -> Result<Step<()>, Fault> {
        Ok(Step::Frame(Meta::request(1).bind(Bind::Exchange), ()))
    }

    fn decode_reply<A: Asked<()>>(
        &self,
        (): &mut (),
        _: &A,
        _: &Ctx,
        _: &[u8],
    ) -> Result<Step<()>, Fault> {
        Ok(Step::Frame(Meta::reply(1, Outcome::Ok), ()))
    }

    fn answer(
        &self,
        (): &mut (),
        _: &Question<'_, ()>,
        _: &Answer<'_>,
        _: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        Ok(())
    }
}

pub fn plan() -> Arc<Plan> {
    let table = Table::compile(&[Expr::All(Vec::new())]).unwrap();
    let spec = Spec::new(Balance::RoundRobin, vec![Endpoint::new("127.0.0.1:1")]);
    let cluster = Cluster::new("mint", spec).unwrap();
    Arc::new(Plan::new("mint", table, vec![Route::new("mint", Target::Cluster(0))], vec![cluster]))
}

pub struct Mint {
    engine: Engine<Byte>,
}

impl Mint {
    pub fn new() -> Self {
        Self { engine: Engine::new(Byte, plan(), 1) }
    }

    pub fn session(&mut self) -> SessionId {
        self.engine.open_session(Time::ZERO, Peer::local()).unwrap()
    }

    pub fn link(&mut self) -> LinkId {
        let session = self.session();
        self.engine.session_read(Time::ZERO, session, b"x");
        std::iter::from_fn(|| self.engine.poll_event())
            .find_map(|event| match event {
                Event::Dial(id, _) => Some(id),
                _ => None,
            })
            .expect("an own link for each call")
    }
}
