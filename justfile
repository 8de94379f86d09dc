# Everyday commands: `just`, or read them here.

# List the commands.
default:
    @just --list

# Run the service.
serve *arguments:
    cargo run --release -- serve {{arguments}}

# Check format, lints, docs and, if cargo-deny is installed, licences.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked
    if command -v cargo-deny >/dev/null; then cargo deny --locked check licenses bans sources; fi

# Run the tests that need Rust alone: no root, no network.
test-quick *arguments:
    tests/quick {{arguments}}

# Run all tests, or the named ones, against real servers.
test *arguments:
    tests/run {{arguments}}

# Kill the service so many times under traffic, on each database and store.
crash kills="100" *arguments:
    CRASH_KILLS={{kills}} tests/run --test crash -- --nocapture {{arguments}}

# Search for inputs that break a parser, and keep what reaches new code; needs cargo-fuzz. `ls fuzz/targets` names the parsers.
fuzz target seconds="600":
    fuzz/search {{target}} {{seconds}}

# Change a crate's code in every way that a test should notice; needs cargo-mutants.
mutants crate="domain" *arguments:
    cargo mutants --package fileserver-{{crate}} --test-workspace=false {{arguments}}

# Write openapi.yaml, after an operation changed.
contract:
    cargo run --quiet --locked -- openapi >openapi.new
    mv openapi.new openapi.yaml

# Measure the release build.
bench *arguments:
    cargo run --release --package benches -- {{arguments}}

# Look for unused dependencies, licences and advisories; needs cargo-machete, cargo-deny and a network.
audit:
    cargo machete
    cargo deny --locked check
