//! The admin server: what operators and Prometheus ask, on a thread and a runtime of its own, so
//! that no scrape takes time from requests. It changes nothing but the log level.

mod taps;

use std::{fmt, io, net::SocketAddr, sync::Arc, thread};

use axum::{
    Router,
    extract::{Query, Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::{CONTENT_TYPE, Running, Table};

/// Sets the log level of the program; the error is shown to whoever asked.
pub type SetLog = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// A running admin server. It ends when this is dropped.
pub struct Admin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked in a way that matters now.
            let _ = thread.join();
        }
    }
}

const INDEX: &str = "\
GET  /metrics               counters, for Prometheus
GET  /ready                 200 when listening, 503 when draining
GET  /live                  200 when the process lives
GET  /config                the configuration in use, secrets left out (?format=json)
GET  /clusters              endpoints and their state (?format=json)
GET  /tap?listener=NAME      requests and replies as they pass, one JSON object a line, until the
                            connection ends (&match=JSON, &percent=N); off unless configured
GET  /mirrors               latest replies to copies that were not like the original's (?format=json)
PUT  /log?level=LEVEL       off, error, warn, info, debug, trace, or a filter such as
                            info,heptad_net=debug
";

impl Admin {
    /// Listens on `address` and answers for `running`. Only whoever may see and do all of that
    /// should be able to reach the address: the configuration allows loopback addresses only,
    /// unless it says `public: true`.
    pub fn start(address: SocketAddr, running: Running, log: Option<SetLog>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let app = router(App { running, log });
        let serve = async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "the admin server cannot listen"),
            };
            let server = axum::serve(listener, app);
            // Connections that are still open end with the runtime.
            tokio::select! {
                served = server => if let Err(error) = served {
                    tracing::error!(%error, "the admin server ended");
                },
                _ = stopped => {}
            }
        };
        let thread = thread::Builder::new()
            .name("heptad-admin".to_owned())
            .spawn(move || runtime.block_on(serve))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, with the real port if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Clone)]
struct App {
    running: Running,
    log: Option<SetLog>,
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/clusters", get(clusters))
        .route("/mirrors", get(mirrors))
        .route("/tap", get(taps::tap))
        .route("/log", put(log).post(log))
        .fallback(async || (StatusCode::NOT_FOUND, format!("There is:\n{INDEX}")))
        .layer(from_fn(guard))
        .with_state(app)
}

/// Keeps web pages that a browser on this machine shows from talking to a loopback port: neither
/// through a name of theirs that resolves to it, nor by a form that is sent here.
async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let foreign = request.method() != Method::GET && headers.contains_key(header::ORIGIN);
    if foreign || !is_address(host) {
        let text = "Ask by IP address or as localhost, and not from a web page.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

fn is_address(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
    });
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // HTTP/1.0 may leave it out.
    host.is_empty() || name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
}

async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.running.ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], app.running.metrics_text().await)
}

#[derive(Deserialize)]
struct Format {
    format: Option<String>,
}

async fn config(State(app): State<App>, Query(Format { format }): Query<Format>) -> Response {
    let source = app.running.model().source.redacted();
    if format.as_deref() == Some("json") {
        return axum::Json(source.to_json()).into_response();
    }
    source.to_yaml().into_response()
}

async fn clusters(State(app): State<App>, Query(Format { format }): Query<Format>) -> Response {
    let rows = app.running.endpoints().await;
    if format.as_deref() == Some("json") {
        return axum::Json(rows).into_response();
    }
    let mut table = Table::new(&[
        "CLUSTER",
        "ENDPOINT",
        "LISTENER",
        ">LINKS",
        ">IN FLIGHT",
        ">WAITING",
        "STATE",
    ]);
    for row in rows {
        let [links, in_flight, waiting] =
            [row.links, row.in_flight, row.waiting].map(|n| n.to_string());
        let state = if row.backing_off { "backing off" } else { "ok" }.to_owned();
        table.row([row.cluster, row.address, row.listener, links, in_flight, waiting, state]);
    }
    table.to_string().into_response()
}

async fn mirrors(State(app): State<App>, Query(Format { format }): Query<Format>) -> Response {
    let totals = app.running.collect().await;
    let rows: Vec<_> = totals.into_iter().flat_map(|totals| totals.differences).collect();
    if format.as_deref() == Some("json") {
        return axum::Json(rows).into_response();
    }
    let mut table = Table::new(&["ROUTE", "MIRROR", "SERVICE", "METHOD", "ORIGINAL", "COPY"]);
    for row in rows {
        table.row([row.route, row.cluster, row.service, row.method, row.original, row.copy]);
    }
    table.to_string().into_response()
}

#[derive(Deserialize)]
struct Level {
    level: Option<String>,
}

async fn log(State(app): State<App>, Query(Level { level }): Query<Level>) -> (StatusCode, String) {
    let Some(set) = app.log else {
        return (StatusCode::NOT_IMPLEMENTED, "This program has no log level.\n".to_owned());
    };
    let Some(level) = level else {
        return (StatusCode::BAD_REQUEST, "Which level? /log?level=debug\n".to_owned());
    };
    match set(&level) {
        Ok(()) => (StatusCode::OK, format!("log level: {level}\n")),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        let good = ["127.0.0.1", "127.0.0.1:9901", "[::1]:9901", "localhost", "localhost:1", ""];
        assert!(good.into_iter().all(is_address));
        let bad = ["evil.example", "evil.example:9901", "localhost.evil.example", "127.0.0.1.x:1"];
        assert!(!bad.into_iter().any(is_address));
    }
}
