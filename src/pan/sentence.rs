//! One plain sentence for each reason: what went wrong, what to do. The service's own words are
//! quoted, they are what a user finds when he searches for help.

use std::time::Duration;

use super::error::{Error, Reason, Said};
use super::http::HttpError;
use super::open::TOKEN_CALL;

impl Error {
    /// The sentence for a person.
    pub fn sentence(&self) -> String {
        let call = self.call;
        match &self.reason {
            Reason::Session(said) => format!(
                "123pan does not accept the token of this account any more ({said}): run dav123 login MOUNT (the mount's path), or give a new access_token or a password."
            ),
            Reason::NoPassword(said) => format!(
                "123pan does not accept the access token of this account ({said}) and there is no password to sign in with: run dav123 login MOUNT (the mount's path), or give a new access_token or a password."
            ),
            Reason::NotSignedIn => {
                "Nobody is signed in to this account: run dav123 login MOUNT (the mount's path); dav123 need not be started again.".to_owned()
            }
            Reason::FreshTokenRefused(said) => format!(
                "123pan refuses the token that it gave a moment ago ({said}); look on 123pan's web page whether the account is signed in on too many devices."
            ),
            Reason::BadCredentials => {
                "The access token holds characters that no token has: copy it again, without quotes and line breaks.".to_owned()
            }
            Reason::PasswordRefused { said, .. } if call == TOKEN_CALL => format!(
                "123pan's Open platform refuses client_id and client_secret ({said}); dav123 will not try again: correct them and start it again."
            ),
            Reason::PasswordRefused { said, long } => {
                let hint = if *long {
                    " The password has more than 16 characters, and 123pan is said to keep only the first 16: try it cut to these."
                } else {
                    ""
                };
                format!(
                    "123pan refuses this user name and password ({said}); dav123 will not try again: correct them and start it again, or run dav123 login MOUNT (the mount's path).{hint}"
                )
            }
            Reason::Risk(said) if call.starts_with("api/v") => format!(
                "123pan's risk control asks for a person ({said}): sign in once on 123pan's web page from the same network, then say so on the status page /.dav123/ or send SIGHUP; until then dav123 makes no more calls for this account."
            ),
            Reason::Risk(said) => format!(
                "123pan's risk control asks for a person ({said}): run dav123 login MOUNT (the mount's path) and confirm with the 123pan app, dav123 then goes on by itself; or sign in once on 123pan's web page from the same network, or change the password there, or use an access_token, and say so on the status page /.dav123/ or send SIGHUP. Until then dav123 makes no more calls for this account."
            ),
            Reason::Banned { said, after } => format!(
                "123pan has banned this network address ({said}): dav123 makes no more calls for this account and tries again in {}; to go on sooner, from another network, say so on the status page /.dav123/ or send SIGHUP.",
                after.map_or_else(|| "half an hour at the earliest".to_owned(), in_words)
            ),
            Reason::Busy { .. } if self.is_sign_in() => {
                "123pan says that this account signs in too often: wait some minutes.".to_owned()
            }
            // Our own queue: the service has said nothing, not even a code.
            Reason::Busy { said, .. } if *said == Said::default() => {
                format!("123pan allows few calls per second and too many are waiting for {call}: try again later.")
            }
            Reason::Busy { said, .. } => format!("123pan asks to slow down ({said}): try again later."),
            Reason::Exists(said) => format!("123pan has an entry of that name already ({said})."),
            Reason::NotFound(said) => format!("123pan does not have this file any more ({said})."),
            Reason::SharePassword(said) => format!(
                "123pan refuses the share key or the share password ({said}): compare share_key and share_password with the link."
            ),
            Reason::ShareGone(said) => format!("The share has ended or was withdrawn ({said}): ask its owner for a new link."),
            Reason::LoginNeeded(said) => format!(
                "123pan gives this share's files to signed-in users only ({said}): name an account mount with `account` in the share's mount."
            ),
            Reason::Traffic(said) => format!(
                "The account's download traffic at 123pan is used up, or too small for this file ({said})."
            ),
            Reason::Signature(said) => format!(
                "123pan refuses the signature of the call {call} ({said}): check that this machine's clock is right."
            ),
            Reason::Referer(said) => format!("123pan's download host refuses every Referer ({said})."),
            Reason::City(said) => format!(
                "123pan made this link for another city's addresses ({said}): link and bytes must be fetched from one network."
            ),
            Reason::Refused(said) => format!("123pan refuses the call {call} ({said})."),
            Reason::Nonsense(what) => format!(
                "123pan's answer to {call} makes no sense ({what}); if it stays so, the host may have retired: see endpoints.api."
            ),
            Reason::Status(status) => format!("123pan has a fault of its own (HTTP status {status} for {call}): try again later."),
            Reason::Http(HttpError::Timeout) => format!("123pan did not answer {call} in time."),
            Reason::Http(HttpError::Source) => "The bytes of the upload could not be read back from the spool: look after the disk of upload.spool_dir, then send the file again.".to_owned(),
            Reason::Http(error) => format!("123pan cannot be reached for {call}: {error}."),
        }
    }

    /// Whether it comes from signing in.
    pub fn is_sign_in(&self) -> bool {
        self.call == super::web::login::CALL || self.call == TOKEN_CALL
    }
}

/// A time to wait, as a person says it.
fn in_words(wait: Duration) -> String {
    let minutes = wait.as_secs().div_ceil(60);
    match minutes {
        0 | 1 => "a minute".to_owned(),
        2..120 => format!("{minutes} minutes"),
        _ => format!("{} hours", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_said_in_minutes_and_hours() {
        for (seconds, said) in [
            (0, "a minute"),
            (60, "a minute"),
            (61, "2 minutes"),
            (1800, "30 minutes"),
            (3600, "60 minutes"),
            (7200, "2 hours"),
            (7201, "3 hours"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), said);
        }
    }
}
