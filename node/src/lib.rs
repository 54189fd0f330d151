//! The `weightproof` command: trains on local data, proves what it did, verifies such proofs, and runs the node that
//! applies and rewards them.
//!
//! `cli` names the commands, `commands` holds one file for each, `engine` is the only door to trainer, prover and
//! verifier, and `exit` lists the exit codes. The node is `transport` (connections), `rpc` (services), `core` (the one
//! writer) and `store` around the rules in `weightproof_ledger`. Neither knows field elements.
#![forbid(unsafe_code)]

pub mod audit;
mod bars;
mod cache;
mod cli;
mod client;
mod commands;
pub mod config;
pub mod core;
mod device;
mod engine;
mod exit;
mod failure;
pub mod judge;
mod keys;
mod locations;
pub mod observe;
mod output;
pub mod rpc;
mod run_state;
pub mod spaces;
pub mod store;
pub mod transport;
mod validation;

use clap::Parser;

/// Runs the command line that this process was given.
pub fn run() -> std::process::ExitCode {
    let arguments = cli::Arguments::parse();
    let output = output::Output::new(arguments.command.json());
    let exit = match commands::run(arguments.command, &output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    };
    exit.into()
}
