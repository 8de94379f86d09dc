//! The API's promises, over TCP, on every database.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod access;
mod adopting;
mod audit;
mod bad_input;
mod begun;
mod browser;
mod caching;
mod changing;
mod claiming;
mod clients;
mod clock;
mod completing;
mod compressing;
mod conformance;
mod crash;
mod cross_site;
mod crowds;
mod damage;
mod details;
mod downloading;
mod fairness;
mod faults;
mod http2;
mod interim;
mod interrupted;
mod limits;
mod linking;
mod listing;
mod migrating;
mod monitoring;
mod nginx;
mod power;
mod purging;
mod quotas;
mod refusing;
mod replicas;
mod resuming;
mod roles;
mod rolling;
mod searching;
mod service;
mod stateless;
mod stopping;
mod subcommands;
mod tls;
mod tokens;
mod tracing;
mod transferring;
mod unfinished;
mod uploading;
mod visits;
