//! Trading certificates for credentials over HTTP: connections that stay, certificates that are known,
//! every exchange in the event log on the disk before it is answered.

use crate::Arguments;
use crate::clock;
use crate::primitive::P256;
use crate::report::Report;
use crate::sample::{Sample, Samples, repeat, timed};
use crate::scene::now;
use bowline_service::{
    PrivateKey, SessionAsk, WireRequest, certificates_from_pem, session_request,
};
use bowline_tests::{Home, Server};
use nix::time::ClockId;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;

/// Exchanges each connection makes in a round.
const EACH: usize = 60;

const ROUNDS: u32 = 5;

/// The share of the server's CPU time that must be one signature verification's.
const BAR: f64 = 0.5;

/// How often memory is looked at.
const RESIDENT_PARTS: usize = 10;

/// What may be resident at the end, beside what was after a tenth: the store's index is held in memory up to its bound,
/// and fills it meanwhile.
const GROWTH: f64 = 1.5;

/// The role in the certificates.
const ROLE: &str = "s3-reader";

/// The region that `init` takes if it is told none.
const REGION: &str = "us-east-1";

pub fn run(arguments: &Arguments, report: &mut Report) {
    let scene = Scene::new();
    let p256 = P256::new();

    let work = "exchange, 64 connections, leaf alone";
    let load = scene.load(EACH * arguments.times as usize);
    let (verify, ours) = load.rounds(&p256);
    let ratio = report.compare(work, &verify, &ours);
    report.at_least(work, ratio, BAR);

    let load = Load {
        with_chain: true,
        ..load
    };
    let (verify, ours) = load.rounds(&p256);
    report.compare("exchange, 64 connections, with its chain", &verify, &ours);
    scene.end();
}

/// What the server holds in memory after a tenth of the exchanges, and after all of them.
pub fn memory(arguments: &Arguments, report: &mut Report) {
    let scene = Scene::new();
    let load = scene.load(EACH);
    let round = CONNECTIONS * EACH;
    let rounds = arguments.exchanges.div_ceil(round).max(RESIDENT_PARTS);
    let mut resident = Vec::new();
    for done in 1..=rounds {
        load.round(EACH);
        if done % (rounds / RESIDENT_PARTS) == 0 {
            let Some(kib) = resident_kib(scene.server.id()) else {
                report.missing("resident memory", "this system has no /proc");
                return scene.end();
            };
            println!("{:>9} exchanges: {} MiB resident", done * round, kib >> 10);
            resident.push(kib as f64);
        }
    }
    if let [first, .., last] = resident[..] {
        let what = format!("resident memory, {} exchanges to a tenth", rounds * round);
        report.at_most(&what, last / first, GROWTH);
    }
    scene.end();
}

/// The memory of a process that is not swapped out, where the system tells.
fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A home whose server trades, and what its clients ask for.
struct Scene {
    leaves: Vec<Leaf>,
    ask: SessionAsk,
    server: Server,
    /// Gone from the disk when dropped, so after the server.
    _home: Home,
}

impl Scene {
    fn new() -> Scene {
        let home = Home::initialized();
        let permissions = ["--allow", "s3:GetObject", "--on", "arn:aws:s3:::data/*"];
        home.succeed(["role", "create", ROLE].into_iter().chain(permissions));
        let leaves: Vec<Leaf> = (0..CONNECTIONS)
            .map(|connection| Leaf::issue(&home, &format!("host-{connection}")))
            .collect();
        let ask = SessionAsk {
            role_arn: home.arn("role", ROLE),
            profile_arn: home.arn("profile", "default"),
            trust_anchor_arn: home.arn("anchor", "default"),
            duration_seconds: None,
            role_session_name: None,
        };
        let server = Server::start(&home);
        Scene {
            leaves,
            ask,
            server,
            _home: home,
        }
    }

    fn load(&self, each: usize) -> Load<'_> {
        Load {
            leaves: &self.leaves,
            ask: &self.ask,
            address: self.server.http().trim_start_matches("http://"),
            server: clock::of_child(self.server.id()),
            with_chain: false,
            each,
        }
    }

    fn end(self) {
        let ended = self.server.stop();
        assert!(ended.success(), "the server ended with {ended}");
    }
}

/// A workload's certificate, the ones above it, and its key.
struct Leaf {
    certificates: Vec<Vec<u8>>,
    key: PrivateKey,
}

impl Leaf {
    fn issue(home: &Home, name: &str) -> Leaf {
        home.succeed(["issue", name, "--role", ROLE]);
        let read = |end: &str| {
            let file = home.file(&format!("{name}.{end}"));
            std::fs::read(file).expect("the program wrote it")
        };
        let certificates = certificates_from_pem(&read("crt"));
        let key = PrivateKey::from_pem(&read("key"), None);
        Leaf {
            certificates: certificates.expect("the program writes PEM"),
            key: key.expect("the program writes PEM"),
        }
    }
}

/// The clients. They sign before a round, and are another process than the server, whose CPU time counts.
struct Load<'a> {
    leaves: &'a [Leaf],
    ask: &'a SessionAsk,
    address: &'a str,
    server: ClockId,
    with_chain: bool,
    each: usize,
}

impl Load<'_> {
    fn rounds(&self, p256: &P256) -> (Samples, Samples) {
        let (mut verify, mut ours) = (Samples::default(), Samples::default());
        // Not counted: it makes the certificates known.
        self.round(2);
        for _ in 0..ROUNDS {
            let budget = Duration::from_millis(150);
            verify.extend(repeat(1, budget, || p256.verify()));
            ours.push(self.round(self.each));
        }
        (verify, ours)
    }

    fn round(&self, each: usize) -> Sample {
        let mut connections: Vec<Connection> = self
            .leaves
            .iter()
            .map(|leaf| Connection {
                stream: connect(self.address),
                requests: (0..each).map(|_| self.signed(leaf)).collect(),
                buffer: Vec::new(),
            })
            .collect();
        let (cpu, begun) = (clock::read(self.server), Instant::now());
        let waits: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = connections
                .iter_mut()
                .map(|connection| scope.spawn(|| connection.run()))
                .collect();
            let threads = threads.into_iter();
            threads
                .flat_map(|thread| thread.join().expect("a client does not panic"))
                .collect()
        });
        Sample {
            cpu: clock::read(self.server) - cpu,
            elapsed: begun.elapsed(),
            operations: waits.len() as u64,
            waits,
        }
    }

    /// A request as it goes over the wire.
    fn signed(&self, leaf: &Leaf) -> Vec<u8> {
        let sent = if self.with_chain {
            &leaf.certificates[..]
        } else {
            &leaf.certificates[..1]
        };
        let request = session_request(self.ask, self.address, sent, &leaf.key, REGION, now());
        on_the_wire(&request.expect("the leaf's key signs"))
    }
}

fn on_the_wire(request: &WireRequest) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    [head.as_bytes(), &request.body].concat()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// One client: a connection that stays, and what it will send.
struct Connection {
    stream: TcpStream,
    requests: Vec<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends everything, one after the other, and notes the waits.
    fn run(&mut self) -> Vec<Duration> {
        let mut waits = Vec::with_capacity(self.requests.len());
        for request in std::mem::take(&mut self.requests) {
            let status = timed(&mut waits, || self.exchange(&request));
            let answer = String::from_utf8_lossy(&self.buffer);
            assert_eq!(status, "HTTP/1.1 201", "{answer}");
        }
        waits
    }

    /// The first words of the answer, once all of it is there.
    fn exchange(&mut self, request: &[u8]) -> String {
        self.stream.write_all(request).expect("the server reads");
        self.buffer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            let read = self.stream.read(&mut chunk).expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            self.buffer.extend_from_slice(&chunk[..read]);
            if let Some(length) = whole(&self.buffer)
                && self.buffer.len() >= length
            {
                return String::from_utf8_lossy(&self.buffer[..12]).into_owned();
            }
        }
    }
}

/// How long the answer will be, once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let (_, after) = head.split_once("content-length:")?;
    let length: usize = after.lines().next()?.trim().parse().ok()?;
    Some(end + length)
}
