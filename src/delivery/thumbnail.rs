//! Thumbnails: small pictures that 123pan makes, passed on by us. A browser that fetched them itself would tell 123pan who
//! looks at which folder, whatever the strategy is, and the page would have to allow pictures from anywhere.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};

use super::Delivery;
use super::cdn::Ask;
use super::target::Target;
use crate::drive::{Error, ErrorKind};
use crate::tree::Resource;

/// Bytes at the most: 70 by 70 pixels are some 4 KiB.
const LONGEST: usize = 256 * 1024;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a browser shows and does not run.
const TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/webp", "image/gif"];

impl Delivery {
    /// The media type and the bytes of a file's thumbnail; `None` where its drive knows none.
    ///
    /// # Errors
    /// `Nonsense` for what is no small picture; `Unreachable`, `Timeout`.
    pub async fn thumbnail(&self, file: &Resource) -> Result<Option<(&'static str, Bytes)>, Error> {
        let Some(mount) = &file.mount else {
            return Ok(None);
        };
        let thumbnails = mount.drive.thumbnails();
        let Some(address) = thumbnails.and_then(|thumbnails| thumbnails.address(&file.entry)) else {
            return Ok(None);
        };
        let outbound = mount.settings.delivery.outbound.as_ref();
        let cdn = self.engine.experience.cdns.of(outbound)?;
        let nonsense = || Error::new(ErrorKind::Nonsense, "123pan gave no picture.");
        let fetched = async {
            let ask = Ask {
                to: &Target::parse(&address)?,
                range: None,
                referer: None,
                headers: &[],
            };
            let answer = cdn.get(&cdn.narrow(), ask).await?;
            let said = answer
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|said| said.to_str().ok());
            let said = said
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default()
                .trim();
            let media_type = TYPES.into_iter().find(|known| said.eq_ignore_ascii_case(known));
            let Some(media_type) = media_type.filter(|_| answer.status().as_u16() == 200) else {
                return Err(nonsense());
            };
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            let bytes = body.map_err(|_| nonsense())?.to_bytes();
            Ok(Some((media_type, bytes)))
        };
        tokio::time::timeout(PATIENCE, fetched).await.unwrap_or_else(|_| {
            let sentence = "123pan's picture did not come in time.";
            Err(Error::new(ErrorKind::Timeout, sentence))
        })
    }
}
