//! The link cache: a link is asked once for all who want it, and used until shortly before it dies. One that is used
//! close to that moment is renewed in the background, so that the next who comes need not wait for 123pan.
//!
//! The key holds id, MD5 and size, because an overwrite at 123pan keeps the id. A link that is too short for a client's
//! wish is replaced if it was asked with a lesser wish: direct links live as long as is wished, others as 123pan says. A link that the CDN refused is
//! dropped and replaced once; who comes with an older refused link gets the newer one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Mount;
use super::flight::{Flights, lock};
use super::told::Hits;
use crate::drive::{Entry, Error, Id, Link, LinkWish, in_background};
use crate::metrics::OfMount;

/// Links kept at the most; about 1 KiB each.
const BOUND: usize = 4096;

/// A link is not used in its last five minutes (API page 5.8), or in the last fifth of a short life.
const MARGIN: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    store: usize,
    id: Id,
    md5: Option<[u8; 16]>,
    size: Option<u64>,
}

impl Key {
    fn of(mount: &Mount, file: &Entry) -> Self {
        Self {
            store: mount.store,
            id: file.id,
            md5: file.md5,
            size: file.size,
        }
    }
}

#[derive(Debug)]
struct Kept {
    link: Arc<Link>,
    usable_until: SystemTime,
    /// Who uses it from then on has it renewed in the background, once.
    due: Option<SystemTime>,
    /// The life that was wished for when it was asked: a longer wish is worth asking again.
    wished: Duration,
    /// Half of the life is over then: a wish that was not met is worth asking again.
    half: SystemTime,
    used: u64,
}

#[derive(Debug)]
pub(super) struct Links {
    kept: Arc<Mutex<Table>>,
    /// By wish too, so that who wishes for a long life does not get a call made for a short one.
    flights: Arc<Flights<(Key, Duration), Arc<Link>>>,
    /// Counts the calls, once it is told where.
    pub(super) calls: OnceLock<Family<OfMount, Counter>>,
    /// How often a link was at hand.
    pub(super) hits: Hits,
}

#[derive(Debug, Default)]
struct Table {
    links: HashMap<Key, Kept, RandomState>,
    clock: u64,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            kept: Arc::default(),
            flights: Arc::new(Flights::while_wanted()),
            calls: OnceLock::new(),
            hits: Hits::default(),
        }
    }
}

impl Links {
    /// A link that lives and will live long enough.
    pub(super) fn at_hand(
        &self,
        mount: &Arc<Mount>,
        file: &Arc<Entry>,
        at_least: Duration,
    ) -> Option<Arc<Link>> {
        let key = Key::of(mount, file);
        let (link, due) = lock(&self.kept).usable(&key, at_least)?;
        self.hits.count(true);
        if let Some(wished) = due {
            let wish = LinkWish {
                at_least: wished,
                refused: None,
            };
            // A failure is not told: the link is good yet, and asked for again when it is not. Who needs one before this one
            // is here waits for it.
            let (flights, asking) = (self.flights.clone(), self.ask(mount, file, key.clone(), wish));
            tokio::spawn(in_background(async move {
                let _ = flights.join((key, wished), || None, || asking).await;
            }));
        }
        Some(link)
    }

    pub(super) async fn get(
        &self,
        mount: &Arc<Mount>,
        file: &Arc<Entry>,
        wish: LinkWish,
    ) -> Result<Arc<Link>, Error> {
        if let Some(refused) = &wish.refused {
            lock(&self.kept).drop_refused(refused);
        }
        let (key, at_least) = (Key::of(mount, file), wish.at_least);
        self.flights
            .join(
                (key.clone(), at_least),
                || self.at_hand(mount, file, at_least),
                || {
                    self.hits.count(false);
                    self.ask(mount, file, key, wish)
                },
            )
            .await
    }

    /// Asks 123pan for a link and keeps it.
    fn ask(
        &self,
        mount: &Arc<Mount>,
        file: &Arc<Entry>,
        key: Key,
        wish: LinkWish,
    ) -> impl Future<Output = Result<Arc<Link>, Error>> + Send + 'static {
        let calls = self.calls.get().cloned();
        let (mount, file, kept) = (mount.clone(), file.clone(), self.kept.clone());
        async move {
            if let Some(calls) = calls {
                let mount = mount.settings.path.clone();
                calls.get_or_create(&OfMount { mount }).inc();
            }
            let wished = wish.at_least;
            let link = Arc::new(mount.drive.link(&file, wish).await?);
            lock(&kept).keep(key, link.clone(), wished);
            Ok(link)
        }
    }

    /// Links kept now.
    pub(super) fn len(&self) -> usize {
        lock(&self.kept).links.len()
    }
}

impl Table {
    /// A link that lives, and the wish with which to renew it where that is due.
    fn usable(&mut self, key: &Key, at_least: Duration) -> Option<(Arc<Link>, Option<Duration>)> {
        let now = SystemTime::now();
        self.clock += 1;
        let kept = self.links.get_mut(key)?;
        if kept.usable_until <= now {
            self.links.remove(key);
            return None;
        }
        let too_short = kept.link.until < now + at_least;
        if too_short && (kept.wished < at_least || kept.half <= now) {
            return None;
        }
        kept.used = self.clock;
        let due = kept.due.take_if(|due| *due <= now).map(|_| kept.wished);
        Some((kept.link.clone(), due))
    }

    fn keep(&mut self, key: Key, link: Arc<Link>, wished: Duration) {
        let now = SystemTime::now();
        let life = link.until.duration_since(now).unwrap_or_default();
        let margin = MARGIN.min(life / 5);
        let usable_until = link.until - margin;
        if usable_until <= now {
            return;
        }
        // What a longer wish has brought meanwhile stays.
        if let Some(old) = self.links.get(&key)
            && old.wished > wished
            && old.link.until >= link.until
        {
            return;
        }
        // Not again where 123pan gave the same link, or one that hardly lives longer.
        let gained = |old: &Kept| link.until > old.link.until + margin;
        let due = self.links.get(&key).is_none_or(gained);
        let due = due.then(|| usable_until - margin);
        if self.links.len() >= BOUND
            && let Some(oldest) = self
                .links
                .iter()
                .min_by_key(|(_, kept)| kept.used)
                .map(|(key, _)| key.clone())
        {
            self.links.remove(&oldest);
        }
        self.clock += 1;
        self.links.insert(
            key,
            Kept {
                link,
                usable_until,
                due,
                wished,
                half: now + life / 2,
                used: self.clock,
            },
        );
    }

    fn drop_refused(&mut self, refused: &Arc<Link>) {
        self.links
            .retain(|_, kept| kept.link.expose() != refused.expose());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: Key = Key {
        store: 0,
        id: Id(1),
        md5: None,
        size: None,
    };

    fn link(life: u64) -> Arc<Link> {
        Arc::new(Link {
            url: format!("https://cdn/{life}").into(),
            until: SystemTime::now() + Duration::from_secs(life),
            referers: Vec::new(),
            headers: Vec::new(),
            open_to_all: false,
        })
    }

    #[test]
    fn a_link_is_renewed_once_unless_the_new_one_lives_longer() {
        let mut table = Table::default();
        let (first, longer) = (link(3600), link(7200));
        table.keep(KEY, first.clone(), Duration::ZERO);
        let kept = table.links.get_mut(&KEY).unwrap();
        assert_eq!(kept.due, Some(first.until - 2 * MARGIN));
        kept.due = Some(SystemTime::now());
        let due = |table: &mut Table| table.usable(&KEY, Duration::ZERO).unwrap().1;
        assert_eq!((due(&mut table), due(&mut table)), (Some(Duration::ZERO), None));
        table.keep(KEY, first, Duration::ZERO);
        assert_eq!(table.links[&KEY].due, None, "the same link again");
        table.keep(KEY, longer.clone(), Duration::ZERO);
        assert_eq!(table.links[&KEY].due, Some(longer.until - 2 * MARGIN));
    }

    #[test]
    fn a_shorter_link_does_not_take_the_place_of_one_that_was_wished_to_be_longer() {
        let mut table = Table::default();
        table.keep(KEY, link(7200), Duration::from_secs(7000));
        table.keep(KEY, link(3600), Duration::ZERO);
        let (kept, _) = table.usable(&KEY, Duration::from_secs(7000)).unwrap();
        assert_eq!(kept.expose(), "https://cdn/7200");
    }
}
