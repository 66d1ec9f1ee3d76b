//! Each codec with what its targets must know of it: whether its frames have heads, and headers.

use awesomerpc::AwesomeRpc;
use heptad_core::Codec;
use heptad_dubbo::Dubbo;
use heptad_redis::{Redis, RedisOptions, Secret, UserOptions};
use heptad_testkit::{conformance::Conformance, fuzz};
use heptad_thrift::Thrift;

macro_rules! targets {
    ($($suite:ident: $decode:ident $chunks:ident $rewrite:ident),* $(,)?) => {$(
        pub(crate) fn $decode(data: &[u8]) {
            fuzz::decode(&$suite(), data);
        }

        pub(crate) fn $chunks(data: &[u8]) {
            fuzz::chunks(&$suite(), data);
        }

        pub(crate) fn $rewrite(data: &[u8]) {
            fuzz::rewrite(&$suite(), data);
        }
    )*};
}

targets! {
    guarded: users_decode users_chunks users_rewrite,
    redis: redis_decode redis_chunks redis_rewrite,
    thrift: thrift_decode thrift_chunks thrift_rewrite,
    dubbo: dubbo_decode dubbo_chunks dubbo_rewrite,
    awesomerpc: awesomerpc_decode awesomerpc_chunks awesomerpc_rewrite,
}

thread_local! {
    // Its table of commands takes longer to make than most inputs to read.
    pub(crate) static REDIS: Redis = codec();
    static USERS: Redis = users();
}

fn users() -> Redis {
    let mut options = RedisOptions::default();
    let mut user = UserOptions::default();
    (user.name, user.password) = ("jason".to_owned(), Secret::new("sesame"));
    options.users.push(user);
    match Redis::new(&options) {
        Ok(redis) => redis,
        Err(error) => panic!("options that make no sense: {error}"),
    }
}

/// The codec with its default options.
pub(crate) fn codec<C: Codec>() -> C {
    match C::new(&C::Options::default()) {
        Ok(codec) => codec,
        Err(error) => panic!("the default options of {} make no sense: {error}", C::NAME),
    }
}

/// Commands have no head; passwords are not forwarded.
fn redis() -> Conformance<Redis> {
    REDIS.with(|redis| Conformance::new(redis.clone())).whole_frames().recodes()
}

/// A listener that has users of its own.
fn guarded() -> Conformance<Redis> {
    USERS.with(|redis| Conformance::new(redis.clone())).whole_frames().recodes()
}

/// Unframed messages end where their struct does; compressed ones are forwarded plain.
fn thrift() -> Conformance<Thrift> {
    Conformance::new(codec()).whole_frames().recodes().headers(&["user"])
}

/// Rules may ask what stands at a frame's end.
fn dubbo() -> Conformance<Dubbo> {
    Conformance::new(codec())
        .whole_frames()
        .headers(&["user", "path", "group", "version", "timeout"])
}

fn awesomerpc() -> Conformance<AwesomeRpc> {
    Conformance::new(codec()).headers(&["user"])
}
