//! What the service promises to those who talk to it, over TCP, on every database.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod bad_input;
mod browser;
mod changing;
mod claiming;
mod clients;
mod conformance;
mod crash;
mod downloading;
mod faults;
mod listing;
mod resuming;
mod service;
mod subcommands;
mod uploading;
