//! Job: a server process: started on a free port, ready when it says so, killed when dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running server.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts `program` with a port of its own choosing and waits for the line in which it tells
    /// where it listens.
    pub(crate) fn start(program: &Path, procs: usize) -> Result<Server, String> {
        let mut child = Command::new(program)
            .arg("127.0.0.1:0")
            .env("GOMAXPROCS", procs.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            // Dropping the pipe is safe: the servers write nothing more.
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let address = line.trim().rsplit_once("http://").map(|(_, address)| address.to_owned());
        let server = Server { child, address: address.unwrap_or_default() };
        if server.address.is_empty() {
            return Err(format!("{} did not say where it listens", program.display()));
        }
        Ok(server)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
