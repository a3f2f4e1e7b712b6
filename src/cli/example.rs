//! Values of dav.example.toml that stand for a person's own. Asking 123pan with them would be a sign-in to a stranger's
//! account, so `check` names them instead.

use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, Mount, Password, Source};

/// What is still the example's on a mount, as a sentence.
pub fn left_on(mount: &Mount) -> Option<&'static str> {
    let is = |secret: Option<&SecretString>, example: &str| {
        secret.is_some_and(|secret| secret.expose_secret() == example)
    };
    match &mount.source {
        Source::Account(account) => is(account.password.as_ref(), "your-123pan-password").then_some(
            "it still has the password of dav.example.toml; put in your own username and password, or take this mount out.",
        ),
        Source::Share(share) => (share.key == "abcd-EfGh").then_some(
            "it still has the share link of dav.example.toml; put in your own as share_key, or take this mount out.",
        ),
        Source::DirectLink(list) => is(list.private_key.as_ref(), "your-private-key").then_some(
            "it still has the private_key of dav.example.toml; put in your own uid, private_key and links, or take this mount out.",
        ),
        Source::Open(open) => is(open.client.as_ref().map(|(_, secret)| secret), "your-client-secret").then_some(
            "it still has the client_secret of dav.example.toml; put in your own client_id and client_secret, or take this mount out.",
        ),
    }
}

/// The users whose password is the example's, as sentences.
pub fn left_on_users(config: &Config) -> Vec<String> {
    let is_example = |password: &Password| match password {
        Password::Plain(password) => password.expose_secret() == "change-me",
        Password::Hash(_) => false,
    };
    let users = config.users.iter().filter(|user| is_example(&user.password));
    users
        .map(|user| {
            let name = &user.name;
            format!("The user {name} still has the password of dav.example.toml: everybody knows it; choose another.")
        })
        .collect()
}
