//! AwesomeRPC: every kind of match and filter, and captured frames.

use crate::{captured, described};

const FILE: &str = r#"listeners:
  - name: rpc
    listen: 127.0.0.1:7000
    codec: awesomerpc
    filters:
      - limit_concurrency: { per: header.tenant, max: 7, match: { method: { not: ping } } }
      - inject_fault: { match: { header.chaos: slow }, percent: 5, delay: 100ms }
      - inject_fault: { match: { header.chaos: "yes" }, refuse: { outcome: overloaded, text: chaos } }
      - authorize:
          deny: [ { cluster: reviews-v2, header.tenant: old } ]
          allow: [ { service: { prefix: shop. } }, { source.principal: ops } ]
    routes:
      - { name: exact, match: { service: shop.Cart, method: { any: [ add, remove ] } }, to: carts }
      - { name: prefix, match: { method: { prefix: list, not: { suffix: All } } }, to: carts }
      - { name: contains, match: { service: { contains: Debug } }, answer: { ok: debugged } }
      - { name: regex, match: { method: { regex: "get[0-9]+" } }, to: carts }
      - { name: range, match: { header.version: { range: [ 2, 5 ] } }, to: carts }
      - { name: present, match: { header.canary: { present: true } }, to: { reviews-v1: 75, reviews-v2: 25 } }
      - { name: net, match: { source.ip: 10.1.0.0/16, destination.port: 7001 }, to: carts }
      - { name: who, match: { source.principal: ops, protocol: awesomerpc, listener: rpc }, answer: { error: not for ops } }
      - { name: neither, match: { any: [ { method: a }, { not: { header.x: { present: false } } } ] }, to: carts }
      - { name: sticky, match: { header.user: { present: true } }, to: { reviews-v1: 75, reviews-v2: 25 }, hash_on: header.user }
      - { name: reviews, match: { service: shop.Reviews }, to: reviews-v1 }
clusters:
  - { name: carts, endpoints: [ 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1 ], balance: maglev }
  - { name: reviews-v1, endpoints: [ { address: "10.0.1.1:1", weight: 2 }, { address: "10.0.1.2:1", weight: 1 } ] }
  - { name: reviews-v2, endpoints: [ 10.0.2.1:1, 10.0.2.2:1 ], balance: ring }
"#;

const SMALL: &str = r#"listeners:
  - name: front
    listen: 127.0.0.1:7000
    codec: awesomerpc
    limits: { max_frame: 200B }
    filters:
      - authorize: { deny: [ { method: drop } ] }
    routes:
      - { name: tenants, match: { header.tenant: { prefix: t } }, to: hashed, hash_on: header.tenant }
      - { name: echo, match: { service: echo }, answer: { ok: hello } }
clusters:
  - { name: hashed, endpoints: [ 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1 ], balance: ring }
"#;

#[test]
fn no_route_and_what_each_kind_of_match_wanted() {
    described(
        FILE,
        &["--method", "none"],
        1,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   method            "none"
          destination.port  7000
absent    service, header.version, header.canary, source.principal, header.x,
          header.user, source.ip, header.tenant, header.chaos
routes    exact     no   service is absent, wanted "shop.Cart"
          prefix    no   method is "none", wanted prefix "list"
          contains  no   service is absent, wanted containing "Debug"
          regex     no   method is "none", wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       no   source.ip is absent, wanted 10.1.0.0/16
          who       no   source.principal is absent, wanted "ops"
          neither   no   method is "none", wanted "a"
                         header.x is absent, wanted any value
          sticky    no   header.user is absent, wanted any value
          reviews   no   service is absent, wanted "shop.Reviews"
          none of them matches
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          refuses: denied
            deny[0] does not match: cluster is absent
            allow[0] does not match: service is absent
            allow[1] does not match: source.principal is absent
            no allow rule matches
            so the request is refused
result    refused, denied (filter): no allow rule of authorize matches
"#,
    );
}

#[test]
fn every_kind_of_match_matches() {
    described(
        FILE,
        &["--service", "shop.Cart", "--method", "add"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service  "shop.Cart"
          method   "add"
absent    header.tenant, header.chaos
routes    exact  yes  service is "shop.Cart"
                      method is "add"
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "carts"
            allow[0] matches: service is "shop.Cart"
            so the request is allowed
cluster   carts
endpoint  by chance over 3: 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, as there is no key for maglev
result    sent to one of 3 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "shop.Cart", "--method", "listItems"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service  "shop.Cart"
          method   "listItems"
absent    header.tenant, header.chaos
routes    exact   no   method is "listItems", wanted one of ("add", "remove")
          prefix  yes  method is "listItems" (all of (prefix "list", not suffix "All"))
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "carts"
            allow[0] matches: service is "shop.Cart"
            so the request is allowed
cluster   carts
endpoint  by chance over 3: 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, as there is no key for maglev
result    sent to one of 3 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "shop.Debug"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service  "shop.Debug"
absent    method, header.tenant, header.chaos
routes    exact     no   service is "shop.Debug", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  yes  service is "shop.Debug" (containing "Debug")
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is absent
            allow[0] matches: service is "shop.Debug"
            so the request is allowed
result    answered by the route: debugged
"#,
    );
    described(
        FILE,
        &["--service", "shop.X", "--method", "get17"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service  "shop.X"
          method   "get17"
absent    header.tenant, header.chaos
routes    exact     no   service is "shop.X", wanted "shop.Cart"
          prefix    no   method is "get17", wanted prefix "list"
          contains  no   service is "shop.X", wanted containing "Debug"
          regex     yes  method is "get17" (regex /get[0-9]+/)
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "carts"
            allow[0] matches: service is "shop.X"
            so the request is allowed
cluster   carts
endpoint  by chance over 3: 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, as there is no key for maglev
result    sent to one of 3 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "shop.X", "--header", "version=3"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service         "shop.X"
          header.version  "3"
absent    method, header.tenant, header.chaos
routes    exact     no   service is "shop.X", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.X", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     yes  header.version is "3" (2 to 5)
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "carts"
            allow[0] matches: service is "shop.X"
            so the request is allowed
cluster   carts
endpoint  by chance over 3: 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, as there is no key for maglev
result    sent to one of 3 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "shop.X", "--source", "::ffff:10.1.2.3", "--port", "7001"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service           "shop.X"
          destination.port  7001
          source.ip         10.1.2.3
absent    method, header.version, header.canary, header.tenant, header.chaos
routes    exact     no   service is "shop.X", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.X", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       yes  source.ip is 10.1.2.3 (10.1.0.0/16)
                         destination.port is 7001
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "carts"
            allow[0] matches: service is "shop.X"
            so the request is allowed
cluster   carts
endpoint  by chance over 3: 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, as there is no key for maglev
result    sent to one of 3 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "x", "--method", "ping", "--principal", "ops"],
        1,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service           "x"
          method            "ping"
          destination.port  7000
          source.principal  "ops"
          protocol          "awesomerpc"
          listener          "rpc"
absent    header.version, header.canary, source.ip, header.chaos
routes    exact     no   service is "x", wanted "shop.Cart"
          prefix    no   method is "ping", wanted prefix "list"
          contains  no   service is "x", wanted containing "Debug"
          regex     no   method is "ping", wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       no   source.ip is absent, wanted 10.1.0.0/16
          who       yes  source.principal is "ops"
                         protocol is "awesomerpc"
                         listener is "rpc"
filters   limit_concurrency  passes
            not limited: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is absent
            allow[0] does not match: service is "x"
            allow[1] matches: source.principal is "ops"
            so the request is allowed
result    refused, denied (direct): not for ops
"#,
    );
    described(
        FILE,
        &["--service", "shop.X", "--header", "x="],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service           "shop.X"
          header.x          ""
          destination.port  7000
absent    method, header.version, header.canary, source.principal, source.ip,
          header.tenant, header.chaos
routes    exact     no   service is "shop.X", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.X", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       no   source.ip is absent, wanted 10.1.0.0/16
          who       no   source.principal is absent, wanted "ops"
          neither   yes  header.x is ""
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "carts"
            allow[0] matches: service is "shop.X"
            so the request is allowed
cluster   carts
endpoint  by chance over 3: 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1, as there is no key for maglev
result    sent to one of 3 endpoints
"#,
    );
}

#[test]
fn weights_by_chance_and_by_an_attribute() {
    described(
        FILE,
        &["--service", "shop.Reviews", "--header", "canary=1"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service        "shop.Reviews"
          header.canary  "1"
absent    method, header.version, header.tenant, header.chaos
routes    exact     no   service is "shop.Reviews", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.Reviews", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   yes  header.canary is "1"
filters   to reviews-v1:
          limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "reviews-v1"
            allow[0] matches: service is "shop.Reviews"
            so the request is allowed
          to reviews-v2:
          limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: header.tenant is absent
            allow[0] matches: service is "shop.Reviews"
            so the request is allowed
cluster   75 of 100 reviews-v1, 25 reviews-v2; by chance
endpoint  reviews-v1: round_robin over 2: 10.0.1.1:1 (weight 2), 10.0.1.2:1 (weight 1)
          reviews-v2: by chance over 2: 10.0.2.1:1, 10.0.2.2:1, as there is no key for ring
result    sent to one of 2 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "shop.Reviews", "--header", "user=ann", "--header", "chaos=slow"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service           "shop.Reviews"
          header.user       "ann"
          header.chaos      "slow"
          destination.port  7000
absent    method, header.version, header.canary, source.principal, header.x,
          source.ip, header.tenant
routes    exact     no   service is "shop.Reviews", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.Reviews", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       no   source.ip is absent, wanted 10.1.0.0/16
          who       no   source.principal is absent, wanted "ops"
          neither   no   method is absent, wanted "a"
                         header.x is absent, wanted any value
          sticky    yes  header.user is "ann"
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            in 5 of 100 cases delayed by 100ms
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "reviews-v1"
            allow[0] matches: service is "shop.Reviews"
            so the request is allowed
cluster   reviews-v1, always for header.user "ann"
endpoint  round_robin over 2: 10.0.1.1:1 (weight 2), 10.0.1.2:1 (weight 1)
result    sent to one of 2 endpoints
"#,
    );
    described(
        FILE,
        &["--service", "shop.Reviews", "--header", "user=eve"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service           "shop.Reviews"
          header.user       "eve"
          destination.port  7000
absent    method, header.version, header.canary, source.principal, header.x,
          source.ip, header.tenant, header.chaos
routes    exact     no   service is "shop.Reviews", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.Reviews", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       no   source.ip is absent, wanted 10.1.0.0/16
          who       no   source.principal is absent, wanted "ops"
          neither   no   method is absent, wanted "a"
                         header.x is absent, wanted any value
          sticky    yes  header.user is "eve"
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "reviews-v1"
            allow[0] matches: service is "shop.Reviews"
            so the request is allowed
cluster   reviews-v1, always for header.user "eve"
endpoint  round_robin over 2: 10.0.1.1:1 (weight 2), 10.0.1.2:1 (weight 1)
result    sent to one of 2 endpoints
"#,
    );
}

#[test]
fn filters_may_depend_on_a_cluster_that_chance_chooses() {
    described(
        FILE,
        &["--service", "shop.Reviews", "--header", "canary=1", "--header", "tenant=old"],
        0,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service        "shop.Reviews"
          header.canary  "1"
          header.tenant  "old"
absent    method, header.version, header.chaos
routes    exact     no   service is "shop.Reviews", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.Reviews", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   yes  header.canary is "1"
filters   to reviews-v1:
          limit_concurrency  passes
            limited to 7 at a time for header.tenant "old"
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          passes
            deny[0] does not match: cluster is "reviews-v1"
            allow[0] matches: service is "shop.Reviews"
            so the request is allowed
          to reviews-v2:
          limit_concurrency  passes
            limited to 7 at a time for header.tenant "old"
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       passes
            no fault: `match` does not match
          authorize          refuses: denied
            deny[0] matches: cluster is "reviews-v2"
            so the request is refused
cluster   75 of 100 reviews-v1, 25 reviews-v2; by chance
endpoint  reviews-v1: round_robin over 2: 10.0.1.1:1 (weight 2), 10.0.1.2:1 (weight 1)
result    reviews-v1: sent to one of 2 endpoints
          reviews-v2: refused, denied (filter): denied by rule deny[0] of authorize
"#,
    );
}

#[test]
fn faults_that_are_certain_refuse() {
    described(
        FILE,
        &["--service", "shop.Reviews", "--header", "chaos=yes"],
        1,
        r#"
listener  rpc (awesomerpc, 127.0.0.1:7000)
request   service           "shop.Reviews"
          header.chaos      "yes"
          destination.port  7000
absent    method, header.version, header.canary, source.principal, header.x,
          header.user, source.ip, header.tenant
routes    exact     no   service is "shop.Reviews", wanted "shop.Cart"
          prefix    no   method is absent, wanted prefix "list"
          contains  no   service is "shop.Reviews", wanted containing "Debug"
          regex     no   method is absent, wanted regex /get[0-9]+/
          range     no   header.version is absent, wanted 2 to 5
          present   no   header.canary is absent, wanted any value
          net       no   source.ip is absent, wanted 10.1.0.0/16
          who       no   source.principal is absent, wanted "ops"
          neither   no   method is absent, wanted "a"
                         header.x is absent, wanted any value
          sticky    no   header.user is absent, wanted any value
          reviews   yes  service is "shop.Reviews"
filters   limit_concurrency  passes
            limited to 7 at a time for requests without header.tenant
          inject_fault       passes
            no fault: `match` does not match
          inject_fault       refuses: overloaded
            in 100 of 100 cases refused as overloaded: chaos
          authorize          not asked
cluster   reviews-v1
result    refused, overloaded (filter): chaos
"#,
    );
}

#[test]
fn captured_calls() {
    captured(SMALL, &["--source", "10.0.0.9"], b"\xa1\x01\x00\x14\x00\x00\x00\x16\x00\x00\x00\x07\x04shop\x03get\x06tenant\x00\x02t1..\xa1\x02\x00\x15\x00\x00\x00\x15\x00\x00\x00\x00\x04shop\x04drop\x06tenant\x00\x02t2\xa1\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\xa1\x01\x00\x09\x00\x00\x00\x09\x00\x00\x00\x08\x04echo\x03say\xa1\x06\x00\x17\x00\x00\x00\x17\x00\x00\x00\x09\x04shop\x05watch\x06tenant\x00\x03t\xff\x01\xa1\x07\x00\x00\x00\x00\x00\x04\x00\x00\x00\x09more\xa1\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1, r#"
listener  front (awesomerpc, 127.0.0.1:7000)

frame     1 at byte 0: request, 34 bytes, id 7
request   service        "shop"
          method         "get"
          header.tenant  "t1"
routes    tenants  yes  header.tenant is "t1" (prefix "t")
filters   authorize  passes
            deny[0] does not match: method is "get"
            there are no allow rules, so the request is allowed
cluster   hashed
endpoint  10.0.0.2:1, always for header.tenant "t1" (ring)
result    sent to 10.0.0.2:1

frame     2 at byte 34: oneway, 33 bytes
request   service        "shop"
          method         "drop"
          header.tenant  "t2"
routes    tenants  yes  header.tenant is "t2" (prefix "t")
filters   authorize  refuses: denied
            deny[0] matches: method is "drop"
            so the request is refused
cluster   hashed
result    refused, denied (filter): denied by rule deny[0] of authorize

frame     3 at byte 67: ping, 12 bytes, id 3
result    a heartbeat, answered by the codec
answer    \xa1\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03

frame     4 at byte 79: request, 21 bytes, id 8
request   service  "echo"
          method   "say"
absent    header.tenant
routes    tenants  no   header.tenant is absent, wanted prefix "t"
          echo     yes  service is "echo"
filters   authorize  passes
            deny[0] does not match: method is "say"
            there are no allow rules, so the request is allowed
result    answered by the route: hello
answer    \xa1\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x08\x00hello

frame     5 at byte 100: open, 35 bytes, id 9
request   service        "shop"
          method         "watch"
          header.tenant  "t\xff\x01"
routes    tenants  yes  header.tenant is "t\xff\x01" (prefix "t")
filters   authorize  passes
            deny[0] does not match: method is "watch"
            there are no allow rules, so the request is allowed
cluster   hashed
endpoint  10.0.0.3:1, always for header.tenant "t\xff\x01" (ring)
result    sent to 10.0.0.3:1

frame     6 at byte 135: data, 16 bytes, id 9
result    goes where its stream goes

frame     7 at byte 151
result    refused, bad_request (unexpected): unexpected kind of frame; the connection is closed
answer    \xa1\x03\x00\x01\x00\x00\x00\x19\x00\x00\x00\x00\x04unexpected kind of frame
"#);
}

#[test]
fn a_call_without_its_end() {
    captured(
        SMALL,
        &[],
        b"\xa1\x01\x00\x09\x00\x00\x00\x13\x00\x00\x00\x07\x04echo\x03say012345",
        2,
        r#"
listener  front (awesomerpc, 127.0.0.1:7000)

frame     1 at byte 0: request, 31 bytes, id 7
result    cut off: 27 bytes of 31 or more
"#,
    );
}

#[test]
fn calls_that_break_a_rule_of_the_protocol_or_a_limit() {
    captured(
        SMALL,
        &[],
        b"\xa1\x01\x00\x09\x00\x00\x00\x09\x00\x00\x00\x07\x04echo\x03sayGET / HTTP/1.1\r\n\r\n",
        1,
        r#"
listener  front (awesomerpc, 127.0.0.1:7000)

frame     1 at byte 0: request, 21 bytes, id 7
request   service  "echo"
          method   "say"
absent    header.tenant
routes    tenants  no   header.tenant is absent, wanted prefix "t"
          echo     yes  service is "echo"
filters   authorize  passes
            deny[0] does not match: method is "say"
            there are no allow rules, so the request is allowed
result    answered by the route: hello
answer    \xa1\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x07\x00hello

frame     2 at byte 21
result    refused, bad_request (malformed): not AwesomeRPC 1; the connection is closed
answer    \xa1\x03\x00\x01\x00\x00\x00\x11\x00\x00\x00\x00\x04not AwesomeRPC 1
"#,
    );
    captured(SMALL, &[], b"\xa1\x01\x00\x09\x00\x00\x00\xd1\x00\x00\x00\x07\x04echo\x03sayxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1, r#"
listener  front (awesomerpc, 127.0.0.1:7000)

frame     1 at byte 0
result    refused, too_large (frame_size): frame is too long; the connection is closed
answer    \xa1\x03\x00\x01\x00\x00\x00\x12\x00\x00\x00\x00\x05frame is too long
"#);
    captured(
        SMALL,
        &[],
        b"\xa1\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07",
        1,
        r#"
listener  front (awesomerpc, 127.0.0.1:7000)

frame     1 at byte 0
result    refused, bad_request (unexpected): unexpected kind of frame; the connection is closed
answer    \xa1\x03\x00\x01\x00\x00\x00\x19\x00\x00\x00\x00\x04unexpected kind of frame
"#,
    );
}
