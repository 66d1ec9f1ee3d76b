//! The demo's servers: which there are, where they listen, and the thread they run on. Knows
//! nothing of the router in front of them.

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinSet};

use super::{
    details::Details,
    hint,
    ratings::Ratings,
    reviews::Reviews,
    service::{Served, Service, Version, serve},
    spawn,
    stores::{Content, Store},
};

/// Where servers listen, counted from the base port.
const REVIEWS: [u16; 2] = [3, 4];
const STORES: [u16; 3] = [5, 6, 7];
const RATINGS: [u16; 2] = [10, 11];
const DETAILS: [u16; 2] = [12, 13];

/// The servers.
#[derive(Debug)]
pub(crate) struct Servers {
    reviews: [Arc<Reviews>; 2],
    stores: [Arc<Store>; 3],
    ratings: [Arc<Ratings>; 2],
    details: [Arc<Details>; 2],
}

impl Servers {
    /// Starts them; they end with the process.
    pub(crate) fn start(base_port: u16) -> Result<Self, String> {
        let mut all = Listening { base_port, bound: Vec::new() };
        let servers = Self {
            reviews: all.versions(REVIEWS, Reviews)?,
            stores: [
                all.server(STORES[0], Store::default())?,
                all.server(STORES[1], Store::default())?,
                all.server(STORES[2], Store::default())?,
            ],
            ratings: all.versions(RATINGS, Ratings)?,
            details: all.versions(DETAILS, Details)?,
        };
        spawn("servers", async move {
            let mut tasks = JoinSet::new();
            for serve in all.bound {
                serve(&mut tasks);
            }
            while tasks.join_next().await.is_some() {}
        })?;
        Ok(servers)
    }

    /// What the versions of the reviews served.
    pub(crate) fn reviews(&self) -> [Served; 2] {
        self.reviews.each_ref().map(|server| server.0.served())
    }

    /// What the stores hold and did.
    pub(crate) fn stores(&self) -> Vec<Content> {
        self.stores.iter().map(|store| store.content()).collect()
    }

    /// What the versions of the ratings served.
    pub(crate) fn ratings(&self) -> [Served; 2] {
        self.ratings.each_ref().map(|server| server.0.served())
    }

    /// What the versions of the details served.
    pub(crate) fn details(&self) -> [Served; 2] {
        self.details.each_ref().map(|server| server.0.served())
    }
}

/// Servers whose ports are taken, and that wait for a runtime.
struct Listening {
    base_port: u16,
    bound: Vec<Waiting>,
}

/// A server that begins to serve when it is given where its task belongs.
type Waiting = Box<dyn FnOnce(&mut JoinSet<()>) + Send>;

impl Listening {
    fn server<S: Service>(&mut self, port: u16, server: S) -> Result<Arc<S>, String> {
        let server = Arc::new(server);
        let address = SocketAddr::from(([127, 0, 0, 1], self.base_port.saturating_add(port)));
        let listener = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = listener
            .map_err(|error| format!("cannot listen on {address}: {error}{}", hint("in use")))?;
        let serving = server.clone();
        self.bound.push(Box::new(move |tasks| {
            if let Ok(listener) = TcpListener::from_std(listener) {
                tasks.spawn(serve(serving, listener));
            }
        }));
        Ok(server)
    }

    fn versions<S: Service>(
        &mut self,
        [v1, v2]: [u16; 2],
        new: fn(Version) -> S,
    ) -> Result<[Arc<S>; 2], String> {
        Ok([self.server(v1, new(Version::new("v1")))?, self.server(v2, new(Version::new("v2")))?])
    }
}
