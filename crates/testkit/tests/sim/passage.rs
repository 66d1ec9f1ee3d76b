//! What policies refuse, change, drop and write down on a request's way, over every protocol in the
//! table of [`policy`](crate::policy); where a protocol lacks an attribute, its other ones are used.

use std::sync::Arc;

use heptad_core::{Filter, HeaderEdit, Outcome, Reason, Wall};
use heptad_filters::{AccessLog, AccessLogOptions, Authorize, AuthorizeOptions};

use crate::{
    common::ms,
    policy::{Call, Front, Headers, ROWS, Row, SOON, World, counted, get},
};

fn authorize(row: &Row, json: &str) -> Arc<dyn Filter> {
    let options: AuthorizeOptions = row.options(json);
    Arc::new(Authorize::new(&options).expect(json))
}

/// The world behind these filters.
fn behind(row: &Row, filters: Vec<Arc<dyn Filter>>) -> World {
    (row.world)(Front { filters, ..Front::default() })
}

fn del(id: u32, tenant: &str) -> Call<'_> {
    Call { id, method: "DEL", tenant }
}

fn count(filter: &Arc<dyn Filter>, event: &str) -> u64 {
    counted(filter).into_iter().find(|(name, _)| name == event).expect("an event").1
}

#[test]
fn a_denied_client_is_told_why_and_the_endpoint_nothing() {
    for row in &ROWS {
        // By service: all there is. A protocol without services has none that could be denied.
        let by_service = row.service.is_some();
        let services = if by_service { r#"{"service": "svc"}"# } else { r#"{"method": "GET"}"# };
        let rule = "denied by rule deny[0] of authorize";
        let (denied, allowed) = ([false; 3], [true; 3]);
        for (rules, text, passes) in [
            (format!(r#"{{"deny": [{services}]}}"#), rule, [false, !by_service, false]),
            (r#"{"deny": [{"method": "DEL"}]}"#.to_owned(), rule, [true, false, true]),
            (r#"{"deny": [{"PER": "eve"}]}"#.to_owned(), rule, [true, true, false]),
            (
                r#"{"deny": [{"method": "DEL"}], "text": "ask the shop"}"#.to_owned(),
                "ask the shop",
                [true, false, true],
            ),
            (
                r#"{"allow": [{"PER": "acme", "method": "GET"}]}"#.to_owned(),
                "no allow rule of authorize matches",
                [true, false, false],
            ),
            (
                r#"{"allow": [{"service": "other"}]}"#.to_owned(),
                "no allow rule of authorize matches",
                denied,
            ),
            (r#"{"deny": [{"service": "other"}]}"#.to_owned(), "", allowed),
        ] {
            let filter = authorize(row, &rules);
            let mut world = behind(row, vec![filter.clone()]);
            let peer = (row.connect)(&mut world.sim);
            let calls = [get(1, "acme"), del(2, "acme"), get(3, "eve")];
            for call in &calls {
                row.send(&mut world.sim, &peer, call);
            }
            world.sim.run(ms(SOON));
            let said = passes.map(|passes| match passes {
                true => Ok(()),
                false => row.refused(Outcome::Denied, text),
            });
            assert_eq!(peer.heard(), said, "{} {rules}", row.name);
            let passed = calls.iter().zip(passes).filter(|(_, passes)| *passes);
            let passed: Vec<_> = passed.map(|(call, _)| call.method).collect();
            assert_eq!(world.methods(), passed, "{} {rules}", row.name);
            let refused = 3 - passed.len() as u64;
            assert_eq!(world.sim.ended(Outcome::Denied, Reason::Filter), refused);
            assert_eq!((count(&filter, "denied"), count(&filter, "unknown")), (refused, 0));
            world.sim.finish_clean();
        }
    }
}

#[test]
fn a_refused_oneway_is_dropped_and_counted() {
    let mut tried = Vec::new();
    for row in &ROWS {
        let Some(oneway) = row.oneway else { continue };
        tried.push(row.name);
        let denied = authorize(row, r#"{"deny": [{"method": "DEL"}]}"#);
        let limited = row.limit_rate(r#"{"rate": "1/s", "burst": 1, "per": "PER"}"#);
        let mut world = behind(row, vec![denied.clone(), limited.clone()]);
        let peer = (row.connect)(&mut world.sim);
        // Refused by one filter, passed, refused by the other; and a request in between.
        for bytes in [
            oneway(&del(1, "acme")),
            oneway(&get(2, "acme")),
            (row.request)(&get(3, "zeta")),
            oneway(&get(4, "acme")),
        ] {
            world.sim.send(peer.client, &bytes);
        }
        world.sim.run(ms(SOON));
        assert_eq!(peer.heard(), [Ok(())], "{}: only the request is answered", row.name);
        assert_eq!(world.methods(), ["GET", "GET"], "{}", row.name);
        assert_eq!(world.sim.ended(Outcome::Denied, Reason::Filter), 1, "{}", row.name);
        assert_eq!(world.sim.ended(Outcome::Limited, Reason::Filter), 1, "{}", row.name);
        assert_eq!((count(&denied, "denied"), count(&limited, "limited")), (1, 1));
        world.sim.finish_clean();
    }
    assert_eq!(tried, ["dubbo", "thrift", "awesomerpc"]);
}

/// The values of this name.
fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect()
}

#[test]
fn headers_are_edited_where_there_are_any() {
    let mut tried = Vec::new();
    for row in &ROWS {
        let set =
            |name: &str, value: &str| HeaderEdit::Set { name: name.into(), value: value.into() };
        let mut world = (row.world)(Front {
            filters: vec![authorize(row, r#"{"deny": [{"PER": "other"}]}"#)],
            request: vec![set("tenant", "other"), set("via", "heptad")],
            reply: vec![set("served-by", "heptad")],
        });
        let peer = (row.connect)(&mut world.sim);
        for id in 1..=2 {
            row.send(&mut world.sim, &peer, &get(id, "acme"));
        }
        world.sim.run(ms(SOON));
        // Filters were asked about what the client had sent.
        assert_eq!(peer.heard(), [Ok(()), Ok(())], "{}", row.name);
        assert_eq!(world.methods(), ["GET", "GET"], "{}", row.name);
        let on_requests = row.per.starts_with("header.");
        if on_requests {
            for reached in (world.reached)() {
                let headers = &reached.headers;
                assert_eq!(values(headers, "tenant"), ["other"], "{} {reached:?}", row.name);
                assert_eq!(values(headers, "via"), ["heptad"], "{} {reached:?}", row.name);
            }
        }
        if let Some(headers) = &peer.headers {
            for reply in headers() {
                assert_eq!(values(&reply, "served-by"), ["heptad"], "{} {reply:?}", row.name);
            }
        }
        tried.push((row.name, on_requests, peer.headers.is_some()));
        world.sim.finish_clean();
    }
    // Elsewhere edits do no harm.
    assert_eq!(
        tried,
        [
            ("dubbo", true, true),
            ("thrift", true, true),
            ("awesomerpc", true, false),
            ("redis", false, false),
        ]
    );
}

#[test]
fn a_log_has_what_each_protocol_knows() {
    for row in &ROWS {
        let format = format!(
            "{{protocol}} {{service}} {{method}} {{{}}} {{route}} {{cluster}} {{endpoint}} \
             {{outcome}} {{reason}} {{attempts}}",
            row.per
        );
        let json = serde_json::json!({ "path": "x", "format": format }).to_string();
        let options: AccessLogOptions = serde_json::from_str(&json).expect("options");
        let log = Arc::new(AccessLog::new(&options).expect("good options"));
        let denied = authorize(row, r#"{"deny": [{"method": "DEL"}]}"#);
        let mut world = behind(row, vec![log.clone(), denied]);
        let endpoint = world.sim.machine().endpoints()[0].address.clone();
        let cluster = endpoint.split(':').next().expect("a name").to_owned();
        let peer = (row.connect)(&mut world.sim);
        for call in [get(1, "acme"), del(2, "eve")] {
            row.send(&mut world.sim, &peer, &call);
            world.sim.run(ms(SOON));
        }
        let before = format!("{} {}", row.name, row.service.unwrap_or("-"));
        let mut expected = vec![
            format!("{before} GET acme all {cluster} {endpoint} ok - 1"),
            format!("{before} DEL eve all {cluster} - denied filter 0"),
        ];
        if let Some(oneway) = row.oneway {
            for call in [get(3, "acme"), del(4, "eve")] {
                world.sim.send(peer.client, &oneway(&call));
                world.sim.run(ms(SOON));
            }
            expected.extend_from_within(..);
        }
        let feed = log.feed().expect("it records");
        let mut lines = Vec::new();
        feed.read(&mut Vec::new(), &mut |record| {
            feed.render().record(record, Wall::default(), &mut lines);
        });
        let lines = String::from_utf8(lines).expect("text");
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{}", row.name);
        world.sim.finish_clean();
    }
}
