//! This program, to be started once more.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The file that this program is, whatever has become of its name. Only Linux has it.
const ITSELF: &str = "/proc/self/exe";

/// A command that starts this program: also where it was replaced meanwhile by another version, or removed.
pub(crate) fn own_program() -> io::Result<Command> {
    let program = std::env::current_exe()?;
    // Under its own name where it has that, as this is what the system calls it.
    if program.exists() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(ITSELF);
    command.arg0("coord");
    Ok(command)
}
