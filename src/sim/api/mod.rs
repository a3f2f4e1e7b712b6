//! The API: one table of web calls, one of Open calls, and a function for each.

pub(super) mod change;
pub(super) mod files;
pub(super) mod login;
pub(super) mod open;
pub(super) mod open_change;
pub(super) mod open_more;
pub(super) mod open_upload;
pub(super) mod qr;
pub(super) mod share;
pub(super) mod upload;

use super::http::{Answer, Call};

/// Who may make a call, and what it must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone.
    Public,
    /// Anyone, to sign in.
    Login,
    /// Anyone, signed.
    Anonymous,
    /// Platform, signature and token.
    User,
    /// Open platform, to get a token.
    OpenToken,
    /// Open platform, with a token.
    Open,
}

/// One call of the API.
pub(super) struct Route {
    pub method: &'static str,
    /// Path after the prefix.
    pub path: &'static str,
    /// Name for counters and faults.
    pub name: &'static str,
    pub access: Access,
    pub handle: fn(&Call) -> Answer,
}

const fn route(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    access: Access,
    handle: fn(&Call) -> Answer,
) -> Route {
    Route {
        method,
        path,
        name,
        access,
        handle,
    }
}

/// Web calls (API page, sections 1.3, 5, 6, 7), below `/api`, `/a/api`, `/b/api`.
pub(super) static WEB: &[Route] = &[
    route("GET", "/dydomain", "dydomain", Access::Public, login::dydomain),
    route(
        "GET",
        "/get/server/time",
        "server_time",
        Access::Public,
        login::server_time,
    ),
    route("POST", "/user/sign_in", "sign_in", Access::Login, login::sign_in),
    route("POST", "/user/logout", "logout", Access::Login, login::logout),
    route(
        "GET",
        "/user/qr-code/generate",
        "qr_generate",
        Access::Login,
        qr::generate,
    ),
    route(
        "GET",
        "/user/qr-code/result",
        "qr_result",
        Access::Login,
        qr::result,
    ),
    route("POST", "/user/qr-code/scan", "qr_scan", Access::User, qr::scan),
    route("POST", "/user/qr-code/login", "qr_login", Access::User, qr::login),
    route("POST", "/user/qr-code/deny", "qr_deny", Access::User, qr::deny),
    route("GET", "/user/info", "user_info", Access::User, login::user_info),
    route("GET", "/file/list/new", "list", Access::User, files::list),
    route("POST", "/file/info", "file_info", Access::User, files::info),
    route("GET", "/file/detail", "file_detail", Access::User, files::detail),
    route(
        "POST",
        "/restful/goapi/v1/file/details",
        "file_details",
        Access::User,
        files::details,
    ),
    route(
        "POST",
        "/file/get_path",
        "get_path",
        Access::User,
        files::get_path,
    ),
    route(
        "POST",
        "/file/download_info",
        "download_info",
        Access::User,
        files::download_info,
    ),
    route(
        "POST",
        "/file/download/traffic/check",
        "traffic_check",
        Access::User,
        files::traffic_check,
    ),
    route("GET", "/share/info", "share_info", Access::Public, share::info),
    route("GET", "/share/get", "share_get", Access::Anonymous, share::get),
    route(
        "POST",
        "/share/download/info",
        "share_download",
        Access::Anonymous,
        share::download,
    ),
    route(
        "POST",
        "/v2/share/download/info",
        "share_download",
        Access::Anonymous,
        share::download,
    ),
    route(
        "POST",
        "/file/upload_request",
        "upload_request",
        Access::User,
        upload::request,
    ),
    route(
        "POST",
        "/file/s3_upload_object/auth",
        "upload_auth",
        Access::User,
        upload::auth,
    ),
    route(
        "POST",
        "/file/s3_repare_upload_parts_batch",
        "upload_prepare",
        Access::User,
        upload::prepare,
    ),
    route(
        "POST",
        "/file/s3_list_upload_parts",
        "upload_list",
        Access::User,
        upload::list_parts,
    ),
    route(
        "POST",
        "/file/s3_complete_multipart_upload",
        "upload_multipart",
        Access::User,
        upload::multipart,
    ),
    route(
        "POST",
        "/file/upload_complete/v2",
        "upload_complete",
        Access::User,
        upload::complete,
    ),
    route(
        "POST",
        "/file/upload_complete",
        "upload_complete",
        Access::User,
        upload::complete_old,
    ),
    route("POST", "/file/rename", "rename", Access::User, change::rename),
    route("POST", "/file/mod_pid", "move", Access::User, change::relocate),
    route("POST", "/file/trash", "trash", Access::User, change::trash),
    route("POST", "/file/delete", "delete", Access::User, change::delete),
    route(
        "POST",
        "/file/trash_delete_all",
        "trash_clear",
        Access::User,
        change::clear_trash,
    ),
    route(
        "POST",
        "/restful/goapi/v1/file/copy/async",
        "copy",
        Access::User,
        change::copy,
    ),
    route(
        "GET",
        "/restful/goapi/v1/file/copy/task",
        "copy_task",
        Access::User,
        change::copy_task,
    ),
];

/// Calls of the Open platform (section 8), below `/open`.
pub(super) static OPEN: &[Route] = &[
    route(
        "POST",
        "/api/v1/access_token",
        "open_access_token",
        Access::OpenToken,
        open::access_token,
    ),
    route(
        "GET",
        "/api/v1/user/info",
        "open_user_info",
        Access::Open,
        open::user_info,
    ),
    route("GET", "/api/v2/file/list", "open_list", Access::Open, open::list),
    route(
        "GET",
        "/api/v1/file/detail",
        "open_detail",
        Access::Open,
        open::detail,
    ),
    route(
        "POST",
        "/api/v1/file/infos",
        "open_infos",
        Access::Open,
        open::infos,
    ),
    route(
        "GET",
        "/api/v1/file/download_info",
        "open_download_info",
        Access::Open,
        open::download_info,
    ),
    route(
        "GET",
        "/api/v1/direct-link/url",
        "open_direct_link",
        Access::Open,
        open::direct_link,
    ),
    route(
        "POST",
        "/upload/v1/file/mkdir",
        "open_mkdir",
        Access::Open,
        open_change::mkdir,
    ),
    route(
        "PUT",
        "/api/v1/file/name",
        "open_rename",
        Access::Open,
        open_change::rename,
    ),
    route(
        "POST",
        "/api/v1/file/move",
        "open_move",
        Access::Open,
        open_change::relocate,
    ),
    route(
        "POST",
        "/api/v1/file/trash",
        "open_trash",
        Access::Open,
        open_change::trash,
    ),
    route(
        "POST",
        "/api/v1/file/delete",
        "open_delete",
        Access::Open,
        open_change::delete,
    ),
    route(
        "POST",
        "/api/v1/file/async/copy",
        "open_copy",
        Access::Open,
        open_change::copy,
    ),
    route(
        "GET",
        "/api/v1/file/async/copy/process",
        "open_copy_task",
        Access::Open,
        open_change::copy_task,
    ),
    route(
        "POST",
        "/upload/v2/file/create",
        "open_create",
        Access::Open,
        open_upload::create,
    ),
    route(
        "POST",
        "/upload/v2/file/upload_complete",
        "open_complete",
        Access::Open,
        open_upload::complete,
    ),
    route(
        "GET",
        "/upload/v2/file/domain",
        "open_domain",
        Access::Open,
        open_upload::domain,
    ),
    route(
        "POST",
        "/api/v1/file/rename",
        "open_rename_many",
        Access::Open,
        open_more::rename_many,
    ),
    route(
        "POST",
        "/api/v1/file/recover",
        "open_recover",
        Access::Open,
        open_more::recover,
    ),
    route(
        "POST",
        "/api/v1/file/recover/by_path",
        "open_recover",
        Access::Open,
        open_more::recover,
    ),
    route(
        "POST",
        "/api/v1/file/copy",
        "open_copy_one",
        Access::Open,
        open_more::copy_one,
    ),
    route(
        "POST",
        "/api/v1/direct-link/enable",
        "open_direct_enable",
        Access::Open,
        open_more::enable,
    ),
    route(
        "POST",
        "/api/v1/direct-link/disable",
        "open_direct_disable",
        Access::Open,
        open_more::disable,
    ),
    route(
        "POST",
        "/upload/v2/file/sha1_reuse",
        "open_sha1",
        Access::Open,
        open_upload::sha1_reuse,
    ),
    route(
        "GET",
        "/api/v1/file/list",
        "open_list_old",
        Access::Open,
        open_more::list_by_page,
    ),
];
