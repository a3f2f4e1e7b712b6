//! What is said while a sign-in goes on: one changing line on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

/// Standard output.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    status: Option<&'static str>,
}

impl Screen {
    /// Looks whether somebody sits in front of it.
    pub fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            status: None,
        }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns of the terminal, where that is known.
    pub fn columns(&self) -> Option<usize> {
        self.terminal.then(columns).flatten()
    }

    /// Text that stays, without or with the end of its last line.
    pub fn say(&mut self, text: &str) {
        let begin = if self.terminal && self.status.take().is_some() {
            "\n"
        } else {
            ""
        };
        write(&format!("{begin}{}\n", text.trim_end_matches('\n')));
    }

    /// The present state; nothing happens while it stays the same.
    pub fn status(&mut self, text: &'static str) {
        if self.status.replace(text) == Some(text) {
            return;
        }
        if self.terminal {
            write(&format!("\r\x1b[K{text}"));
        } else {
            write(&format!("{text}\n"));
        }
    }
}

/// A reader that has gone is no error.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(unix)]
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

#[cfg(not(unix))]
fn columns() -> Option<usize> {
    None
}
