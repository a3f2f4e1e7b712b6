//! A command that runs while a test watches what it prints and types into it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{binary, eventually};

/// A running command; killed when dropped.
pub struct Session {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    /// Runs the binary with pipes.
    pub fn piped(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments);
        Self::spawn(command)
    }

    /// Runs the binary in a terminal of its own, by `script`. Standard output and error are one there.
    pub fn terminal(arguments: &[&str]) -> Self {
        let mut line = format!("stty cols 80 rows 24; exec '{}'", binary().display());
        for argument in arguments {
            line += &format!(" '{argument}'");
        }
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .env_remove("DAV123_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for mut from in [out, err] {
            let into = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    into.lock().unwrap().extend_from_slice(&buffer[..read]);
                }
            });
        }
        Self { child, said }
    }

    /// Everything printed so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// Waits until it has printed `text` so many times.
    pub async fn says(&self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.said().matches(text).count() < times {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "never {text:?}: {}",
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for its end; exit code, and all that was printed.
    pub async fn end(mut self) -> (i32, String) {
        let mut code = None;
        eventually("the command ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        })
        .await;
        // The readers may be behind.
        let mut before = usize::MAX;
        eventually("all is read", || {
            let length = self.said.lock().unwrap().len();
            std::mem::replace(&mut before, length) == length
        })
        .await;
        (code.unwrap().code().unwrap_or(-1), self.said())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
