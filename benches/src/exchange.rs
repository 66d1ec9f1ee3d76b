//! A whole exchange through the engine: a request in, a frame to the endpoint, the reply in, a
//! frame to the client, deadlines and counters included; and sixteen of them in one turn, as busy
//! connections have them.

use std::{sync::Arc, time::Duration};

use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{Codec, Time};
use heptad_engine::{
    Cluster, ConnId, Engine, Event, LinkId, Links, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_route::{Expr, Table};

use crate::{Case, Speech};

/// One session and one link.
struct Exchange<C: Codec> {
    engine: Engine<C>,
    session: SessionId,
    link: Option<LinkId>,
    speech: Speech,
    /// Requests in a turn, one after the other; so many replies come back.
    depth: usize,
    now: u64,
    up: Vec<u8>,
    down: usize,
}

impl<C: Codec> Exchange<C> {
    fn new(options: &C::Options, speech: Speech, share: bool, depth: usize) -> Self {
        let codec = C::new(options).unwrap_or_else(|_| panic!("the options are the defaults"));
        let spec = Spec::new(Balance::RoundRobin, vec![Endpoint::new("e:0")]);
        let cluster = Cluster::new("e", spec).unwrap_or_else(|e| panic!("{e}"));
        let cluster = cluster.links(Links::default().share(Some(share)));
        let route = Route::new("all", Target::Cluster(0)).timeout(Some(Duration::from_secs(1)));
        let table = Table::compile(&[Expr::All(vec![])]).unwrap_or_else(|e| panic!("{e}"));
        let plan = Plan::new("bench", table, vec![route], vec![cluster]);
        let mut engine = Engine::new(codec, Arc::new(plan), 1);
        let session = engine.open_session(Time::from_nanos(1), Peer::local());
        let session = session.unwrap_or_else(|| panic!("there is room for one session"));
        let (up, link) = (Vec::new(), None);
        let speech = speech.repeated(depth);
        Self { engine, session, link, speech, depth, now: 1, up, down: 0 }
    }

    /// Does what the engine wants, and keeps what goes to the endpoint.
    fn turn(&mut self) {
        let now = Time::from_nanos(self.now);
        while let Some(event) = self.engine.poll_event() {
            let id = match event {
                Event::Write(id) => id,
                Event::Dial(id, _) => {
                    self.link = Some(id);
                    self.engine.link_up(now, id);
                    continue;
                }
                _ => continue,
            };
            while let Some(chain) = self.engine.out(id) {
                let n = chain.len();
                match id {
                    ConnId::Session(_) => self.down += n,
                    ConnId::Link(_) => {
                        let up = &mut self.up;
                        chain.pieces(|piece| {
                            up.extend_from_slice(piece);
                            true
                        });
                    }
                }
                self.engine.written(now, id, n);
            }
        }
    }

    fn run(&mut self) {
        self.now += 20_000;
        let now = Time::from_nanos(self.now);
        (self.down, _) = (0, self.up.clear());
        self.engine.session_read(now, self.session, &self.speech.request);
        self.turn();
        self.engine.timeouts(now);
        let (at, len) = self.speech.id;
        let size = |all: &[u8]| all.len() / self.depth;
        let (sent, told) = (size(&self.speech.request), size(&self.speech.reply));
        let replies = self.speech.reply.chunks_exact_mut(told);
        for (asked, answered) in self.up.chunks_exact(sent).zip(replies) {
            if let (Some(asked), Some(answered)) =
                (asked.get(at..at + len), answered.get_mut(at..at + len))
            {
                answered.copy_from_slice(asked);
            }
        }
        if let Some(link) = self.link {
            self.engine.link_read(now, link, &self.speech.reply);
        }
        self.turn();
        self.engine.next_timeout();
        assert_eq!(
            (self.up.len(), self.down),
            (self.speech.request.len(), self.speech.reply.len())
        );
    }
}

fn case<C: Codec>(name: &str, speech: Speech, share: bool, depth: usize) -> Case
where
    C::Options: Default,
{
    let mut exchange = Exchange::<C>::new(&C::Options::default(), speech, share, depth);
    // Warm: buffers and ids have the sizes that they keep.
    for _ in 0..200 {
        exchange.run();
    }
    Case::new(format!("exchange/{name}"), move || exchange.run())
}

pub(crate) fn cases() -> Vec<Case> {
    use {heptad_dubbo::Dubbo, heptad_redis::Redis, heptad_thrift::Thrift};
    vec![
        case::<Redis>("redis", crate::redis(), true, 1),
        case::<Thrift>("thrift", crate::thrift(), true, 1),
        case::<Thrift>("thrift_own_link", crate::thrift(), false, 1),
        case::<Dubbo>("dubbo", crate::dubbo(), true, 1),
        case::<Redis>("redis_16", crate::redis(), true, 16),
        case::<Thrift>("thrift_16", crate::thrift(), true, 16),
        case::<Dubbo>("dubbo_16", crate::dubbo(), true, 16),
    ]
}
