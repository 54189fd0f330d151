//! `completions` and `man`: generated from the command line's own definition.
use crate::cli::Arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use clap::CommandFactory;
use std::path::Path;

/// A completion script.
pub fn completions(shell: clap_complete::Shell, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "weightproof", &mut script);
    output.result(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

/// The manual page, a section a command.
pub fn manual(output: &Output) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let mut command = Arguments::command();
    command.build();
    let render = |command: &clap::Command, page: &mut Vec<u8>| {
        clap_mangen::Man::new(command.clone())
            .render(page)
            .map_err(Failure::write(Path::new("standard output")))
    };
    render(&command, &mut page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        render(subcommand, &mut page)?;
    }
    output.result(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Success)
}
