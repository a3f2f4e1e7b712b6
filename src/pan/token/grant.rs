//! What an account is proved with, and what a new token is got with.

use std::fmt;

use secrecy::SecretString;

use crate::config::Endpoints;
use crate::pan::error::Error;
use crate::pan::http::Client;
use crate::pan::kept::Token;
use crate::pan::{open, web::login};

/// What an account is proved with.
#[derive(Clone, Default)]
pub struct Credentials {
    /// What a new token can be got with.
    pub grant: Option<Grant>,
    /// A token from the configuration.
    pub access_token: Option<SecretString>,
}

/// What a new token is got with.
#[derive(Clone)]
pub enum Grant {
    /// The web API: phone number or e-mail, and the password.
    Password(String, SecretString),
    /// The Open platform: a developer's client id and secret.
    Client(String, SecretString),
}

impl Grant {
    /// The setting that holds the secret.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Password(..) => "password",
            Self::Client(..) => "client_secret",
        }
    }

    /// The secret.
    pub fn secret(&self) -> &SecretString {
        let (Self::Password(_, secret) | Self::Client(_, secret)) = self;
        secret
    }

    /// Asks for a token, once.
    pub(super) async fn token(&self, http: &Client, endpoints: &Endpoints) -> Result<Token, Error> {
        match self {
            // Sources do not agree how long it lives (API page 5.1).
            Self::Password(name, password) => {
                Ok(login::sign_in(http, endpoints, name, password).await?.into())
            }
            Self::Client(id, secret) => open::access_token(http, endpoints, id, secret).await,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("grant", &self.grant.is_some())
            .field("access_token", &self.access_token.is_some())
            .finish_non_exhaustive()
    }
}
