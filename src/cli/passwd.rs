//! `dav123 passwd`: a password becomes a line for `[[user]]`.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::Context;
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use secrecy::{ExposeSecret, SecretString};

use super::{Failure, say};
use crate::config::{Algorithm, REALM};

/// Reads a password, twice from a terminal, else from the first line of standard input, and a name, which may be
/// left out; prints the password's hashes.
pub fn run() -> Result<ExitCode, Failure> {
    let stdin = std::io::stdin();
    let (password, name) = if stdin.is_terminal() {
        ask()?
    } else {
        let mut input = stdin.lock();
        let password = next_line(&mut input)?;
        // Bytes that are no text after the password are no reason to fail: they have never been read.
        let name = next_line(&mut input).unwrap_or_default();
        (password, name.expose_secret().to_owned())
    };
    if password.expose_secret().is_empty() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "The password is empty; expected at least one character."
        )));
    }
    say(&line(&password)?);
    if !name.is_empty() {
        say(&lines_for_digest(&name, &password)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn ask() -> anyhow::Result<(SecretString, String)> {
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
    // Standard output may go into a file.
    eprint!("User name, for lines that allow Digest too (Enter: none): ");
    let name = next_line(&mut std::io::stdin().lock())?;
    Ok((first, name.expose_secret().to_owned()))
}

/// One line without its end; empty where there is none.
pub fn first_line(mut input: impl BufRead) -> anyhow::Result<SecretString> {
    next_line(&mut input)
}

fn next_line(input: &mut impl BufRead) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    input
        .read_line(&mut line)
        .context("Standard input cannot be read as text")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).into())
}

/// The other forms of the line, switched off: the key may stand there once.
fn lines_for_digest(name: &str, password: &SecretString) -> anyhow::Result<String> {
    anyhow::ensure!(
        !name.contains(|c: char| c == ':' || c.is_control()),
        "A user name cannot hold \":\" or control characters; there are no lines for Digest."
    );
    let [md5, sha256] = Algorithm::ALL.map(|algorithm| {
        let ha1 = algorithm.ha1(name, REALM, password);
        format!(
            "#password_hash = \"{}{}\"",
            algorithm.prefix(),
            ha1.expose_secret()
        )
    });
    Ok(format!(
        "# Or one of these, for the name {name:?} alone: they allow Digest, by which Explorer signs in over plain http.\n\
         # Keep them to yourself: they are as good as the password here, and easier to guess it from.\n{md5}\n{sha256}"
    ))
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
    fn the_lines_for_digest_are_switched_off_and_right() {
        let text = lines_for_digest("me", &"secret".into()).unwrap();
        assert!(text.lines().all(|line| line.starts_with('#')));
        for (at, algorithm) in [(2, Algorithm::Md5), (3, Algorithm::Sha256)] {
            let line = &text.lines().nth(at).unwrap()[1..];
            let file = format!("[server]\nstate_dir=\"s\"\n[[user]]\nname = \"me\"\n{line}\n");
            let config = config::parse(&file, std::path::Path::new("dav.toml")).unwrap();
            let right = algorithm.ha1("me", "dav123", &"secret".into());
            assert!(matches!(
                &config.users[0].password,
                config::Password::Ha1(read, ha1)
                    if *read == algorithm && ha1.expose_secret() == right.expose_secret()
            ));
        }
        assert!(lines_for_digest("a:b", &"secret".into()).is_err());
    }

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
