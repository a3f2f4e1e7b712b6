//! `dav123 passwd`: a password becomes a line for `[[user]]`.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::Context;
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use secrecy::{ExposeSecret, SecretString};

use super::{Failure, say};

/// Reads a password, twice from a terminal, else one line of standard input; prints its hash.
pub fn run() -> Result<ExitCode, Failure> {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() {
        ask()?
    } else {
        first_line(stdin.lock())?
    };
    if password.expose_secret().is_empty() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "The password is empty; expected at least one character."
        )));
    }
    say(&line(&password)?);
    Ok(ExitCode::SUCCESS)
}

fn ask() -> anyhow::Result<SecretString> {
    let prompt = |text: &str| {
        rpassword::prompt_password(text)
            .map(SecretString::from)
            .context("The terminal cannot be read")
    };
    let (first, again) = (prompt("Password: ")?, prompt("Once more: ")?);
    anyhow::ensure!(
        first.expose_secret() == again.expose_secret(),
        "The two passwords are not the same; nothing is printed, run the command again."
    );
    Ok(first)
}

/// One line without its end; empty where there is none.
pub fn first_line(mut input: impl BufRead) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    input
        .read_line(&mut line)
        .context("Standard input cannot be read as text")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).into())
}

/// `password_hash = "$argon2id$…"`, with argon2's recommended cost and a random salt.
fn line(password: &SecretString) -> anyhow::Result<String> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    // The error of the crate is plain text; it knows nothing of the password.
    let hash = hash.map_err(|error| anyhow::anyhow!("The password cannot be hashed: {error}"))?;
    Ok(format!("password_hash = \"{hash}\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::config;
    use argon2::password_hash::PasswordVerifier;
    use argon2::password_hash::phc::PasswordHash;

    #[test]
    fn the_printed_line_is_a_user_s_password_in_the_configuration() {
        let password = first_line(" pass wörd \r\nsecond line\n".as_bytes()).unwrap();
        assert_eq!(password.expose_secret(), " pass wörd ");
        let text = format!(
            "[server]\nstate_dir=\"s\"\n[[user]]\nname = \"me\"\n{}\n",
            line(&password).unwrap()
        );
        let config = config::parse(&text, std::path::Path::new("dav.toml")).unwrap();
        let config::Password::Hash(hash) = &config.users[0].password else {
            panic!("a hash")
        };
        let hash = PasswordHash::new(hash.expose_secret()).expect("a PHC string");
        assert!(
            Argon2::default()
                .verify_password(" pass wörd ".as_bytes(), &hash)
                .is_ok()
        );
        assert!(Argon2::default().verify_password(b"pass", &hash).is_err());
    }
}
