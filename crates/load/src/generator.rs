//! Sends requests over many connections, and judges and times every reply.
//!
//! Closed loop: each connection has `depth` requests in flight; a reply makes room for the next.
//! Open loop: requests have times at which they are due, whatever happened to those before, and
//! latency counts from there. It knows no protocol.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream, unix::SourceFd};
use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::{
    Fault, Latency, Traffic,
    socket::{SCRATCH, Socket},
};

/// How long replies may still come after the last request, unless the caller says otherwise.
const DRAIN: Duration = Duration::from_secs(15);
const TIMER: Token = Token(usize::MAX);

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "options of a call")]
pub enum Pace {
    /// As soon as there is room.
    Closed,
    /// So many in a second, evenly.
    Open(f64),
}

/// What the caller is told while a run goes on, to read other clocks at the same moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two")]
pub enum Phase {
    /// The warm-up is over.
    Measuring,
    /// So is the measurement.
    Measured,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Right replies between warm-up and end.
    pub requests: u64,
    /// The time between warm-up and end.
    pub elapsed: Duration,
    /// Of those requests.
    pub latency: Latency,
    /// Everything that was wrong, during the warm-up too.
    pub faults: BTreeMap<Fault, u64>,
}

impl Report {
    /// How many replies were wrong or missing.
    pub fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    fn fault(&mut self, fault: Fault, count: u64) {
        if count > 0 {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

/// A request without its reply.
struct Pending {
    id: u64,
    serial: u64,
    at: Instant,
}

struct Connection {
    /// `None`: it is lost.
    socket: Option<Socket>,
    /// Places in `pending` without a request.
    free: Vec<usize>,
    pending: Vec<Option<Pending>>,
    /// Places in the order of their requests, where replies have no ids.
    order: VecDeque<usize>,
    round: u64,
}

/// Connections that are open, and what is sent over them.
pub struct Generator {
    poll: Poll,
    timer: OwnedFd,
    traffic: Box<dyn Traffic + Send>,
    connections: Vec<Connection>,
    alive: usize,
    serial: u64,
    drain: Duration,
    scratch: Vec<u8>,
}

impl Generator {
    /// Opens connections that may each have `depth` (at most 65536) requests in flight.
    pub fn connect(
        to: SocketAddr,
        traffic: Box<dyn Traffic + Send>,
        connections: usize,
        depth: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let mut all = Vec::with_capacity(connections);
        for at in 0..connections {
            let stream = std::net::TcpStream::connect(to)?;
            stream.set_nonblocking(true)?;
            let mut socket = Socket::new(TcpStream::from_std(stream))?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut socket.stream, Token(at), both)?;
            all.push(Connection {
                socket: Some(socket),
                free: (0..depth).rev().collect(),
                pending: (0..depth).map(|_| None).collect(),
                order: VecDeque::new(),
                round: 0,
            });
        }
        Ok(Self {
            poll,
            timer,
            traffic,
            alive: connections,
            connections: all,
            serial: 0,
            drain: DRAIN,
            scratch: vec![0; SCRATCH],
        })
    }

    /// Calls what has not come so long after the last request lost; 15 seconds otherwise.
    #[must_use]
    pub fn patient_for(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// How many connections are still open.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// One request on every connection, of which `window` at a time, and all replies; for at most
    /// `limit`.
    pub fn once(&mut self, window: usize, limit: Duration) -> io::Result<Report> {
        let mut report = Report::default();
        let start = Instant::now();
        let end = start + limit;
        let mut events = Events::with_capacity(1024);
        let (mut next, mut waiting) = (0, 0);
        while next < self.connections.len() || waiting > 0 {
            while waiting < window.max(1) && next < self.connections.len() {
                if self.issue(next, Instant::now()) {
                    self.flush(next, &mut report);
                    waiting += 1;
                }
                next += 1;
            }
            if Instant::now() >= end {
                break;
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                self.serve(event.token().0, event, true, &mut report);
                self.flush(event.token().0, &mut report);
            }
            waiting = self.connections.iter().take(next).filter(|c| c.waits()).count();
        }
        self.drain(Duration::ZERO, &mut report)?;
        report.elapsed = start.elapsed();
        Ok(report)
    }

    /// Sends for `warm_up` and then for `measure`, and tells the caller when each is over.
    pub fn run(
        &mut self,
        pace: Pace,
        warm_up: Duration,
        measure: Duration,
        on: &mut dyn FnMut(Phase),
    ) -> io::Result<Report> {
        let mut report = Report::default();
        let begin = Instant::now();
        let mut start = None;
        let mut schedule = match pace {
            Pace::Closed => {
                for at in 0..self.connections.len() {
                    while self.issue(at, Instant::now()) {}
                    self.flush(at, &mut report);
                }
                None
            }
            Pace::Open(rate) => Some(Schedule {
                begin,
                every: Duration::from_secs_f64(1.0 / rate),
                next: 0,
                turn: 0,
            }),
        };
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            match start {
                None if now >= begin + warm_up => {
                    on(Phase::Measuring);
                    start = Some(Instant::now());
                }
                Some(start) if now >= start + measure => {
                    report.elapsed = start.elapsed();
                    on(Phase::Measured);
                    break;
                }
                _ => {}
            }
            if self.alive == 0 {
                return Err(io::Error::other("every connection was lost"));
            }
            let mut wait = Duration::from_millis(20);
            if let Some(schedule) = &mut schedule {
                wait = wait.min(self.due(schedule, now, &mut report));
                self.alarm(wait)?;
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                if event.token() != TIMER {
                    let at = event.token().0;
                    let done = self.serve(at, event, start.is_some(), &mut report);
                    if schedule.is_none()
                        && let Some((done, now)) = done
                    {
                        for _ in 0..done {
                            self.issue(at, now);
                        }
                    }
                    self.flush(at, &mut report);
                }
            }
        }
        self.drain(self.drain, &mut report)?;
        Ok(report)
    }

    /// Sends what is due, and returns how long nothing else will be.
    fn due(&mut self, schedule: &mut Schedule, now: Instant, report: &mut Report) -> Duration {
        let mut refused = 0;
        loop {
            let at = schedule.begin + schedule.every.mul_f64(schedule.next as f64);
            if at > now {
                return at - now;
            }
            let turn = schedule.turn % self.connections.len();
            schedule.turn += 1;
            if self.issue(turn, at) {
                self.flush(turn, report);
                schedule.next += 1;
                refused = 0;
            } else {
                refused += 1;
                if refused == self.connections.len() {
                    // All are busy. The times go on, and the wait will be part of the latency.
                    return Duration::from_millis(1);
                }
            }
        }
    }

    fn alarm(&self, wait: Duration) -> io::Result<()> {
        let value = Timespec {
            tv_sec: wait.as_secs().try_into().unwrap_or_default(),
            tv_nsec: wait.subsec_nanos().max(1).into(),
        };
        let spec = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Waits for the replies that are owed; what does not come is lost.
    fn drain(&mut self, limit: Duration, report: &mut Report) -> io::Result<()> {
        let end = Instant::now() + limit;
        let mut events = Events::with_capacity(1024);
        while self.connections.iter().any(Connection::waits) && Instant::now() < end {
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                if event.token() != TIMER {
                    self.serve(event.token().0, event, false, report);
                    self.flush(event.token().0, report);
                }
            }
        }
        for at in 0..self.connections.len() {
            if self.connections[at].waits() {
                self.lose(at, Fault::Lost, report);
            }
        }
        Ok(())
    }

    /// Writes one request to a connection's output; `false` if it has no room.
    fn issue(&mut self, at: usize, due: Instant) -> bool {
        let connection = &mut self.connections[at];
        let Some(socket) = &mut connection.socket else {
            return false;
        };
        let Some(place) = connection.free.pop() else {
            return false;
        };
        // Of the ids of one place none comes again soon, and all are positive in 32 bits.
        connection.round = (connection.round + 1) & 0x7fff;
        let id = connection.round << 16 | place as u64;
        self.traffic.request(id, self.serial, &mut socket.out);
        connection.pending[place] = Some(Pending { id, serial: self.serial, at: due });
        connection.order.push_back(place);
        self.serial += 1;
        true
    }

    /// Reads and judges what came; returns how many places are free again, and when.
    fn serve(
        &mut self,
        at: usize,
        event: &mio::event::Event,
        counted: bool,
        report: &mut Report,
    ) -> Option<(usize, Instant)> {
        let Connection { socket, free, pending, order, .. } = self.connections.get_mut(at)?;
        let socket = socket.as_mut()?;
        if !event.is_readable() && !event.is_read_closed() {
            return None;
        }
        let mut now = None;
        let mut done = 0;
        let traffic = &self.traffic;
        let read = socket.read(&mut self.scratch, |input, _| {
            let now = *now.get_or_insert_with(Instant::now);
            let mut taken = 0;
            while let Some(cut) = traffic.cut(&input[taken..])? {
                let frame = &input[taken..taken + cut.length];
                taken += cut.length;
                let place = match cut.id {
                    Some(id) => (id & 0xffff) as usize,
                    None => order.pop_front().ok_or(Fault::Id)?,
                };
                let Some(asked) = pending.get_mut(place).and_then(Option::take) else {
                    report.fault(Fault::Id, 1);
                    continue;
                };
                free.push(place);
                done += 1;
                match traffic.check(frame, asked.id, asked.serial) {
                    Err(fault) => report.fault(fault, 1),
                    Ok(()) if counted => {
                        report.requests += 1;
                        report.latency.record(now.saturating_duration_since(asked.at));
                    }
                    Ok(()) => {}
                }
            }
            Ok(taken)
        });
        if free.len() == pending.len() {
            order.clear();
        } else if order.len() > 4 * pending.len() {
            // Replies with ids do not take their places away.
            order.retain(|place| pending[*place].is_some());
        }
        match read {
            Ok(true) => now.map(|now| (done, now)),
            Ok(false) | Err(None) => {
                self.lose(at, Fault::Lost, report);
                None
            }
            Err(Some(fault)) => {
                report.fault(fault, 1);
                self.lose(at, Fault::Lost, report);
                None
            }
        }
    }

    fn flush(&mut self, at: usize, report: &mut Report) {
        let socket = self.connections.get_mut(at).and_then(|c| c.socket.as_mut());
        if socket.is_some_and(|socket| socket.flush().is_err()) {
            self.lose(at, Fault::Lost, report);
        }
    }

    /// Closes a connection; everything that it waited for is at fault.
    fn lose(&mut self, at: usize, fault: Fault, report: &mut Report) {
        let connection = &mut self.connections[at];
        if connection.socket.take().is_some() {
            self.alive -= 1;
        }
        let lost = connection.pending.iter_mut().filter_map(Option::take).count();
        report.fault(fault, (lost as u64).max(1));
    }
}

impl Connection {
    fn waits(&self) -> bool {
        self.socket.is_some() && self.free.len() < self.pending.len()
    }
}

/// The times of an open loop.
struct Schedule {
    begin: Instant,
    every: Duration,
    next: u64,
    /// Which connection is asked first.
    turn: usize,
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;
    use crate::{Answer, Cut, Echo, Thrift, listen, serve};

    /// What is done to the output from a reply's first byte on.
    type Spoil = fn(&mut Vec<u8>, usize);

    /// Echoes, and spoils one reply of so many in one way.
    struct Liar {
        thrift: Thrift,
        seen: std::cell::Cell<u64>,
        spoil: Spoil,
    }

    impl Answer for Liar {
        fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
            let from = out.len();
            let taken = self.thrift.answer(input, out)?;
            if taken.is_some() {
                self.seen.set(self.seen.get() + 1);
                if self.seen.get() == 5 {
                    (self.spoil)(out, from);
                }
            }
            Ok(taken)
        }
    }

    /// The faults of a short run against a server that spoils one reply.
    fn faults(pace: Pace, spoil: Spoil) -> (Report, usize) {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let to = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let liar = Liar { thrift: Thrift::new(64), seen: 0.into(), spoil };
            let _ = serve(listener, &liar, Echo::default());
        });
        let generator = Generator::connect(to, Box::new(Thrift::new(64)), 3, 4);
        let mut generator = generator.expect("connections").patient_for(Duration::from_secs(1));
        let mut phases = Vec::new();
        let (warm_up, measure) = (Duration::from_millis(20), Duration::from_millis(150));
        let report =
            generator.run(pace, warm_up, measure, &mut |phase| phases.push(phase)).expect("a run");
        assert_eq!(phases, [Phase::Measuring, Phase::Measured]);
        (report, generator.alive())
    }

    #[test]
    fn an_honest_server_has_no_faults() {
        for pace in [Pace::Closed, Pace::Open(2000.0)] {
            let (report, alive) = faults(pace, |_, _| {});
            assert_eq!(report.faults, BTreeMap::new());
            assert_eq!(alive, 3);
            assert!(report.requests > 0, "{pace:?}");
            assert_eq!(report.latency.total(), report.requests);
        }
    }

    #[test]
    fn every_kind_of_lie_is_noticed() {
        // A byte of the text; the id's place; the id's round; the type.
        let lies: [(Fault, Spoil); 4] = [
            (Fault::Content, |out, from| out[from + 60] ^= 1),
            (Fault::Id, |out, from| out[from + 18] ^= 0x40),
            (Fault::Id, |out, from| out[from + 17] ^= 0x20),
            (Fault::Refused, |out, from| out[from + 7] = 3),
        ];
        for (fault, spoil) in lies {
            let (report, _) = faults(Pace::Closed, spoil);
            assert!(report.faults.contains_key(&fault), "{fault:?}: {:?}", report.faults);
        }
    }

    #[test]
    fn what_never_comes_is_lost() {
        let (report, alive) = faults(Pace::Closed, |out, from| {
            out.truncate(from);
            out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n");
        });
        assert_eq!(report.faults.get(&Fault::Garbage), Some(&1));
        assert!(report.faults.contains_key(&Fault::Lost), "{:?}", report.faults);
        assert_eq!(alive, 2);
    }

    #[test]
    fn an_open_loop_counts_from_when_a_request_was_due() {
        /// A protocol of one byte.
        struct Byte;
        impl Traffic for Byte {
            fn request(&self, _: u64, _: u64, out: &mut Vec<u8>) {
                out.push(1);
            }
            fn cut(&self, input: &[u8]) -> Result<Option<Cut>, Fault> {
                Ok((!input.is_empty()).then_some(Cut::new(1, None)))
            }
            fn check(&self, _: &[u8], _: u64, _: u64) -> Result<(), Fault> {
                Ok(())
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("an address");
        // It says nothing for 200 ms, and answers everything at once from then on.
        thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().expect("a client");
            thread::sleep(Duration::from_millis(200));
            let mut bytes = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                let _ = stream.write_all(&bytes[..n]);
            }
        });
        let mut generator = Generator::connect(to, Box::new(Byte), 1, 1).expect("a connection");
        let run = generator.run(
            Pace::Open(100.0),
            Duration::ZERO,
            Duration::from_millis(400),
            &mut |_| {},
        );
        let report = run.expect("a run");
        // One was in flight, but twenty were due while the server slept, and most waited long.
        let late = report.latency.quantile(0.8);
        assert!(late >= Duration::from_millis(50), "{late:?}");
        assert!(report.requests > 1, "{}", report.requests);
    }
}
