//! `?as=thumbnail` behind a picture or a film gives the small picture that 123pan has of it.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::delivery::Delivery;
use crate::drive::Error;
use crate::server::answer;
use crate::tree::Resource;

/// The query that asks for it.
pub(super) const QUERY: &str = "as=thumbnail";

/// The small picture of a file, 404 where there is none; `None` where the query does not ask for it.
///
/// # Errors
/// Those of [`Delivery::thumbnail`].
pub async fn thumbnail(
    delivery: &Delivery,
    file: &Resource,
    query: &str,
) -> Result<Option<Response<Body>>, Error> {
    if query != QUERY {
        return Ok(None);
    }
    let Some((media_type, bytes)) = delivery.thumbnail(file).await? else {
        let sentence = "123pan has no small picture of this file, or its folder must be listed anew.";
        return Ok(Some(answer::sentence(StatusCode::NOT_FOUND, sentence)));
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // The page is rendered anew more often than a picture changes.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(Some(response))
}
