//! stub
use crate::sim::http::*;
#[derive(Debug, Default)]
pub(in crate::sim) struct Uploads;
pub(super) fn request(_: &Call) -> Answer {
    not_found()
}
pub(super) fn auth(_: &Call) -> Answer {
    not_found()
}
pub(super) fn prepare(_: &Call) -> Answer {
    not_found()
}
pub(super) fn list_parts(_: &Call) -> Answer {
    not_found()
}
pub(super) fn multipart(_: &Call) -> Answer {
    not_found()
}
pub(super) fn complete(_: &Call) -> Answer {
    not_found()
}
pub(super) fn complete_old(_: &Call) -> Answer {
    not_found()
}
