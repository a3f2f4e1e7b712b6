//! The words of the pages, in both languages.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use serde::Serialize;

/// The languages of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// For everybody who does not ask for Chinese.
    English,
    /// Simplified Chinese, with times of China.
    Chinese,
}

/// What the pages say. `{}` stands for a name or a number.
pub(super) struct Words {
    pub(super) tag: &'static str,
    /// Seconds east of Greenwich of the times shown.
    pub(super) offset: i64,
    pub(super) root: &'static str,
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) size: &'static str,
    pub(super) modified: &'static str,
    pub(super) parent: &'static str,
    pub(super) empty: &'static str,
    pub(super) copy_folder: &'static str,
    pub(super) upload: &'static str,
    pub(super) new_folder: &'static str,
    pub(super) drop: &'static str,
    pub(super) status: &'static str,
    pub(super) script: &'static ScriptWords,
}

/// What the script of the folder page says.
#[derive(Serialize)]
pub(super) struct ScriptWords {
    actions: &'static str,
    actions_for: &'static str,
    play: &'static str,
    copy: &'static str,
    copied: &'static str,
    not_copied: &'static str,
    rename: &'static str,
    rename_to: &'static str,
    delete: &'static str,
    delete_sure: &'static str,
    folder_name: &'static str,
    bad_name: &'static str,
    replace: &'static str,
    sending: &'static str,
    storing: &'static str,
    waits: &'static str,
    done: &'static str,
    cancel: &'static str,
    cancelled: &'static str,
    close: &'static str,
    no_folders: &'static str,
    failed: &'static str,
    no_connection: &'static str,
    all_done: &'static str,
    some_failed: &'static str,
    unplayable: &'static str,
    subtitles: &'static str,
}

impl Language {
    /// The language that a browser prefers (RFC 9110 12.5.4): Chinese, if it ranks above English.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut best = (0.0, Self::English);
        for value in headers.get_all(ACCEPT_LANGUAGE) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
                let primary = tag.trim().split('-').next().unwrap_or_default();
                let language = if primary.eq_ignore_ascii_case("zh") {
                    Self::Chinese
                } else if primary.eq_ignore_ascii_case("en") {
                    Self::English
                } else {
                    continue;
                };
                let weight = weight
                    .trim()
                    .strip_prefix("q=")
                    .and_then(|q| q.parse::<f32>().ok());
                let weight = weight.unwrap_or(0.0);
                if weight > best.0 {
                    best = (weight, language);
                }
            }
        }
        best.1
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

static ENGLISH: Words = Words {
    tag: "en",
    offset: 0,
    root: "All files",
    path: "Path",
    name: "Name",
    size: "Size",
    modified: "Modified (UTC)",
    parent: "Parent folder",
    empty: "This folder is empty.",
    copy_folder: "Copy link",
    upload: "Upload files",
    new_folder: "New folder",
    drop: "Drop files to upload them here",
    status: "Server status",
    script: &ScriptWords {
        actions: "Actions",
        actions_for: "Actions for {}",
        play: "Play {}",
        copy: "Copy link",
        copied: "The link is copied.",
        not_copied: "The browser does not let the link be copied; here it is:",
        rename: "Rename",
        rename_to: "New name of “{}”:",
        delete: "Delete",
        delete_sure: "Delete “{}”?",
        folder_name: "Name of the new folder:",
        bad_name: "A name cannot be empty, “.” or “..”, and has no slash.",
        replace: "“{}” is there already. Replace it?",
        sending: "{} sent",
        storing: "Sent; 123pan is storing it …",
        waits: "Waits",
        done: "Done",
        cancel: "Cancel",
        cancelled: "Cancelled",
        close: "Close",
        no_folders: "Folders cannot be uploaded here; make the folder first, then drop its files.",
        failed: "Failed",
        no_connection: "The connection broke; try again.",
        all_done: "All files are uploaded.",
        some_failed: "Some files were not uploaded; the list says why.",
        unplayable: "This browser cannot play the file. Copy its link into a player such as VLC or mpv.",
        subtitles: "Subtitles",
    },
};

static CHINESE: Words = Words {
    tag: "zh-CN",
    offset: 8 * 3_600,
    root: "全部文件",
    path: "路径",
    name: "名称",
    size: "大小",
    modified: "修改时间（北京时间）",
    parent: "上级目录",
    empty: "此文件夹为空。",
    copy_folder: "复制链接",
    upload: "上传文件",
    new_folder: "新建文件夹",
    drop: "将文件拖放到此处上传",
    status: "服务器状态",
    script: &ScriptWords {
        actions: "操作",
        actions_for: "“{}”的操作",
        play: "播放 {}",
        copy: "复制链接",
        copied: "链接已复制。",
        not_copied: "浏览器不允许复制，请手动复制此链接：",
        rename: "重命名",
        rename_to: "“{}”的新名称：",
        delete: "删除",
        delete_sure: "确定删除“{}”吗？",
        folder_name: "新文件夹的名称：",
        bad_name: "名称不能为空，不能是“.”或“..”，也不能包含斜杠。",
        replace: "“{}”已存在，要替换吗？",
        sending: "已发送 {}",
        storing: "已发送，123云盘正在保存…",
        waits: "等待中",
        done: "完成",
        cancel: "取消",
        cancelled: "已取消",
        close: "关闭",
        no_folders: "无法在此上传文件夹：请先新建文件夹，再拖入其中的文件。",
        failed: "失败",
        no_connection: "连接中断，请重试。",
        all_done: "所有文件已上传。",
        some_failed: "部分文件未能上传，原因见列表。",
        unplayable: "此浏览器无法播放该文件，请将链接复制到 VLC、mpv 等播放器中打开。",
        subtitles: "字幕",
    },
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn language(accepted: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, accepted.parse().unwrap());
        Language::of(&headers)
    }

    #[test]
    fn the_language_that_ranks_higher_is_spoken() {
        for (accepted, wanted) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("zh", Language::Chinese),
            ("de, ZH-TW;q=0.5", Language::Chinese),
            ("en-US,en;q=0.9,zh;q=0.8", Language::English),
            ("en, zh", Language::English),
            ("zh;q=0", Language::English),
            ("fr", Language::English),
            (";;,q=,zh;q=x", Language::English),
        ] {
            assert_eq!(language(accepted), wanted, "{accepted}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }
}
