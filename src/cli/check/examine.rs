//! The steps of a check on one mount: sign in, list the root, ask the quota, resolve one link.

use std::time::{Duration, Instant};

use crate::config::{Mount, Strategy};
use crate::drive::{Drive, Entry, Error, ErrorKind, Id, Link, LinkWish, Quota};

/// Pages of the root that are read: at 123pan's pace of one in 700 ms a larger folder would make people wait.
const PAGES: usize = 10;
/// Folders below the root that are searched for a file.
const FOLDERS: usize = 3;

/// What was found out about a mount.
#[derive(Debug)]
pub struct Outcome {
    /// Path of the mount.
    pub mount: String,
    /// Kind as written in the configuration.
    pub kind: &'static str,
    /// Strategy as written in the configuration.
    pub strategy: &'static str,
    /// How long signing in took.
    pub sign_in: Option<Duration>,
    /// The root's members.
    pub root: Option<Root>,
    /// How long listing the root took.
    pub list: Option<Duration>,
    /// Space, where the mount knows it.
    pub quota: Option<Quota>,
    /// How long resolving a link took; `None` also where there is no file.
    pub link: Option<Duration>,
    /// Why a redirected client may get nothing, as a sentence.
    pub redirect_refused: Option<String>,
    /// What failed, each with a sentence.
    pub failures: Vec<String>,
}

/// The root's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// How many were read.
    pub entries: usize,
    /// Whether these are all.
    pub whole: bool,
}

fn untried(mount: &Mount) -> Outcome {
    Outcome {
        mount: mount.path.clone(),
        kind: mount.source.kind(),
        strategy: mount.delivery.strategy.name(),
        sign_in: None,
        root: None,
        list: None,
        quota: None,
        link: None,
        redirect_refused: None,
        failures: Vec::new(),
    }
}

/// A mount that need not be tried to know that it fails.
pub fn not_tried(mount: &Mount, sentence: &str) -> Outcome {
    Outcome {
        failures: vec![sentence.to_owned()],
        ..untried(mount)
    }
}

/// A step that failed, with what to do where the error itself cannot know.
fn failed(step: &str, error: &Error) -> String {
    let advice = match error.kind() {
        ErrorKind::Unreachable => {
            " Is this machine online, and may it reach that host? Through a proxy: set outbound."
        }
        _ => "",
    };
    format!("{step}: {error}{advice}")
}

/// Takes all steps. `refused` tells why the CDN would refuse a redirected client, `None` where it would not.
pub async fn examine(
    mount: &Mount,
    drive: &dyn Drive,
    refused: impl AsyncFn(&Link) -> Option<String>,
) -> Outcome {
    let mut outcome = untried(mount);
    let (signed_in, took) = timed(drive.sign_in()).await;
    if let Err(error) = signed_in {
        outcome.failures.push(failed("sign-in", &error));
        return outcome;
    }
    outcome.sign_in = Some(took);
    if drive.capability().quota {
        match drive.quota().await {
            Ok(quota) => outcome.quota = quota,
            Err(error) => outcome.failures.push(failed("quota", &error)),
        }
    }
    let (listed, took) = timed(first_pages(drive, drive.root(), PAGES)).await;
    let members = match listed {
        Ok((members, whole)) => {
            outcome.root = Some(Root {
                entries: members.len(),
                whole,
            });
            outcome.list = Some(took);
            members
        }
        Err(error) => {
            outcome.failures.push(failed("list", &error));
            return outcome;
        }
    };
    match a_file(drive, members).await {
        Ok(None) => {}
        Ok(Some(file)) => resolve(&mut outcome, mount, drive, &file, refused).await,
        Err(error) => outcome.failures.push(failed("list below the root", &error)),
    }
    outcome
}

/// The origin of `[proxy]`: whether it `takes` the secret.
pub async fn origin(takes: impl Future<Output = Result<(), Error>>) -> Outcome {
    let (taken, took) = timed(takes).await;
    Outcome {
        mount: "[proxy]".to_owned(),
        kind: "origin",
        strategy: Strategy::Proxy.name(),
        sign_in: None,
        root: None,
        list: None,
        quota: None,
        link: taken.is_ok().then_some(took),
        redirect_refused: None,
        failures: taken.err().iter().map(ToString::to_string).collect(),
    }
}

async fn resolve(
    outcome: &mut Outcome,
    mount: &Mount,
    drive: &dyn Drive,
    file: &Entry,
    refused: impl AsyncFn(&Link) -> Option<String>,
) {
    match timed(drive.link(file, LinkWish::default())).await {
        (Ok(link), took) => {
            outcome.link = Some(took);
            let redirects = |strategy| strategy == Strategy::Redirect;
            let rules = mount.delivery.clients.iter().map(|rule| rule.strategy);
            // An empty file has no byte to ask for.
            if file.size != Some(0) && rules.chain([mount.delivery.strategy]).any(redirects) {
                outcome.redirect_refused = match &mount.delivery.outbound {
                    // The probe could go neither the client's way nor the link's.
                    Some(outbound) => Some(format!(
                        "a redirect would be refused: links are made for the address of {outbound}, and 123pan may refuse them to a client elsewhere; set strategy = \"auto\" or \"proxy\"."
                    )),
                    None => refused(&link).await,
                };
            }
        }
        (Err(error), _) => outcome.failures.push(failed("link", &error)),
    }
}

async fn timed<T>(step: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = step.await;
    (result, start.elapsed())
}

/// The members on the first pages, and whether these are all.
async fn first_pages(drive: &dyn Drive, folder: Id, pages: usize) -> Result<(Vec<Entry>, bool), Error> {
    let mut lister = drive.list(folder);
    let mut members = Vec::new();
    for _ in 0..pages {
        let Some(page) = lister.next().await? else {
            return Ok((members, true));
        };
        if page.restarted {
            members.clear();
        }
        members.extend(page.entries);
    }
    // A full last page may have been the end.
    Ok((members, false))
}

/// A file among the members or one level below, best one that has bytes.
async fn a_file(drive: &dyn Drive, mut members: Vec<Entry>) -> Result<Option<Entry>, Error> {
    if let Some(file) = best_file(&members) {
        return Ok(Some(members.swap_remove(file)));
    }
    for folder in members.iter().filter(|entry| entry.is_folder()).take(FOLDERS) {
        let (mut below, _) = first_pages(drive, folder.id, 1).await?;
        if let Some(file) = best_file(&below) {
            return Ok(Some(below.swap_remove(file)));
        }
    }
    Ok(None)
}

fn best_file(members: &[Entry]) -> Option<usize> {
    let with_bytes = members
        .iter()
        .position(|entry| !entry.is_folder() && entry.size != Some(0));
    with_bytes.or_else(|| members.iter().position(|entry| !entry.is_folder()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Access, Delivery, Endpoints, Share, Source};
    use crate::drive::{Capability, DriveFuture, Kind, Lister, Page};
    use std::collections::VecDeque;
    use std::time::SystemTime;

    /// A root of 1 folder and `files` files, in pages of two; the folder holds one file.
    #[derive(Debug, Default)]
    struct Small {
        files: i64,
        restarts: bool,
        fails_at: &'static str,
    }

    impl Small {
        fn fail<T>(&self, step: &str, value: T) -> Result<T, Error> {
            let error = || Error::new(ErrorKind::Forbidden, format!("No {step} today."));
            if self.fails_at == step {
                Err(error())
            } else {
                Ok(value)
            }
        }
    }

    struct Pages(VecDeque<Result<Page, Error>>);

    impl Lister for Pages {
        fn next(&mut self) -> DriveFuture<'_, Option<Page>> {
            let page = self.0.pop_front().transpose();
            Box::pin(async { page })
        }
    }

    fn entry(id: i64, kind: Kind) -> Entry {
        Entry {
            id: Id(id),
            name: format!("{id}").into(),
            kind,
            size: Some(5),
            modified: 0,
            created: 0,
            md5: None,
            locator: "".into(),
        }
    }

    impl Drive for Small {
        fn capability(&self) -> Capability {
            Capability {
                write: false,
                quota: true,
            }
        }
        fn root(&self) -> Id {
            Id(0)
        }
        fn list(&self, folder: Id) -> Box<dyn Lister> {
            let mut members = vec![entry(1, Kind::Folder)];
            members.extend((10..10 + self.files).map(|id| entry(id, Kind::File)));
            if folder != Id(0) {
                members = vec![entry(7, Kind::File)];
            }
            let pages = members.chunks(2).map(|chunk| Page {
                entries: chunk.to_vec(),
                restarted: false,
            });
            let mut pages: VecDeque<_> = pages.map(|page| self.fail("list", page)).collect();
            if self.restarts {
                pages.push_back(Ok(Page {
                    entries: vec![entry(10, Kind::File)],
                    restarted: true,
                }));
            }
            Box::new(Pages(pages))
        }
        fn link<'a>(&'a self, _: &'a Entry, _: LinkWish) -> DriveFuture<'a, Link> {
            Box::pin(async {
                let url = "https://cdn/x?sign=1".to_owned().into();
                self.fail(
                    "link",
                    Link {
                        url,
                        until: SystemTime::now(),
                        referers: vec![],
                        headers: Vec::new(),
                        open_to_all: false,
                    },
                )
            })
        }
        fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
            Box::pin(async { self.fail("quota", Some(Quota { used: 1, total: None })) })
        }
        fn sign_in(&self) -> DriveFuture<'_, ()> {
            Box::pin(async { self.fail("sign-in", ()) })
        }
    }

    fn mount(strategy: Strategy) -> Mount {
        Mount {
            path: "/s".into(),
            source: Source::Share(Share {
                key: "k".into(),
                password: None,
                root_id: 0,
                account: None,
                endpoints: Endpoints::default(),
            }),
            access: Access::ReadOnly,
            delivery: Delivery {
                strategy,
                ..Delivery::default()
            },
        }
    }

    async fn outcome(drive: Small, strategy: Strategy) -> Outcome {
        examine(&mount(strategy), &drive, async |_: &Link| {
            Some("The CDN wants a Referer.".into())
        })
        .await
    }

    #[tokio::test]
    async fn the_root_is_counted_up_to_a_bound_and_anew_after_a_restart() {
        let root = |drive| async { outcome(drive, Strategy::Proxy).await.root.unwrap() };
        assert_eq!(
            root(Small {
                files: 3,
                ..Small::default()
            })
            .await,
            Root {
                entries: 4,
                whole: true
            }
        );
        assert_eq!(
            root(Small {
                files: 99,
                ..Small::default()
            })
            .await,
            Root {
                entries: 20,
                whole: false
            }
        );
        let restarting = Small {
            files: 3,
            restarts: true,
            ..Small::default()
        };
        assert_eq!(
            root(restarting).await,
            Root {
                entries: 1,
                whole: true
            }
        );
    }

    #[tokio::test]
    async fn a_link_is_resolved_for_a_file_in_the_root_or_one_level_below() {
        for files in [0, 2] {
            let outcome = outcome(
                Small {
                    files,
                    ..Small::default()
                },
                Strategy::Redirect,
            )
            .await;
            assert!(outcome.link.is_some() && outcome.failures.is_empty());
            assert_eq!(
                outcome.redirect_refused.as_deref(),
                Some("The CDN wants a Referer.")
            );
        }
        let outcome = outcome(Small::default(), Strategy::Proxy).await;
        assert_eq!(
            outcome.redirect_refused, None,
            "who does not redirect is not told"
        );
    }

    #[tokio::test]
    async fn each_step_that_fails_is_named() {
        for step in ["sign-in", "quota", "list", "link"] {
            let outcome = outcome(
                Small {
                    files: 1,
                    fails_at: step,
                    ..Small::default()
                },
                Strategy::Auto,
            )
            .await;
            assert_eq!(outcome.failures, [format!("{step}: No {step} today.")]);
        }
    }
}
