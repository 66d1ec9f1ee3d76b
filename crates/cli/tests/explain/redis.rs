//! Redis: commands described, and captured in pipelines.

use crate::{captured, described};

const FILE: &str = r#"listeners:
  - name: cache
    listen: 127.0.0.1:6380
    codec: redis
    filters:
      - authorize: { deny: [ { key: { prefix: "secret:" } } ] }
      - limit_rate: { match: { method: { any: [ SET, INCR ] } }, per: key, rate: 10/s }
    routes:
      - { name: no-flush, match: { method: { any: [ FLUSHALL, FLUSHDB ] } }, answer: { error: not here } }
      - { name: canary, match: { key: { prefix: "c:" } }, to: { old: 75, new: 25 } }
      - { name: sticky, match: { key: { prefix: "s:" } }, to: { old: 75, new: 25 }, hash_on: key }
      - { name: stores, match: { not: { method: OBJECT } }, to: stores }
clusters:
  - { name: stores, endpoints: [ 10.0.0.1:6379, 10.0.0.2:6379, 10.0.0.3:6379 ], balance: ring }
  - { name: old, endpoints: [ 10.0.1.1:6379, 10.0.1.2:6379 ] }
  - { name: new, endpoints: [ 10.0.2.1:6379 ] }
"#;

#[test]
fn a_described_command() {
    described(
        FILE,
        &["--method", "GET", "--key", "user:1"],
        0,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "GET"
          key     "user:1"
routes    no-flush  no   method is "GET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "user:1", wanted prefix "c:"
          sticky    no   key is "user:1", wanted prefix "s:"
          stores    yes  method is "GET" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "user:1"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.3:6379, always for key "user:1" (ring)
result    sent to 10.0.0.3:6379
"#,
    );
    described(
        FILE,
        &["-l", "cache", "--method", "FLUSHALL"],
        1,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "FLUSHALL"
routes    no-flush  yes  method is "FLUSHALL"
filters   authorize   passes
            deny[0] does not match: key is absent
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
result    refused, denied (direct): not here
"#,
    );
    described(
        FILE,
        &["--method", "OBJECT"],
        1,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "OBJECT"
absent    key
routes    no-flush  no   method is "OBJECT", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is absent, wanted prefix "c:"
          sticky    no   key is absent, wanted prefix "s:"
          stores    no   method is "OBJECT", wanted not "OBJECT"
          none of them matches
filters   authorize   passes
            deny[0] does not match: key is absent
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
result    refused, no_route: no route matches the request
"#,
    );
    described(
        FILE,
        &["--method", "SET", "--key", "secret:1", "--source", "10.1.2.3"],
        1,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "SET"
          key     "secret:1"
routes    no-flush  no   method is "SET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "secret:1", wanted prefix "c:"
          sticky    no   key is "secret:1", wanted prefix "s:"
          stores    yes  method is "SET" (not "OBJECT")
filters   authorize   refuses: denied
            deny[0] matches: key is "secret:1"
            so the request is refused
          limit_rate  not asked
cluster   stores
result    refused, denied (filter): denied by rule deny[0] of authorize
"#,
    );
}

#[test]
fn clusters_by_weight_and_endpoints_by_turn() {
    described(
        FILE,
        &["--method", "SET", "--key", "c:1"],
        0,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "SET"
          key     "c:1"
routes    no-flush  no   method is "SET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    yes  key is "c:1" (prefix "c:")
filters   authorize   passes
            deny[0] does not match: key is "c:1"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            limited to 10/s, burst 10 for key "c:1"
cluster   75 of 100 old, 25 new; by chance
endpoint  old: round_robin over 2: 10.0.1.1:6379, 10.0.1.2:6379
          new: 10.0.2.1:6379, the only one
result    old: sent to one of 2 endpoints
          new: sent to 10.0.2.1:6379
"#,
    );
    described(
        FILE,
        &["--method", "SET", "--key", "s:1"],
        0,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "SET"
          key     "s:1"
routes    no-flush  no   method is "SET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "s:1", wanted prefix "c:"
          sticky    yes  key is "s:1" (prefix "s:")
filters   authorize   passes
            deny[0] does not match: key is "s:1"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            limited to 10/s, burst 10 for key "s:1"
cluster   old, always for key "s:1"
endpoint  round_robin over 2: 10.0.1.1:6379, 10.0.1.2:6379
result    sent to one of 2 endpoints
"#,
    );
}

#[test]
fn a_balancer_that_hashes_without_a_key() {
    described(
        FILE,
        &["--method", "INFO"],
        0,
        r#"
listener  cache (redis, 127.0.0.1:6380)
request   method  "INFO"
absent    key
routes    no-flush  no   method is "INFO", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is absent, wanted prefix "c:"
          sticky    no   key is absent, wanted prefix "s:"
          stores    yes  method is "INFO" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is absent
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  by chance over 3: 10.0.0.1:6379, 10.0.0.2:6379, 10.0.0.3:6379, as there is no key for ring
result    sent to one of 3 endpoints
"#,
    );
}

#[test]
fn a_pipeline_with_every_kind_of_end() {
    captured(FILE, &[], b"get user:1\r\n*3\r\n$3\r\nSET\r\n$8\r\nsecret:1\r\n$1\r\nv\r\nPING\r\nDBSIZE\r\nflushall\r\n", 1, r#"
listener  cache (redis, 127.0.0.1:6380)

frame     1 at byte 0: request, 12 bytes
request   method  "GET"
          key     "user:1"
routes    no-flush  no   method is "GET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "user:1", wanted prefix "c:"
          sticky    no   key is "user:1", wanted prefix "s:"
          stores    yes  method is "GET" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "user:1"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.3:6379, always for key "user:1" (ring)
result    sent to 10.0.0.3:6379

frame     2 at byte 12: request, 34 bytes
request   method  "SET"
          key     "secret:1"
routes    no-flush  no   method is "SET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "secret:1", wanted prefix "c:"
          sticky    no   key is "secret:1", wanted prefix "s:"
          stores    yes  method is "SET" (not "OBJECT")
filters   authorize   refuses: denied
            deny[0] matches: key is "secret:1"
            so the request is refused
          limit_rate  not asked
cluster   stores
result    refused, denied (filter): denied by rule deny[0] of authorize
answer    -NOPERM heptad: denied by rule deny[0] of authorize\r\n

frame     3 at byte 46: ping, 6 bytes
result    a heartbeat, answered by the codec
answer    +PONG\r\n

frame     4 at byte 52: request, 8 bytes
request   method  "DBSIZE"
absent    key
routes    no-flush  no   method is "DBSIZE", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is absent, wanted prefix "c:"
          sticky    no   key is absent, wanted prefix "s:"
          stores    yes  method is "DBSIZE" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is absent
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  all 3: 10.0.0.1:6379, 10.0.0.2:6379, 10.0.0.3:6379
result    sent to 3 endpoints, the replies merged

frame     5 at byte 60: request, 10 bytes
request   method  "FLUSHALL"
keys      unknown: it may touch others than it names
routes    no-flush  yes  method is "FLUSHALL"
filters   authorize   refuses: denied
            deny[0] counts as matching: key is unknown
            so the request is refused
          limit_rate  not asked
result    refused, denied (filter): denied by rule deny[0] of authorize: what it asks for is unknown
answer    -NOPERM heptad: denied by rule deny[0] of authorize: what it asks for is unknown\r\n
"#);
}

#[test]
fn keys_that_live_apart_are_split_or_refused() {
    captured(
        FILE,
        &[],
        b"MGET a user:1 b user:2\r\nMSETNX a 1 user:1 2\r\nRENAME a user:1\r\nSORT a BY w_*\r\n",
        1,
        r#"
listener  cache (redis, 127.0.0.1:6380)

frame     1 at byte 0: request, 24 bytes
request   method  "MGET"
          key     "a"
keys      "a", "user:1", "b", "user:2"
routes    no-flush  no   method is "MGET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "MGET" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "user:2"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.2:6379 for "a", "b"
          10.0.0.3:6379 for "user:1", "user:2"
result    split over 2 endpoints, the replies merged

frame     2 at byte 24: request, 21 bytes
request   method  "MSETNX"
          key     "a"
keys      "a", "user:1"
routes    no-flush  no   method is "MSETNX", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "MSETNX" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "user:1"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.2:6379 for "a"
          10.0.0.3:6379 for "user:1"
result    split over 2 endpoints, the replies merged

frame     3 at byte 45: request, 17 bytes
request   method  "RENAME"
          key     "a"
keys      "a", "user:1"
routes    no-flush  no   method is "RENAME", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "RENAME" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "user:1"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
result    refused, bad_request (cross_shard): keys of the request live on different endpoints
answer    -CROSSSLOT Keys in request don\'t hash to the same slot\r\n

frame     4 at byte 62: request, 15 bytes
request   method  "SORT"
          key     "a"
keys      unknown: it may touch others than it names
routes    no-flush  no   method is "SORT", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "SORT" (not "OBJECT")
filters   authorize   refuses: denied
            deny[0] counts as matching: key is unknown
            so the request is refused
          limit_rate  not asked
cluster   stores
result    refused, denied (filter): denied by rule deny[0] of authorize: what it asks for is unknown
answer    -NOPERM heptad: denied by rule deny[0] of authorize: what it asks for is unknown\r\n
"#,
    );
}

#[test]
fn a_transaction_stays_where_its_first_key_lives() {
    captured(
        FILE,
        &[],
        b"MULTI\r\nSET a 1\r\nGET secret:1\r\nEXEC\r\n",
        1,
        r#"
listener  cache (redis, 127.0.0.1:6380)

frame     1 at byte 0: request, 7 bytes
request   method  "MULTI"
absent    key
routes    no-flush  no   method is "MULTI", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is absent, wanted prefix "c:"
          sticky    no   key is absent, wanted prefix "s:"
          stores    yes  method is "MULTI" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is absent
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
result    answered by the codec
answer    +OK\r\n

frame     2 at byte 7: request, 9 bytes
request   method  "SET"
          key     "a"
routes    no-flush  no   method is "SET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "SET" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "a"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            limited to 10/s, burst 10 for key "a"
cluster   stores
endpoint  10.0.0.2:6379, always for key "a" (ring)
result    sent to 10.0.0.2:6379

frame     3 at byte 16: request, 14 bytes
request   method  "GET"
          key     "secret:1"
routes    no-flush  no   method is "GET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "secret:1", wanted prefix "c:"
          sticky    no   key is "secret:1", wanted prefix "s:"
          stores    yes  method is "GET" (not "OBJECT")
filters   authorize   refuses: denied
            deny[0] matches: key is "secret:1"
            so the request is refused
          limit_rate  not asked
cluster   stores
result    refused, denied (filter): denied by rule deny[0] of authorize
answer    -NOPERM heptad: denied by rule deny[0] of authorize\r\n

frame     4 at byte 30: control, 6 bytes
request   method  "EXEC"
absent    key
routes    no-flush  no   method is "EXEC", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is absent, wanted prefix "c:"
          sticky    no   key is absent, wanted prefix "s:"
          stores    yes  method is "EXEC" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is absent
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.2:6379, the link that the frame at byte 7 took
result    sent to 10.0.0.2:6379
"#,
    );
}

#[test]
fn a_frame_without_its_end_and_bytes_that_are_no_frame() {
    captured(
        FILE,
        &[],
        b"GET a\r\n*2\r\n$3\r\nGET\r\n$10\r\nabc",
        2,
        r#"
listener  cache (redis, 127.0.0.1:6380)

frame     1 at byte 0: request, 7 bytes
request   method  "GET"
          key     "a"
routes    no-flush  no   method is "GET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "GET" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "a"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.2:6379, always for key "a" (ring)
result    sent to 10.0.0.2:6379

frame     2 at byte 7
result    cut off: 21 bytes of 30 or more
"#,
    );
    captured(
        FILE,
        &[],
        b"GET a\r\n*2\r\n:3\r\nGET\r\n",
        1,
        r#"
listener  cache (redis, 127.0.0.1:6380)

frame     1 at byte 0: request, 7 bytes
request   method  "GET"
          key     "a"
routes    no-flush  no   method is "GET", wanted one of ("FLUSHALL", "FLUSHDB")
          canary    no   key is "a", wanted prefix "c:"
          sticky    no   key is "a", wanted prefix "s:"
          stores    yes  method is "GET" (not "OBJECT")
filters   authorize   passes
            deny[0] does not match: key is "a"
            there are no allow rules, so the request is allowed
          limit_rate  passes
            not limited: `match` does not match
cluster   stores
endpoint  10.0.0.2:6379, always for key "a" (ring)
result    sent to 10.0.0.2:6379

frame     2 at byte 7
result    refused, bad_request (malformed): Protocol error: expected '$', got ':'; the connection is closed
answer    -ERR Protocol error: expected \'$\', got \':\'\r\n
"#,
    );
    captured(
        FILE,
        &[],
        b"",
        2,
        r#"
listener  cache (redis, 127.0.0.1:6380)
result    there is no frame in it
"#,
    );
}
