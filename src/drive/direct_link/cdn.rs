//! The CDN as this drive meets it: signs what goes out, and asks about files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::form::FormMemory;
use crate::pan::direct::{Answer, DirectUrl, Facts, Failure, FileLine, PathForm, SignError, Signer, probe};
use crate::pan::http::Client;

/// How long the signature of a question is good.
const PROBE_VALID: u64 = 10 * 60;

/// Client, key, and what was learnt about the form of signatures.
#[derive(Debug)]
pub(super) struct Cdn {
    client: Client,
    /// `None`: links go out unsigned.
    signer: Option<Signer>,
    forms: FormMemory,
    refusal_told: AtomicBool,
}

impl Cdn {
    pub(super) fn new(client: Client, signer: Option<Signer>) -> Self {
        Self {
            client,
            signer,
            forms: FormMemory::default(),
            refusal_told: AtomicBool::new(false),
        }
    }

    /// Who signs, if anybody.
    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// The URL to hand out or to ask, good until `expires` (Unix seconds) where it is signed. With a key
    /// there is no way to an unsigned one.
    pub(super) fn url(&self, url: &DirectUrl, expires: u64) -> Result<SecretString, SignError> {
        self.url_in(url, self.forms.current(), expires)
    }

    /// Asks about a file: by HEAD, by a range of one byte where HEAD does not tell, and once more in the
    /// other form where an escaped path is refused and no form is proven.
    pub(super) async fn probe(&self, name: &str, file: &FileLine) -> Answer {
        let form = self.forms.current();
        let Ok(url) = self.url_in(&file.url, form, probe_expiry()) else {
            return Answer::Failed(Failure::NoAnswer);
        };
        let by_head = probe::head(&self.client, url.expose_secret(), name).await;
        let head = match by_head {
            Answer::Accepted(facts) => {
                self.note(file, form);
                // Some servers say 0 to a HEAD for want of something better.
                if facts.size.is_some_and(|size| size > 0) {
                    return by_head;
                }
                facts
            }
            Answer::Failed(Failure::NoAnswer | Failure::NotThere) => return by_head,
            Answer::Failed(Failure::Status(_)) | Answer::Refused => Facts::default(),
        };
        match self.first_byte(name, file, form).await {
            Answer::Accepted(facts) => Answer::Accepted(Facts {
                size: facts.size,
                modified: facts.modified.or(head.modified),
            }),
            other => other,
        }
    }

    /// Finds out which form the CDN takes, if that matters for this file and is not known. One at a time; an
    /// answer that says nothing is not asked for again before `pause`.
    pub(super) async fn settle_form(&self, name: &str, file: &FileLine, limit: Duration, pause: Duration) {
        if self.signer.is_none() || !file.url.is_escaped() || !self.forms.is_open(pause) {
            return;
        }
        let _deciding = self.forms.deciding.lock().await;
        if !self.forms.is_open(pause) {
            return;
        }
        let form = self.forms.current();
        // The answer is kept by `note`; what is left to say is that there was none.
        let _ = timeout(limit, self.first_byte(name, file, form)).await;
        if !self.forms.is_proven() {
            self.forms.unanswered();
        }
    }

    /// The CDN refused a link: if it was ours, still good, and of an escaped path, the other form is next.
    pub(super) fn refused(&self, link: &str, url: &DirectUrl) {
        if let Some(signer) = &self.signer
            && url.is_escaped()
            && let Some((form, expires)) = signer.form_of(link, url)
            && expires > unix_now()
        {
            self.forms.flip(form);
        }
    }

    /// A range of one byte, signed in `form`, and in the other one where that is refused and may help.
    async fn first_byte(&self, name: &str, file: &FileLine, form: PathForm) -> Answer {
        let mut answer = Answer::Failed(Failure::NoAnswer);
        for form in [form, form.other()] {
            let Ok(url) = self.url_in(&file.url, form, probe_expiry()) else {
                return answer;
            };
            answer = probe::first_byte(&self.client, url.expose_secret(), name).await;
            match answer {
                Answer::Accepted(_) => self.note(file, form),
                Answer::Refused if self.may_try_other(file, form) => continue,
                _ => {}
            }
            break;
        }
        if answer == Answer::Refused {
            self.tell_refusal(file);
        }
        answer
    }

    /// Not where `refused` is the proven form; but it may be the one that another question disproved meanwhile.
    fn may_try_other(&self, file: &FileLine, refused: PathForm) -> bool {
        let settled = self.forms.is_proven() && self.forms.current() == refused;
        self.signer.is_some() && file.url.is_escaped() && !settled
    }

    fn note(&self, file: &FileLine, form: PathForm) {
        if self.signer.is_some() && file.url.is_escaped() {
            self.forms.prove(form);
        }
    }

    fn url_in(&self, url: &DirectUrl, form: PathForm, expires: u64) -> Result<SecretString, SignError> {
        match &self.signer {
            Some(signer) => signer.sign(url, form, expires),
            None => Ok(url.unsigned().into()),
        }
    }

    /// One warning for the run: what helps is the same for every line.
    fn tell_refusal(&self, file: &FileLine) {
        if self.refusal_told.swap(true, Ordering::Relaxed) {
            return;
        }
        // Line 0: the link was asked of 123pan.
        let which = match file.line {
            0 => "of a file".to_owned(),
            line => format!("of line {line} of the direct links"),
        };
        if self.signer.is_some() {
            tracing::warn!(
                "The CDN refuses the signed link {which}: check private_key, uid and this machine's clock."
            );
        } else {
            tracing::warn!(
                "The CDN refuses the unsigned link {which}: set private_key to the key of 123pan's direct-link page."
            );
        }
    }
}

/// Now, in Unix seconds.
pub(super) fn unix_now() -> u64 {
    u64::try_from(crate::clock::unix_now()).unwrap_or(0)
}

fn probe_expiry() -> u64 {
    unix_now().saturating_add(PROBE_VALID)
}
