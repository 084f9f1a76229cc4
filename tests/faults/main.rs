//! The program under faults: killed at every step, cut off from power, refused by the system, with flipped
//! bits, a jumping clock, a slow disk. Whatever it acknowledged must be there afterwards, nothing half-done,
//! nothing revoked good again, and every start must work or say in a sentence what to do.
//!
//! The real binary runs; `interpose.c` stands between it and the kernel. A normal run is a sample. The sizes
//! of the whole thing, each of them a variable of the environment:
//!
//! ```sh
//! KILL_ROUNDS=2000 KILL_POINTS=100000 KILL_CHECKPOINT_POINTS=200 POWER_STATES=10000 ERRNO_POINTS=100000 \
//!     BIT_FLIPS=1000 BIT_FLIPS_LARGE=80 cargo test -p bowline-tests --test faults -- --nocapture
//! ```
//!
//! `BOWLINE_UNDER_TEST` names another binary than the one of this tree.

#![cfg(target_os = "linux")]

mod bits;
mod clock;
mod dice;
mod errno;
mod events;
mod interposer;
mod kill;
mod large;
mod load;
mod model;
mod operations;
mod power;
mod report;
mod sweep;
mod trace;
