//! What a new drive holds, for people to enjoy and for clients to stumble over.
//!
//! The media below `media/` are our own, generated works: a test picture with a beep (its index at the end, so that a
//! player must seek), four notes, a gradient and a fractal.

use jiff::{Timestamp, ToSpan};

use super::Cloud;
use super::content::Content;
use super::drive::ShareOptions;
use super::http::lock;
use super::store::ROOT;

const CLIP: &[u8] = include_bytes!("media/clip.mp4");
const TONES: &[u8] = include_bytes!("media/tones.mp3");
const SUNSET: &[u8] = include_bytes!("media/sunset.png");
const FRACTAL: &[u8] = include_bytes!("media/fractal.jpg");

/// Files of the crowded folder.
const CROWD: usize = 1_200;

/// The large file: seed, length and MD5 of its pattern; hashing it at each start would take a second.
const BIG: (u64, u64, &str) = (123, 300 << 20, "5c9b547b8b47918034421687de4995d4");

const SRT: &str = "1\n00:00:00,500 --> 00:00:05,000\nA test picture, and a beep.\n\n\
2\n00:00:05,500 --> 00:00:12,000\n测试画面，每秒一声。\n\n3\n00:00:12,500 --> 00:00:19,500\nSeek as you like.\n\n";

const ASS: &str = "[Script Info]\nScriptType: v4.00+\nPlayResX: 320\nPlayResY: 180\n\n[V4+ Styles]\n\
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment, MarginV\nStyle: Default,Arial,16,&H00FFFFFF,2,10\n\n\
[Events]\nFormat: Layer, Start, End, Style, Text\n\
Dialogue: 0,0:00:00.50,0:00:09.00,Default,测试画面\nDialogue: 0,0:00:09.50,0:00:19.50,Default,可以随意拖动\n";

const README: &str = "欢迎！这是 dav123 的模拟网盘，不需要帐号。\n\
Welcome! This is the simulated drive of dav123. Everything here lives in memory and is gone when it stops.\n\n\
电影/      a short film with subtitles\nMusic/     four notes\n照片/      pictures\n\
许多文件/  a folder with 1,200 files\n怪名字/    names that clients stumble over\n\
Downloads/ 300 MiB to seek in\n分享/      shared without a password, and with one\n直链/      direct links\n";

/// Names that clients stumble over.
const ODD_NAMES: [&str; 14] = [
    "with space.txt",
    "two  spaces .txt",
    "hash #1.txt",
    "100% sure.txt",
    "50%25.txt",
    "a+b.txt",
    "salt & pepper.txt",
    "it's.txt",
    "emoji 🎬🐼.txt",
    "e\u{301} decomposed.txt",
    "[brackets] {braces}.txt",
    "semi;colon,comma=equals@at.txt",
    "没有扩展名",
    "很长的名字很长的名字很长的名字很长的名字很长的名字很长的名字很长的名字很长的名字很长的名字很长的名字.txt",
];

/// What a seeded drive offers beyond the account.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// Key of the share without password, downloads without login.
    pub open_share: &'static str,
    /// Key of the share with password; downloads need a login.
    pub locked_share: &'static str,
    /// Its password.
    pub share_password: &'static str,
    /// Folder of the direct links.
    pub direct_folder: &'static str,
    /// Names of files in it.
    pub direct_files: &'static [&'static str],
}

/// What [`Cloud::seed`] makes.
pub const SEED: Seed = Seed {
    open_share: "demo-Open",
    locked_share: "demo-Lock",
    share_password: "dav1",
    direct_folder: "/直链",
    direct_files: &["clip.mp4", "four notes.mp3", "说明.txt"],
};

impl Cloud {
    /// Fills the drive with a small tree, two shares and a direct-link folder, as [`SEED`] names them.
    pub fn seed(&self) {
        let bytes = |b: &'static [u8]| Content::Bytes(b.into());
        self.add_file("/Documents/readme.txt", README);
        self.add_file("/Documents/empty.txt", "");
        self.add_file("/Documents/Notes/2026/January/日记.md", "# 一月\n\n- dav123\n");
        self.add_file("/电影/测试影片 (2026)/测试影片.mp4", bytes(CLIP));
        self.add_file("/电影/测试影片 (2026)/测试影片.srt", SRT);
        self.add_file("/电影/测试影片 (2026)/测试影片.zh.ass", ASS);
        self.add_file("/电影/测试影片 (2026)/poster.jpg", bytes(FRACTAL));
        self.add_file("/Music/dav123/01 - Four Notes.mp3", bytes(TONES));
        self.add_file("/Music/dav123/cover.png", bytes(SUNSET));
        self.add_file("/照片/日落.png", bytes(SUNSET));
        self.add_file("/照片/fractal.jpg", bytes(FRACTAL));
        for name in ODD_NAMES {
            self.add_file(&format!("/怪名字/{name}"), "The name is the point.\n");
        }
        self.add_folder("/怪名字/folder #1 & 100% + 'more'/空文件夹");
        for n in 1..=CROWD {
            self.add_file(&format!("/许多文件/{n:04}.txt"), format!("{n}\n").into_bytes());
        }
        self.add_file_with_etag(
            "/Downloads/big.bin",
            Content::Pattern {
                seed: BIG.0,
                len: BIG.1,
            },
            BIG.2,
        );
        self.add_file("/分享/公开分享/clip.mp4", bytes(CLIP));
        self.add_file("/分享/公开分享/clip.srt", SRT);
        self.add_file("/分享/公开分享/图片/日落.png", bytes(SUNSET));
        self.add_file("/分享/加密分享/four notes.mp3", bytes(TONES));
        self.add_file("/分享/加密分享/Documents/readme.txt", README);
        self.add_file("/直链/clip.mp4", bytes(CLIP));
        self.add_file("/直链/four notes.mp3", bytes(TONES));
        self.add_file("/直链/说明.txt", README);
        self.enable_direct(SEED.direct_folder);
        self.add_share(
            &["/分享/公开分享"],
            ShareOptions {
                name: "公开分享".into(),
                anonymous: true,
                key: Some(SEED.open_share.into()),
                ..ShareOptions::default()
            },
        );
        self.add_share(
            &["/分享/加密分享"],
            ShareOptions {
                name: "加密分享".into(),
                password: Some(SEED.share_password.into()),
                key: Some(SEED.locked_share.into()),
                ..ShareOptions::default()
            },
        );
        self.age();
    }

    /// Gives the rows different times, a few hours apart, the newest now.
    fn age(&self) {
        let mut store = lock(&self.inner.store);
        let mut at = Timestamp::now();
        let mut folders = vec![ROOT];
        while let Some(folder) = folders.pop() {
            let rows: Vec<(i64, bool)> = store.children(folder).map(|n| (n.id, n.folder)).collect();
            for (id, is_folder) in rows {
                if is_folder {
                    folders.push(id);
                }
                at = at.checked_sub(7.hours()).unwrap_or(at);
                if let Some(node) = store.get_mut(id) {
                    (node.created, node.updated) = (at, at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sim::Options;

    #[test]
    fn the_large_file_has_the_md5_it_is_said_to_have() {
        let (seed, len, md5) = BIG;
        assert_eq!(Content::Pattern { seed, len }.md5(), md5);
    }

    #[tokio::test]
    async fn a_seeded_drive_holds_what_it_names() {
        let cloud = Cloud::start(Options::demo()).await.unwrap();
        assert_eq!(cloud.names("/许多文件").unwrap().len(), CROWD);
        for name in SEED.direct_files {
            assert!(
                cloud.stat(&format!("{}/{name}", SEED.direct_folder)).is_some(),
                "{name}"
            );
        }
        let index = |what: &[u8]| CLIP.windows(4).position(|w| w == what).unwrap();
        assert!(index(b"moov") > index(b"mdat"), "the index is at the end");
        assert_eq!(cloud.stat("/Documents/empty.txt").unwrap().0, 0);
    }
}
