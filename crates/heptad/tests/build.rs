//! A router written as code: what is wrong with it is a typed error, and what runs can be replaced.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use heptad::{
    BuildError, Builder, Heptad, StartError,
    build::{Cluster, Listener, Route},
    cluster::{BalanceError, Endpoint},
    core::{Attr, Codec as _, Outcome},
    engine::Limits,
    redis::Redis,
    route::{Expr, Text},
};

fn listener(name: &str) -> Listener {
    let redis = Redis::new(&Default::default()).expect("good options");
    Listener::new(name, redis).listen("127.0.0.1:0")
}

fn good() -> Builder {
    Heptad::build()
        .workers(1)
        .cluster(Cluster::new("c", ["127.0.0.1:1"]))
        .listener(listener("l").route(Route::to("r", "c")))
}

fn wrong(builder: Builder) -> BuildError {
    match builder.start() {
        Err(StartError::Build(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_makes_no_sense_is_a_typed_error() {
    let text = |name: &str| name.to_owned();
    let with = |listener| good().listener(listener);
    let when = |expr| with(listener("m").route(Route::to("r", "c").when(expr)));
    let exact = |attr| Expr::Attr(attr, Text::Exact("x".to_owned()));
    let deep = (0..100).fold(exact(Attr::Key), |inner, _| Expr::Not(Box::new(inner)));

    assert_eq!(wrong(Heptad::build()), BuildError::NoListener);
    assert_eq!(
        wrong(with(listener("l").route(Route::answer("r", "ok")))),
        BuildError::SameListener { listener: text("l") }
    );
    assert_eq!(wrong(with(listener("m"))), BuildError::NoRoute { listener: text("m") });
    assert_eq!(
        wrong(with(listener("m").route(Route::to("r", "d")))),
        BuildError::NoCluster { listener: text("m"), route: text("r"), cluster: text("d") }
    );
    assert_eq!(
        wrong(with(listener("m").route(Route::to("r", "c")).route(Route::to("r", "c")))),
        BuildError::SameRoute { listener: text("m"), route: text("r") }
    );
    for shares in [vec![], vec![("c", 0), ("c", 0)]] {
        let (listener, route, source) = (text("m"), text("r"), BalanceError::NoWeight);
        assert_eq!(
            wrong(with(self::listener("m").route(Route::split("r", shares)))),
            BuildError::Weights { listener, route, source }
        );
    }
    let low = Limits::default().soft_mark(2).hard_mark(1);
    assert_eq!(
        wrong(with(listener("m").route(Route::to("r", "c")).limits(low))),
        BuildError::Limits { listener: text("m"), low: "soft_mark", high: "hard_mark" }
    );
    assert_eq!(
        wrong(when(exact(Attr::Route))),
        BuildError::Routed { listener: text("m"), route: text("r") }
    );
    let error = wrong(when(deep));
    assert!(matches!(&error, BuildError::Match { route, .. } if route == "r"), "{error}");
    assert_eq!(
        wrong(good().cluster(Cluster::new("c", ["a:1"]))),
        BuildError::SameCluster { cluster: text("c") }
    );
    assert_eq!(
        wrong(good().cluster(Cluster::new("d", ["nowhere"]))),
        BuildError::Address { cluster: text("d"), address: text("nowhere") }
    );
    let none = Cluster::new("d", [""; 0]).endpoint(Endpoint::new("a:1").weighing(0));
    assert_eq!(
        wrong(good().cluster(none).listener(listener("m").route(Route::to("r", "d")))),
        BuildError::Cluster { cluster: text("d"), source: BalanceError::NoWeight }
    );
    let redis = Redis::new(&Default::default()).expect("good options");
    assert_eq!(
        wrong(with(Listener::new("m", redis).route(Route::to("r", "c")))),
        BuildError::NoAddress { listener: text("m") }
    );
    let taken = good().listener(listener("m").listen("here").route(Route::to("r", "c"))).start();
    assert!(matches!(taken, Err(StartError::Driver(_))), "{taken:?}");
}

#[tokio::test]
async fn routes_are_replaced_under_an_open_connection() {
    let says = |text| {
        let answer = Route::refuse("r", Outcome::Denied, text);
        Heptad::build().workers(1).listener(listener("l").route(answer))
    };
    let running = says("first").start().expect("it starts");
    let front = running.listeners().next().expect("one").address.clone();
    let stream = TcpStream::connect(front).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut client = BufReader::new(stream);
    let mut call = || {
        client.get_mut().write_all(b"GET a\r\n").expect("it reads");
        let mut line = String::new();
        client.read_line(&mut line).expect("it answers");
        line
    };
    assert!(call().ends_with("first\r\n"));
    assert!(matches!(running.replace(Heptad::build()), Err(BuildError::NoListener)));
    let more = says("second").listener(listener("m").route(Route::answer("r", "ok")));
    assert_eq!(running.replace(more), Ok(vec!["listener m: it is new".to_owned()]));
    // Workers swap when they come to it.
    assert!((0..100_000).any(|_| call().ends_with("second\r\n")));
    drop(client);
    assert_eq!(running.stop(Duration::from_secs(20)).await, 0);
}
