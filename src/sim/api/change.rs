//! stub
use crate::sim::http::*;
#[derive(Debug, Default)]
pub(in crate::sim) struct Copies;
pub(super) fn rename(_: &Call) -> Answer {
    not_found()
}
pub(super) fn relocate(_: &Call) -> Answer {
    not_found()
}
pub(super) fn trash(_: &Call) -> Answer {
    not_found()
}
pub(super) fn delete(_: &Call) -> Answer {
    not_found()
}
pub(super) fn clear_trash(_: &Call) -> Answer {
    not_found()
}
pub(super) fn copy(_: &Call) -> Answer {
    not_found()
}
pub(super) fn copy_task(_: &Call) -> Answer {
    not_found()
}
