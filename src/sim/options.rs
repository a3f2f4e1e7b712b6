//! What can be chosen: who owns the cloud (fixed) and how it behaves (changeable while it runs).
//!
//! The defaults are those of a suspicious server, for tests. [`Options::demo`] is what the service does on a good
//! day. Where the sources disagree or are silent (API page, section 11) the behaviour is a choice here.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Calls of the Open platform a second, for free and member accounts (section 8.4); where there is no figure for
/// developers, that for OAuth tokens, and else what a widely used client runs at.
const OPEN_PER_SECOND: [(&str, u64, u64); 12] = [
    ("open_user_info", 10, 10),
    ("open_move", 3, 10),
    ("open_delete", 1, 10),
    ("open_list", 5, 10),
    ("open_mkdir", 5, 20),
    ("open_access_token", 8, 10),
    ("open_create", 5, 5),
    ("open_complete", 20, 20),
    ("open_sha1", 2, 2),
    ("open_trash", 5, 5),
    ("open_infos", 10, 10),
    ("open_download_info", 5, 5),
];

/// How to start a [`Cloud`](super::Cloud).
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the API listens. Default `127.0.0.1:0`: a free port.
    pub listen: SocketAddr,
    /// Put relay, inner link host, CDN and object storage on other loopback addresses, where the system allows it
    /// and `listen` is a loopback address; else everything is on the one listener. Default true.
    pub spread: bool,
    /// The account's id. Default 1812000499.
    pub uid: i64,
    /// The name shown to others.
    pub username: String,
    /// Phone number for signing in.
    pub phone: String,
    /// Mail address for signing in.
    pub mail: String,
    /// Password for both.
    pub password: String,
    /// Developer id for the Open platform.
    pub client_id: String,
    /// Developer secret for the Open platform.
    pub client_secret: String,
    /// Fill the drive with the tree of [`Cloud::seed`](super::Cloud::seed). Default false.
    pub seeded: bool,
    /// The behaviour at start.
    pub settings: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            spread: true,
            uid: 1_812_000_499,
            username: "模拟用户".into(),
            phone: "13800000000".into(),
            mail: "demo@example.com".into(),
            password: "demo-password".into(),
            client_id: "demo-client-id".into(),
            client_secret: "demo-client-secret".into(),
            seeded: false,
            settings: Settings::default(),
        }
    }
}

impl Options {
    /// Seeded and friendly: no pace, no ban, unsigned calls accepted.
    pub fn demo() -> Self {
        Options {
            seeded: true,
            settings: Settings::friendly(),
            ..Options::default()
        }
    }
}

/// How the cloud behaves; see [`Cloud::settings`](super::Cloud::settings).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether web calls must carry the crc32 signature. A wrong one is refused unless this is `Off`.
    pub signature: SignatureRule,
    /// How far a signature's time may be off. Default 10 minutes.
    pub signature_window: Duration,
    /// How many seconds the cloud's clock is ahead of this machine's: for signatures, its time call, the `Date` of its
    /// answers and the `t=` of its links. Default 0.
    pub clock_ahead: i64,
    /// Demand `platform` from sign-in and anonymous share calls too; p123client sends none there. Default true.
    pub platform_everywhere: bool,
    /// How a missing, wrong or expired token is answered.
    pub auth_error: AuthError,
    /// Life of a token. Default 30 days.
    pub token_life: Duration,
    /// How many tokens live; one more pushes the oldest out. Default 3 (section 5.1).
    pub live_tokens: usize,
    /// At most so many sign-ins in so much time. Default 10 a minute.
    pub logins: Option<(u32, Duration)>,
    /// Who scans the QR codes. Default [`Phone::ByHand`].
    pub phone: Phone,
    /// Least time between two calls of an endpoint (by counter name). Default 700 ms for `list` and `share_get`, and
    /// the table of section 8.4 for the Open platform.
    pub intervals: HashMap<&'static str, Duration>,
    /// Factor for all intervals; 0 turns the pace off. Default 1.
    pub pace_scale: f64,
    /// How much too early a call may come, for the jitter of a network. Default none: a tenth of the interval.
    pub jitter: Option<Duration>,
    /// The answer to a call that came too early.
    pub too_fast: TooFast,
    /// `Retry-After` with it, in seconds. Default none.
    pub retry_after: Option<u32>,
    /// So many violations of the pace ban the caller. Default 20.
    pub ban_after: Option<u64>,
    /// HTTP status of the ban answer; the sources give none. Default 403.
    pub ban_status: u16,
    /// Whether the account is locked until a human acts (section 2.5).
    pub risk: Risk,
    /// The message then.
    pub risk_message: String,
    /// Added to every API answer. Default zero.
    pub latency: Duration,
    /// Rows of a listing page.
    pub page_rows: PageRows,
    /// Ordering by name loses rows. Default true (section 5.3).
    pub name_order_loses_rows: bool,
    /// An empty page has `InfoList: null` instead of `[]`. Default true.
    pub null_lists: bool,
    /// Listing a folder that is not there: code 5066, or an empty page; no source says. Default true (5066).
    pub missing_folder_is_error: bool,
    /// What is done when a rename or move meets an equal name; no source says.
    pub clash: Clash,
    /// Life of a CDN link. Default 24 h.
    pub link_life: Duration,
    /// HTTP status for a link that has expired. Default 403; 404 and 410 are possible.
    pub expired_status: u16,
    /// Whether the month's download traffic is used up: code 5113. Default false.
    pub traffic_used_up: bool,
    /// The form of `DownloadUrl`.
    pub link_form: LinkForm,
    /// What the inner link answers.
    pub relay: Relay,
    /// HTTP status of code 1010 refusals; the sources give none. Default 403; 200 is possible.
    pub refusal_status: u16,
    /// Which `Referer` the CDN wants. Default off.
    pub referer: RefererRule,
    /// Whether links are bound to the address that asked for them. Default off.
    pub city: CityRule,
    /// The CDN answers every GET with 200 and the whole file. Default false.
    pub ignore_range: bool,
    /// The CDN answers with a page of about 5 KB instead of the file. Default false.
    pub anti_leech: bool,
    /// Most bytes per second of one body. Default none.
    pub throttle: Option<u64>,
    /// Time before a CDN or direct-link answer begins. Default zero.
    pub cdn_latency: Duration,
    /// How direct links are authenticated. Default [`DirectAuth::Off`].
    pub direct_auth: DirectAuth,
    /// The private key for that.
    pub direct_key: String,
    /// What HEAD on direct links gives.
    pub direct_head: DirectHead,
    /// Part size of uploads; none = 16 MiB, and 32 MiB above 160 MiB, as the service. Small values are for tests,
    /// so that many parts stay little data.
    pub slice_size: Option<u64>,
    /// Life of a presigned upload URL. Default 1 h; no source says.
    pub presigned_life: Duration,
    /// Most bytes per second that the object storage takes from one PUT. Default none.
    pub upload_rate: Option<u64>,
    /// Count and hash uploaded parts but forget their bytes (the file then reads as a pattern): for measuring
    /// uploads larger than memory. Default false.
    pub forget_uploads: bool,
    /// The content of the store counts as known for instant upload. Default true.
    pub instant_upload: bool,
    /// The content of the store is known by its SHA-1 too. Default false: so found the one who tried (section 8.3).
    pub open_sha1: bool,
    /// The Open platform takes empty files; it is said not to (question 27). Default false.
    pub open_empty_files: bool,
    /// How often `upload_complete` of the Open platform answers 20103 before a file is there. Default 1.
    pub open_checks: u32,
    /// The servers for slices; none = the object storage's address.
    pub open_servers: Option<Vec<String>>,
    /// A slice is answered with 200 and nothing. Default false.
    pub open_silent_slices: bool,
    /// The account is a member's: more calls a second on the Open platform (section 8.4). Default false.
    pub member: bool,
    /// How many polls a copy task stays pending; 0 = done at once (`mode` 2). Default 2.
    pub copy_polls: u32,
    /// Total space of the account in bytes. Default 2 TiB.
    pub space: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let list = Duration::from_millis(700);
        Settings {
            signature: SignatureRule::Required,
            signature_window: Duration::from_secs(600),
            clock_ahead: 0,
            platform_everywhere: true,
            auth_error: AuthError::Code401,
            token_life: Duration::from_secs(30 * 86_400),
            live_tokens: 3,
            logins: Some((10, Duration::from_secs(60))),
            phone: Phone::ByHand,
            intervals: [("list", list), ("share_get", list)]
                .into_iter()
                .chain(OPEN_PER_SECOND.map(|(name, free, _)| (name, Duration::from_millis(1000 / free))))
                .collect(),
            pace_scale: 1.0,
            jitter: None,
            too_fast: TooFast::Status429,
            retry_after: None,
            ban_after: Some(20),
            ban_status: 403,
            risk: Risk::Off,
            risk_message: "当前账号存在安全风险，请使用短信验证码或者微信进行登录".into(),
            latency: Duration::ZERO,
            page_rows: PageRows::Limit,
            name_order_loses_rows: true,
            null_lists: true,
            missing_folder_is_error: true,
            clash: Clash::Refuse,
            link_life: Duration::from_secs(86_400),
            expired_status: 403,
            traffic_used_up: false,
            link_form: LinkForm::Standard,
            relay: Relay::Redirect,
            refusal_status: 403,
            referer: RefererRule::Off,
            city: CityRule::Off,
            ignore_range: false,
            anti_leech: false,
            throttle: None,
            cdn_latency: Duration::ZERO,
            direct_auth: DirectAuth::Off,
            direct_key: "direct-private-key".into(),
            direct_head: DirectHead::Full,
            slice_size: None,
            presigned_life: Duration::from_secs(3600),
            upload_rate: None,
            forget_uploads: false,
            instant_upload: true,
            open_sha1: false,
            open_empty_files: false,
            open_checks: 1,
            open_servers: None,
            open_silent_slices: false,
            member: false,
            copy_polls: 2,
            space: 2 << 40,
        }
    }
}

impl Settings {
    /// Least time between two calls of an endpoint.
    pub(super) fn interval(&self, endpoint: &str) -> Duration {
        let named = |(name, ..): &&(&str, u64, u64)| *name == endpoint;
        let interval = match OPEN_PER_SECOND.iter().find(named) {
            Some((_, _, member)) if self.member => Some(Duration::from_millis(1000 / member)),
            _ => self.intervals.get(endpoint).copied(),
        };
        interval.map_or(Duration::ZERO, |i| i.mul_f64(self.pace_scale))
    }

    /// Unix seconds of the cloud's clock.
    pub(super) fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.clock_ahead
    }

    /// What the service does on a good day; for the demonstration and for public clients.
    pub fn friendly() -> Self {
        Settings {
            signature: SignatureRule::IfPresent,
            platform_everywhere: false,
            logins: None,
            phone: Phone::Confirms,
            pace_scale: 0.0,
            ban_after: None,
            null_lists: false,
            ..Settings::default()
        }
    }
}

/// Whether the signature of section 4 must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureRule {
    /// On every web call but sign-in.
    Required,
    /// Checked where it is sent.
    IfPresent,
    /// Never looked at.
    Off,
}

/// The code for a token that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// HTTP 401, code 401, `cookie token is empty`.
    Code401,
    /// HTTP 200, code 20101.
    Code20101,
    /// HTTP 401, code 2, `token is expired`.
    Code2,
}

/// What becomes of a QR code that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phone {
    /// What [`Cloud::qr_scan`](super::Cloud::qr_scan) and its like say.
    ByHand,
    /// Scanned after the first poll, confirmed after the second.
    Confirms,
    /// Scanned after the first poll, denied after the second.
    Denies,
    /// Nobody scans: expired after the first poll.
    Lost,
}

/// The answer to a call that came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooFast {
    /// HTTP 429 with code 429.
    Status429,
    /// HTTP 200 with code 429.
    Code429,
    /// HTTP 200, a text with `操作频繁` and the code that the sources leave open (here 1).
    Text,
}

/// Account lock of section 2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// None.
    Off,
    /// Sign-in is refused.
    Login,
    /// Every call with a token is refused too.
    Every,
}

/// Rows of a listing page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageRows {
    /// As `limit` says, at most 100.
    Limit,
    /// So many, whatever `limit` says.
    Fixed(usize),
}

/// What happens when a rename or move meets an equal name and the caller does not say what he wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Code 5060.
    Refuse,
    /// The newcomer gets a numbered name.
    Suffix,
    /// Code 0 and nothing changes.
    NoEffect,
    /// Both keep the name.
    Twins,
}

/// The form of `DownloadUrl` (section 5.8, step 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkForm {
    /// Relay URL with `params` in standard padded base64, its `+` and `/` and `=` as they are.
    Standard,
    /// Standard base64, percent-encoded.
    StandardEscaped,
    /// URL-safe, unpadded.
    UrlSafe,
    /// No `params`: the inner link itself.
    Plain,
}

/// What the inner link answers (section 5.8, step 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// 302 with `Location`.
    Redirect,
    /// JSON with `redirect_url`, status 200.
    Json200,
    /// The same, status 210.
    Json210,
    /// The bytes themselves.
    Bytes,
    /// An HTML page with the link in `href`.
    Html,
}

/// Which `Referer` the CDN wants (section 11, question 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefererRule {
    /// Any or none.
    Off,
    /// Scheme and host of `DownloadUrl`.
    Outer,
    /// Scheme and host of the decoded inner link.
    Inner,
    /// `https://yun.123pan.com/` or `https://yun.123pan.cn/`.
    Origin,
}

/// Whether a link is good elsewhere than where it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CityRule {
    /// Yes.
    Off,
    /// Only from the same address.
    SameAddress,
    /// Nowhere: every fetch is refused.
    Nowhere,
}

/// How direct links are authenticated (section 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectAuth {
    /// No key needed; a key that is there is not looked at.
    Off,
    /// Hash over the percent-decoded path.
    Decoded,
    /// Hash over the path as written in the URL.
    AsWritten,
}

/// What HEAD on direct links gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectHead {
    /// The headers of GET.
    Full,
    /// The same without `Content-Length`.
    NoLength,
    /// 405.
    Refused,
}
