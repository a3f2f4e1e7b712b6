//! stub
use super::http::*;
use hyper::body::Incoming;
pub(super) const PREFIX: &str = "/123-295/";
pub(super) async fn put(_: &Call<'_>, _: Incoming) -> Answer {
    not_found()
}
