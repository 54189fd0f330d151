//! One file a command; each takes its arguments and says how it ended.
mod estimate;
mod evaluate;
mod export;
mod generate;
mod init;
mod inspect;
mod node;
mod plan;
mod predict;
mod train;
mod verify;

use crate::cli::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Runs a command.
///
/// # Errors
/// Whatever stopped it; see [`Failure`].
pub fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Init(arguments) => init::run(&arguments, output),
        Command::Train(arguments) => train::run(&arguments, output),
        Command::Verify(arguments) => verify::run(&arguments, output),
        Command::Inspect(arguments) => inspect::run(&arguments, output),
        Command::Estimate(arguments) => estimate::run(&arguments, output),
        Command::Export(arguments) => export::run(&arguments, output),
        Command::Predict(arguments) => predict::run(&arguments, output),
        Command::Evaluate(arguments) => evaluate::run(&arguments, output),
        Command::Node(arguments) => node::run(&arguments, output),
        Command::Config(arguments) => node::config(&arguments, output),
        Command::Doctor(arguments) => node::doctor(&arguments, output),
        Command::Backup(arguments) => node::backup(&arguments, output),
        Command::Revert(arguments) => node::revert(&arguments, output),
        Command::Completions { shell } => generate::completions(shell, output),
        Command::Man => generate::manual(output),
    }
}
