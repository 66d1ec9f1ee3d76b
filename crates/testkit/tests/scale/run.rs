//! One seed: some listeners side by side, each with its own engine and protocol, with process-wide
//! limits between them; trouble while they run; and what must hold afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fastrand::Rng;
use heptad_core::{Codec as _, Filter, Outcome};
use heptad_engine::Engine;
use heptad_filters::{InjectFault, LimitConcurrency, LimitRate};
use heptad_testkit::sim::{End, Profile, Sim};

use crate::{
    awesome::Awesome,
    book::{Asker, Book, Clerk},
    dubbo::Dubbo,
    redis::Redis,
    scripts::{Client, Heard, Seen, Server, Shared, shared},
    thrift::Thrift,
    tongue::{BIG, Said, Sort, Tongue, Verb},
    topology::{LONGEST, Parts, SHARED, limits, ms},
};

/// How many requests ended each way, by outcome.
pub(crate) type Ends = BTreeMap<Outcome, u64>;

/// A listener while it runs.
struct Listener {
    name: &'static str,
    sim: Sim,
    verdict: Box<dyn FnOnce(&mut Sim) -> Ends>,
}

/// Runs a seed; `show` prints every event.
///
/// # Panics
/// If something does not hold.
pub(crate) fn run(seed: u64, show: bool) -> Ends {
    let mut rng = Rng::with_seed(seed);
    let filters = process_wide(&mut rng);
    let mut all = Vec::new();
    for _ in 0..rng.usize(1..4) {
        all.push(match rng.u32(0..4) {
            0 => listener::<Awesome>(&mut rng, seed, &filters, show),
            1 => listener::<Dubbo>(&mut rng, seed, &filters, show),
            2 => listener::<Thrift>(&mut rng, seed, &filters, show),
            _ => listener::<Redis>(&mut rng, seed, &filters, show),
        });
    }
    for _ in 0..100 {
        all.iter_mut().for_each(|listener| listener.sim.run(ms(50)));
    }
    // Without a route the default time-out holds, and in order it may come several times.
    all.iter_mut().for_each(|listener| listener.sim.run(ms(120_000)));
    let mut ends = Ends::new();
    for (n, Listener { name, mut sim, verdict }) in all.into_iter().enumerate() {
        for (outcome, count) in verdict(&mut sim) {
            *ends.entry(outcome).or_default() += count;
        }
        if show {
            eprintln!("\n=== listener {n}: {name}");
            sim.print_trace();
        }
    }
    ends
}

/// Filters that all listeners have in common.
fn process_wide(rng: &mut Rng) -> Vec<Arc<dyn Filter>> {
    let mut all: Vec<Arc<dyn Filter>> = Vec::new();
    if rng.u32(0..4) == 0 {
        let json = format!(r#"{{"rate": "{}/s", "burst": 5}}"#, rng.u32(5..200));
        let options = serde_json::from_str(&json).expect("options");
        all.push(Arc::new(LimitRate::new(&options).expect("a limit")));
    }
    if rng.u32(0..4) == 0 {
        let json = format!(r#"{{"max": {}}}"#, rng.u32(1..20));
        let options = serde_json::from_str(&json).expect("options");
        all.push(Arc::new(LimitConcurrency::new(&options).expect("a limit")));
    }
    if rng.u32(0..4) == 0 {
        let json = format!(r#"{{"percent": {}, "delay": "30ms", "refuse": {{}}}}"#, rng.u32(1..30));
        let options = serde_json::from_str(&json).expect("options");
        all.push(Arc::new(InjectFault::new(&options).expect("a fault")));
    }
    if rng.u32(0..3) == 0 {
        all.push(Arc::new(Asker(Rng::with_seed(rng.u64(..)))));
    }
    all
}

/// What a client asked, and may be told.
struct Asks {
    id: u64,
    /// The only good replies; none: it cannot go well.
    says: Option<String>,
    sort: Sort,
}

/// A client, when all is over.
struct Party {
    c: usize,
    asks: Vec<Asks>,
    /// It may have been closed before everything was answered.
    may_lack: bool,
    /// It said what is no request, and is told so.
    garbled: bool,
    /// It ends its side before it has heard everything.
    half: bool,
    heard: Shared<Heard>,
}

fn listener<T: Tongue>(
    rng: &mut Rng,
    seed: u64,
    filters: &[Arc<dyn Filter>],
    show: bool,
) -> Listener {
    let parts = Parts::random(rng, T::KEYED);
    // A blocking pop adds what it waits for to the time that its route allows.
    let book = Book::new(T::TOKEN, LONGEST + ms(60));
    let mut chain: Vec<Arc<dyn Filter>> = vec![Arc::new(Clerk(book.clone()))];
    chain.extend_from_slice(filters);
    let (limits, tight) = limits(rng);
    let mut plan = || Arc::new(parts.plan(rng, limits, chain.clone(), T::TOKEN));
    let (first, swaps) = (plan(), [plan(), plan(), plan()]);
    let codec = T::Codec::new(&Default::default()).expect("the defaults");
    let mut sim = Sim::new(Engine::new(codec, first, seed), seed);
    sim.keep_trace(if show { usize::MAX } else { 0 });
    sim.check_every(17);
    sim.on_ask(|_, rng| {
        let answer = if rng.u32(0..5) == 0 { "no" } else { "yes" };
        (rng.u32(0..10) > 0).then(|| (ms(rng.u64(0..200)), answer.into()))
    });
    for plan in swaps.into_iter().take(rng.usize(0..4)) {
        sim.after(ms(rng.u64(0..2_500)), move |sim| {
            sim.note("the configuration is swapped");
            sim.drive(|machine, now| machine.swap(now, plan));
        });
    }
    let serve = |sim: &mut Sim, address: &String| {
        let mut profile = Profile::random(sim.rng());
        profile.chop = profile.chop.max(16);
        let seen = shared(Seen::default());
        let kept = seen.clone();
        sim.endpoint(address, profile, move |_| Box::new(Server::<T>::new(kept.clone())));
        seen
    };
    let seen: Vec<_> = parts.addresses.iter().map(|at| serve(&mut sim, at)).collect();
    let copied: Vec<_> = parts.mirrors.iter().map(|at| serve(&mut sim, at)).collect();
    let drained = rng.u32(0..10) == 0;
    if drained {
        sim.after(ms(rng.u64(0..2_500)), |sim| {
            sim.note("the listener drains");
            sim.drive(|machine, now| machine.drain(now));
        });
    }
    let parties: Vec<_> =
        (0..rng.usize(1..6)).map(|c| client::<T>(&mut sim, rng, c, tight || drained)).collect();
    trouble::<T>(&mut sim, rng, &parts);
    let verdict = move |sim: &mut Sim| {
        for party in parties {
            judge::<T>(party);
        }
        sim.finish();
        let (sent, ends) = book.close();
        assert!(ends.values().sum::<u64>() <= sim.ended_all(), "what ended is counted");
        arrived::<T>(&parts, &seen, &sent);
        for seen in seen.iter().chain(&copied) {
            let deepest = seen.borrow().deepest;
            assert!(deepest <= parts.deepest + 1, "{deepest} calls on a link");
        }
        let (session, link) = sim.longest_out();
        assert!(session <= limits.hard_mark + 2 * BIG, "{session} bytes waited for a session");
        assert!(link <= parts.link_buffer + BIG, "{link} bytes waited for a link");
        ends
    };
    Listener { name: T::NAME, sim, verdict: Box::new(verdict) }
}

/// A client that says this and that, and perhaps leaves early or never reads.
fn client<T: Tongue>(sim: &mut Sim, rng: &mut Rng, c: usize, may_lack: bool) -> Party {
    let mut profile = Profile::random(rng);
    profile.chop = profile.chop.max(16);
    let heard = shared(Heard::default());
    let id = sim.client(profile, Client::<T>::new(heard.clone()));
    let mut party = Party { c, asks: Vec::new(), may_lack, garbled: false, half: false, heard };
    let mut at = 0;
    let send = |sim: &mut Sim, at: u64, bytes: Vec<u8>| {
        sim.after(ms(at), move |sim| sim.send(id, &bytes));
    };
    // Some worlds are rough.
    let rough = rng.usize(3..=9);
    for i in 1..rng.u64(2..40) {
        // In bursts, in order.
        at += if rng.u32(0..4) == 0 { rng.u64(0..300) } else { 0 };
        let token = format!("{c}.{i}");
        if rng.u32(0..8) == 0 {
            for extra in T::extra(rng, &token) {
                party.asks.push(Asks { id: i, says: Some(extra.says), sort: extra.sort });
                send(sim, at, extra.bytes);
            }
            continue;
        }
        if rng.u32(0..12) == 0
            && let Some(bytes) = T::oneway(&format!("{token}.oneway"))
        {
            send(sim, at, bytes);
            continue;
        }
        let verb = match rng.u32(0..3) {
            0 => Verb::ALL[rng.usize(0..rough)].0,
            1 => Verb::Big,
            _ => Verb::Echo,
        };
        let says = match verb {
            Verb::Echo | Verb::Slow => Some(token.clone()),
            Verb::Big => Some(format!("{token}{}", "x".repeat(BIG))),
            _ => None,
        };
        party.asks.push(Asks { id: i, says, sort: Sort::Plain });
        send(sim, at, T::call(i, verb, &token));
    }
    match rng.u32(0..12) {
        n @ 0..3 => {
            party.may_lack |= n < 2;
            party.half = n == 2;
            let how = [End::Close, End::Reset, End::Shutdown][n as usize];
            // Who ends with a shutdown has said everything, and waits.
            let when = if how == End::Shutdown { at } else { rng.u64(0..2_000) };
            sim.after(ms(when), move |sim| sim.end(id, how));
        }
        3 => {
            let bytes = T::call(999, Verb::Echo, "torn");
            send(sim, at, bytes[..bytes.len() / 2].to_vec());
            party.half = true;
            sim.after(ms(at), move |sim| sim.end(id, End::Shutdown));
        }
        4 => {
            (party.may_lack, party.garbled) = (true, true);
            send(sim, at, T::garbage().to_vec());
        }
        5 => {
            let away = ms(rng.u64(0..1_000));
            sim.after(away, move |sim| sim.with(id, |_, io| io.read(false)));
            sim.after(away + ms(1_500), move |sim| sim.with(id, |_, io| io.read(true)));
        }
        _ => {}
    }
    party
}

/// What happens to endpoints.
fn trouble<T: Tongue>(sim: &mut Sim, rng: &mut Rng, parts: &Parts) {
    for _ in 0..rng.u32(0..7) {
        let wait = ms(rng.u64(0..3_000));
        let all: Vec<_> = parts.addresses.iter().chain(&parts.mirrors).collect();
        let address = all[rng.usize(..all.len())].clone();
        match rng.u32(0..6) {
            0 => sim.after(wait, move |sim| sim.cut_links(&address)),
            1 => sim.after(wait, move |sim| {
                sim.set_up(&address, false);
                sim.after(ms(700), move |sim| sim.set_up(&address, true));
            }),
            2 => sim.after(wait, move |sim| {
                sim.note("an endpoint stalls");
                sim.stall_links(&address, true);
                sim.after(ms(900), move |sim| sim.stall_links(&address, false));
            }),
            3 => sim.after(wait, move |sim| sim.say_on_links(&address, T::garbage())),
            4 => sim.after(wait, move |sim| sim.end_links(&address, End::Shutdown)),
            _ => sim.after(wait, move |sim| {
                sim.note("an endpoint is deaf");
                sim.set_deaf(&address, true);
                sim.after(ms(900), move |sim| sim.set_deaf(&address, false));
            }),
        }
    }
}

/// What a client must have heard.
fn judge<T: Tongue>(party: Party) {
    let Party { c, asks, may_lack, garbled, half, heard } = party;
    let heard = heard.borrow();
    let held = asks.iter().any(|ask| ask.sort == Sort::Holds);
    let closed = heard.closed.is_some();
    let waits = asks.iter().any(|ask| ask.sort == Sort::Waits);
    let may_lack = may_lack || (closed && (held || (half && waits)));
    // Why a session is closed is said to nobody's request.
    let last_words = |said: &&Said| may_lack && said.id == Some(0) && said.result.is_err();
    let said: Vec<_> = heard.said.iter().filter(|said| !last_words(said)).collect();
    let right = |ask: &Asks, result: &Result<String, String>| match result {
        Err(_) => {}
        Ok(text) => {
            let direct = text == "direct" || text.is_empty();
            // A transaction of which something was refused goes on otherwise than it was meant.
            let ours = |one: &str| one.split_once('.').is_some_and(|(n, _)| n == c.to_string());
            let told = matches!(&**text, "OK" | "QUEUED" | "nil") || text.split(',').all(ours);
            let fine = direct || ask.says.as_deref() == Some(text) || (held && told);
            let text = text.get(..40).unwrap_or(text);
            assert!(fine, "client {c}, request {}: {text}", ask.id);
        }
    };
    let most = asks.len() + usize::from(garbled);
    assert!(said.len() <= most, "client {c} heard more than it asked for: {:?}", said.last());
    if T::ORDERED {
        for (ask, said) in asks.iter().zip(&said) {
            assert!(said.id.is_none_or(|id| id == ask.id), "client {c}: {said:?} for {}", ask.id);
            right(ask, &said.result);
        }
    } else {
        let mut once = BTreeSet::new();
        for said in &said {
            let id = said.id.expect("replies have ids");
            assert!(once.insert(id), "client {c}: two replies to {id}");
            match asks.iter().find(|ask| ask.id == id) {
                Some(ask) => right(ask, &said.result),
                None => assert!(garbled && said.result.is_err(), "client {c} never asked {id}"),
            }
        }
    }
    let (got, all) = (said.len(), asks.len());
    assert!(
        may_lack || got == all,
        "{}: client {c} heard {got} of {all}, closed: {closed}",
        T::NAME
    );
}

/// What arrived was sent, once; and in order, where the protocol wants it.
fn arrived<T: Tongue>(
    parts: &Parts,
    seen: &[Shared<Seen>],
    sent: &BTreeMap<String, (u32, Outcome)>,
) {
    // Such a request may still be on its way on a link that was closed, and others go on.
    let given_up = [Outcome::Timeout, Outcome::Reset, Outcome::Cancelled];
    let mut count = BTreeMap::<String, u32>::new();
    for (address, seen) in parts.addresses.iter().zip(seen) {
        // Two clusters are two ways to an endpoint.
        let one_way = !address.starts_with(SHARED);
        let seen = seen.borrow();
        let mut last = BTreeMap::<&str, u64>::new();
        for token in &seen.tokens {
            *count.entry(token.clone()).or_default() += 1;
            // Nobody can tell when a request without a reply has arrived.
            let Some((c, Ok(i))) = token.split_once('.').map(|(c, i)| (c, i.parse())) else {
                continue;
            };
            if let Some(before) = last.insert(c, i)
                && T::ORDERED
                && one_way
                && !sent.get(token).is_some_and(|(_, end)| given_up.contains(end))
            {
                assert!(before < i, "{}: {c}.{before} came before {token}", T::NAME);
            }
        }
    }
    for (token, n) in count {
        let most = sent.get(&token).map_or(0, |(n, _)| *n);
        let plain = token.matches('.').count() == 1;
        assert!(
            n <= if plain { most.min(1) } else { most },
            "{token} arrived {n} times and was sent {most} times"
        );
    }
}
