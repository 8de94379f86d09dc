# Everyday commands: `just`, or read them here.

# List the commands.
default:
    @just --list

# Run the service.
serve *arguments:
    cargo run --release -- serve {{arguments}}

# Format, lints and docs.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked

# The tests that need nothing but Rust.
test-quick:
    tests/quick

# All tests, or those that are named; needs root and many servers.
test *arguments:
    tests/run {{arguments}}

# Write the contract again, after an operation changed.
contract:
    cargo run --quiet -- openapi > openapi.yaml

# Measure, side by side.
bench *arguments:
    cargo run --release --package benches -- {{arguments}}

# Unused dependencies, licences and advisories; needs cargo-machete and cargo-deny.
audit:
    cargo machete
    cargo deny check
