//! The `weightproof` command: trains on local data, proves what it did and verifies such proofs.
//!
//! `cli` names the commands, `commands` holds one file for each, `engine` is the only door to trainer, prover and
//! verifier, and `exit` lists the exit codes. The command knows no field elements.
#![forbid(unsafe_code)]

mod bars;
mod cache;
mod cli;
mod commands;
mod engine;
mod exit;
mod failure;
mod keys;
mod locations;
mod output;
mod run_state;

use clap::Parser;

fn main() -> std::process::ExitCode {
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
