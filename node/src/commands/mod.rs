//! One file a command; each takes its arguments and says how it ended.
mod audit;
mod contribute;
pub(crate) mod estimate;
mod evaluate;
mod export;
mod generate;
mod init;
mod inspect;
mod join;
mod keys;
mod log;
mod models;
mod node;
mod plan;
mod predict;
mod space;
mod status;
mod tokens;
mod train;
mod verify;
mod watch;

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
        Command::Audit(arguments) => audit::run(&arguments, output),
        Command::Log(arguments) => log::run(&arguments, output),
        Command::Join(arguments) => join::run(&arguments, output),
        Command::Register(arguments) => contribute::register(&arguments, output),
        Command::Contribute(arguments) => contribute::run(&arguments, output),
        Command::Submit(arguments) => contribute::submit(&arguments, output),
        Command::Watch(arguments) => watch::run(&arguments, output),
        Command::Status(arguments) => status::run(&arguments, output),
        Command::Spaces(arguments) => status::spaces(&arguments, output),
        Command::Stake(arguments) => tokens::stake(&arguments, output),
        Command::Unstake(arguments) => tokens::unstake(&arguments, output),
        Command::Transfer(arguments) => tokens::transfer(&arguments, output),
        Command::Balance(arguments) => tokens::balance(&arguments, output),
        Command::Models(arguments) => models::list(&arguments, output),
        Command::Pull(arguments) => models::pull(&arguments, output),
        Command::Keys(arguments) => keys::run(&arguments.action, output),
        Command::Space(arguments) => space::run(&arguments.action, output),
        Command::Completions { shell } => generate::completions(shell, output),
        Command::Man => generate::manual(output),
    }
}
