//! Signing in with a phone: the code is drawn, its states are shown, an expired one is replaced.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::time::Instant;

use super::draw::draw;
use super::screen::Screen;
use crate::config::Endpoints;
use crate::pan;
use crate::pan::http::Client;
use crate::pan::pace::scaled;
use crate::pan::web::qr::{self, Code, State};

/// Codes shown at the most, one after the other.
const CODES: usize = 3;
/// Between two questions what became of a code.
const POLL: Duration = Duration::from_secs(2);
/// No code is watched longer, should 123pan never call it expired.
const WATCHED: Duration = Duration::from_secs(600);
/// Failed questions in a row that are borne.
const TROUBLES: u32 = 5;

/// Shows codes until somebody has confirmed one; its token.
pub async fn token(
    http: &Client,
    endpoints: &Endpoints,
    screen: &mut Screen,
) -> anyhow::Result<SecretString> {
    for n in 1..=CODES {
        let code = qr::generate(http, endpoints).await.map_err(said)?;
        show(&code, screen)?;
        match watch(http, endpoints, &code, screen).await? {
            State::SignedIn(token) => return Ok(token),
            State::Denied => bail!(
                "The sign-in was denied on the phone; nothing has changed. To try again, run the command again."
            ),
            _ if n < CODES => screen.say("The code has expired. Here is a new one."),
            _ => {}
        }
    }
    bail!(
        "{CODES} codes have expired and none was confirmed; run the command again when the phone is at hand."
    )
}

fn said(error: pan::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.sentence())
}

fn show(code: &Code, screen: &mut Screen) -> anyhow::Result<()> {
    let drawing = draw(code.url(), screen.is_terminal());
    let drawing = drawing.context("123pan's code is too long to be drawn; use --token or --password.")?;
    if let Some(columns) = screen.columns().filter(|columns| *columns < drawing.columns) {
        screen.say(&format!(
            "The code needs {} columns and this terminal has {columns}: make it wider, then run the command again.",
            drawing.columns
        ));
    } else {
        screen.say(&drawing.text);
    }
    screen.say(&format!(
        "Scan the code with the 123pan app, signed in to the account, and confirm there. It holds this address:\n{}",
        code.url()
    ));
    Ok(())
}

/// Asks until the code is decided.
async fn watch(
    http: &Client,
    endpoints: &Endpoints,
    code: &Code,
    screen: &mut Screen,
) -> anyhow::Result<State> {
    let until = Instant::now() + WATCHED;
    let mut troubles = 0;
    screen.status("Waiting for the code to be scanned …");
    while Instant::now() < until {
        let mut pause = scaled(POLL, endpoints.rate);
        match qr::result(http, endpoints, code).await {
            Ok(State::Waiting) => {
                troubles = 0;
                screen.status("Waiting for the code to be scanned …");
            }
            Ok(State::Scanned) => {
                troubles = 0;
                screen.status("Scanned: confirm on the phone …");
            }
            Ok(decided) => return Ok(decided),
            Err(error) if troubles < TROUBLES && qr::may_pass(&error) => {
                troubles += 1;
                screen.status("123pan does not answer well: trying on …");
                let asked = match error.reason {
                    pan::Reason::Busy { after, .. } => after.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                pause = asked.max(pause * (1 << troubles)).min(Duration::from_secs(60));
            }
            Err(error) => return Err(said(error)),
        }
        tokio::time::sleep(pause).await;
    }
    Ok(State::Expired)
}
