//! How much strangers may cost: bounds on connections, time, memory and work, each with its reason.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The bounds that depend on the machine, or that a test shortens. The defaults are what a server runs with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once. Each holds a buffer and a file descriptor; past this the next ones are closed at once.
    /// Fewer are taken where the process may not open as many files.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64), loopback aside, so that no stranger alone takes all.
    pub connections_per_source: usize,
    /// How long a TLS handshake, the first request of a connection, and the headers of every later one may take.
    pub header_time: Duration,
    /// How long a body may take. Longer, and slow clients would hold every slot.
    pub body_time: Duration,
    /// How long a connection may stand with nothing asked and nothing read by the client.
    pub idle_time: Duration,
    /// Over how much waiting for its receiver a transfer must have given as many bytes as a slow line carries.
    pub pace_time: Duration,
    /// How long requests in flight may go on after the signal to stop.
    pub drain_time: Duration,
    /// How long everything that still runs after that may take, the last writing of the log among it. Then it is left
    /// behind: a disk that does not answer must not keep the process.
    pub leave_time: Duration,
    /// How often what time asks for is looked at: summaries of refusals, checkpoints of the log.
    pub tick: Duration,
    /// How often the age of the server's certificate is looked at.
    pub renewal_check: Duration,
    /// Operations that may wait for the store's sync together. Group commit needs many (128 or more) waiting at once.
    pub writers: usize,
    /// Operations that only read.
    pub readers: usize,
    /// Bytes of requests held at once, headers and bodies of all connections together.
    pub request_bytes: usize,
    /// Bytes of answers held at once that wait to be sent, beside those too short to count.
    pub answer_bytes: usize,
    /// Requests a second from one address (IPv6: one /64) that no access key was proved for.
    pub rate_per_address: Option<RateLimit>,
    /// Requests a second of one access key.
    pub rate_per_key: Option<RateLimit>,
    /// Whether a signed exchange, or a call of the token service signed in its header, is answered once only.
    pub refuse_replays: bool,
}

/// A bound on requests a second. As many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The bound.
    pub per_second: NonZeroU32,
    /// Whether what comes from this machine counts too. A proxy here speaks for many, and relying services here ask
    /// for every request of theirs.
    pub on_loopback: bool,
}

impl RateLimit {
    /// A bound for everybody but this machine.
    pub const fn of_others(per_second: u32) -> Option<RateLimit> {
        match NonZeroU32::new(per_second) {
            Some(per_second) => Some(RateLimit {
                per_second,
                on_loopback: false,
            }),
            None => None,
        }
    }

    /// Whether requests from an address count.
    pub(crate) fn counts(&self, address: IpAddr) -> bool {
        self.on_loopback || !address.to_canonical().is_loopback()
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4_096,
            connections_per_source: 1_024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            pace_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(10),
            leave_time: Duration::from_secs(3),
            tick: Duration::from_secs(5),
            renewal_check: Duration::from_secs(60),
            writers: 192,
            readers: 32,
            request_bytes: 128 * 1024 * 1024,
            answer_bytes: 128 * 1024 * 1024,
            rate_per_address: RateLimit::of_others(RATE_PER_ADDRESS),
            rate_per_key: RateLimit::of_others(RATE_PER_KEY),
            refuse_replays: false,
        }
    }
}

/// Requests a second from one address, unless it is said otherwise: a site of ten thousand hosts whose credentials
/// last an hour trades them three times a second, and one core verifies some ten times this many signatures.
const RATE_PER_ADDRESS: u32 = 1_000;
/// Requests a second of one access key, unless it is said otherwise: a program that asks for more asks in a loop.
const RATE_PER_KEY: u32 = 1_000;
/// Bytes a second that the receiver of a transfer takes at least, while frames wait for it. Any line that a backup is
/// carried over is faster; and whoever takes one frame a minute would hold one of two places for ever.
pub(crate) const PACE_BYTES: u64 = 64 * 1024;
/// The longest answer of an operation that is not counted. What an operation says of its effect is shorter: the effect
/// is there, and must not be answered with a refusal.
pub(crate) const ANSWER_FREE: usize = 64 * 1024;
/// The most bytes of a request's headers: a chain of ML-DSA certificates passes 50 KB.
pub(crate) const HEADER_BYTES_MAX: usize = 128 * 1024;
/// The most headers of a request.
pub(crate) const HEADERS_MAX: usize = 128;
/// The most bytes of a body on the data plane and STS: a CreateSession is under 2 KiB, a session policy 2 KiB.
pub(crate) const DATA_BODY_MAX: usize = 64 * 1024;
/// The most bytes of a body on the control plane: policies, bundles, CSRs in bulk.
pub(crate) const CONTROL_BODY_MAX: usize = 1024 * 1024;
