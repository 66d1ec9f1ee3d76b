//! What a suite stands on: servers, the router in front of them, and a small client to look at both.

mod http;
mod process;
pub(crate) mod resp;

pub(crate) use http::{Metrics, get};
pub(crate) use process::{
    Kept, Nutcracker, Proxy, RedisServer, free_port, run_bounded, wait_until,
};

/// What stands between the clients and the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Middle {
    /// Nothing: clients speak to the server.
    Direct,
    /// The router.
    Heptad,
    /// A second plain server in the router's place: the suites must then find no difference.
    StandIn,
}

/// Fresh servers and what stands in front of them.
pub(crate) struct Rig {
    /// The servers behind.
    pub(crate) servers: Vec<RedisServer>,
    /// The router, unless clients speak to the first server.
    pub(crate) proxy: Option<Proxy>,
    /// Where clients connect.
    pub(crate) port: u16,
}

impl Rig {
    /// `shards` servers behind the router, or one server where there is none.
    pub(crate) fn start(middle: Middle, shards: usize) -> Result<Self, String> {
        let shards = if middle == Middle::Heptad { shards } else { 1 };
        let servers = (0..shards).map(|_| RedisServer::start()).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = servers.first().map(|s| s.port) else {
            return Err("no server".into());
        };
        if middle != Middle::Heptad {
            return Ok(Self { servers, proxy: None, port: first });
        }
        let ports: Vec<u16> = servers.iter().map(|s| s.port).collect();
        let template = if shards == 1 { "redis.yaml" } else { "redis-three.yaml" };
        let proxy = Proxy::start(template, &ports)?;
        let port = proxy.port;
        Ok(Self { servers, proxy: Some(proxy), port })
    }

    /// The ports of the servers behind, with commas.
    pub(crate) fn server_ports(&self) -> String {
        let ports: Vec<String> = self.servers.iter().map(|s| s.port.to_string()).collect();
        ports.join(",")
    }
}
