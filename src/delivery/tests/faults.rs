//! Random ranges of random files over a CDN that does anything, by one connection and by many, with and without
//! memory: what comes is the file, or a part of it and then an error.

use std::sync::LazyLock;

use futures_util::StreamExt;
use futures_util::future::join_all;

use super::*;

/// Impatient, so that a run is short.
const LIMITS: Limits = Limits {
    stall: Duration::from_millis(40),
    resumes: 3,
    pause: Duration::from_millis(1),
    outage: Duration::ZERO,
    slow: Duration::from_millis(10),
    follow: Duration::from_millis(50),
    part: 2048,
};
const LARGEST: usize = 150_000;

/// The file of every size, and the other one.
static FILES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let file = bytes(LARGEST);
    let other = file.iter().map(|byte| !byte).collect();
    [file, other]
});

fn act(random: &mut fastrand::Rng) -> Act {
    let most = random.usize(1..40_000);
    let some = random.usize(..most);
    match random.u8(..24) {
        0..=3 => Act::Cut(some),
        4..=5 => Act::Reset(some),
        6..=7 => Act::Stall(some),
        8 => Act::Trickle(500 + some),
        9 => Act::IgnoreRange,
        10 => Act::Say(503, "text/plain", "ill"),
        11..=12 => Act::Say(403, "text/plain", "no"),
        13 => Act::Say(200, "text/html", "<html>no</html>"),
        14 => Act::Say(200, "application/json", r#"{"code":1010,"message":"realc"}"#),
        15 => Act::Say(206, "text/plain", "no range"),
        16 => Act::To("/elsewhere"),
        17 => Act::Referer("r"),
        18 => Act::Changed("\"other\""),
        _ => Act::Serve,
    }
}

fn range(random: &mut fastrand::Rng, size: usize) -> String {
    let first = random.usize(..size);
    match random.u8(..4) {
        0 => format!("-{}", random.usize(1..=size)),
        1 => format!("{first}-"),
        2 => format!("{first}-{}", first + random.usize(..2000)),
        _ => format!("{first}-{}", random.usize(first..size)),
    }
}

/// The body that an answer must have, from one of the files.
fn expected(head: &http::response::Parts, asked: &str, file: &[u8]) -> Vec<u8> {
    let text = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let slice = |range: &str| {
        let (first, last) = range.split_once('-').unwrap();
        file[first.parse().unwrap()..=last.parse().unwrap()].to_vec()
    };
    if head.status == 200 {
        return file.to_vec();
    }
    assert_eq!(head.status, 206);
    if let Some(range) = text("content-range").strip_prefix("bytes ") {
        return slice(range.split_once('/').unwrap().0);
    }
    let boundary = text("content-type").split_once("boundary=").unwrap().1;
    let size = file.len() as u64;
    let specs = asked.strip_prefix("bytes=").unwrap().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap();
        match (first, last) {
            ("", n) => Spec::Suffix(n.parse().unwrap()),
            (first, last) => Spec::From(first.parse().unwrap(), last.parse().ok()),
        }
    });
    let specs: Vec<Spec> = specs.collect();
    let Wanted::Parts(ranges) = range::wanted(&specs, size) else {
        panic!("no parts: {asked}")
    };
    let mut body = Vec::new();
    for (n, range) in ranges.iter().enumerate() {
        let line = if n == 0 { "" } else { "\r\n" };
        let content_range = range.content_range(size);
        body.extend_from_slice(
            format!("{line}--{boundary}\r\nContent-Type: video/x-matroska\r\nContent-Range: {content_range}\r\n\r\n")
                .as_bytes(),
        );
        body.extend_from_slice(&file[range.first as usize..=range.last as usize]);
    }
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}

/// One client; true if it got all.
async fn client(world: &World, mut random: fastrand::Rng) -> Result<bool, String> {
    let size = world.resource.entry.size.unwrap() as usize;
    let ranges: Vec<String> = (0..random.usize(1..5))
        .map(|_| range(&mut random, size))
        .collect();
    let asked = match random.u8(..6) {
        0 => String::new(),
        1..=3 => format!("bytes={}", ranges[0]),
        _ => format!("bytes={}", ranges.join(",")),
    };
    let headers = [("range", asked.as_str())];
    let headers = if asked.is_empty() {
        &headers[..0]
    } else {
        &headers[..]
    };
    let Ok(response) = world.ask("GET", headers).await else {
        return Ok(false);
    };
    let (head, mut body) = response.into_parts();
    let leaves_after = if random.u8(..6) == 0 {
        random.usize(..size)
    } else {
        usize::MAX
    };
    let mut got = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            whole = false;
            break;
        };
        got.extend_from_slice(&frame.into_data().unwrap());
        if got.len() > leaves_after {
            whole = false;
            break;
        }
        if random.u8(..20) == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    let right = |file: &Vec<u8>| {
        let expected = expected(&head, &asked, &file[..size]);
        expected.starts_with(&got) && (!whole || expected.len() == got.len())
    };
    if FILES.iter().any(right) {
        Ok(whole)
    } else {
        Err(format!(
            "{asked:?} {:?} got {} bytes, whole: {whole}",
            head.status,
            got.len()
        ))
    }
}

/// One run: how many clients there were, how many got all, and how many connections the CDN had at once.
async fn run(cdn: Arc<Cdn>, seed: u64) -> Result<(usize, usize, usize), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let size = random.usize(1..LARGEST);
    let script: Vec<Act> = (0..random.usize(..12)).map(|_| act(&mut random)).collect();
    let connections = [1, 2, 4, 16][random.usize(..4)];
    let window = random.u64(1..400_000);
    let blocks = [0, 20_000, 200_000, 64 << 20][random.usize(..4)];
    let mut world = World::over(
        Engine::over(Cdns::over(cdn), LIMITS, blocks, Arc::default()),
        size,
        script.clone(),
    )
    .await
    .delivery(|delivery| {
        delivery.proxy_connections = connections;
        delivery.proxy_window = window;
    });
    if random.bool() {
        world = world.link(|link| link.referers = vec!["q".to_owned(), "r".to_owned()]);
    }
    world.cdn.tag("\"same\"");
    let (mut clients, mut whole) = (0, 0);
    for _ in 0..2 {
        let together = (0..random.usize(1..4)).map(|_| client(&world, random.fork()));
        for got in join_all(together).await {
            let got = got.map_err(|why| {
                format!("seed {seed}: {why}; {size} bytes, {connections} connections, window {window}, memory {blocks}, {script:?}")
            })?;
            clients += 1;
            whole += usize::from(got);
        }
    }
    Ok((clients, whole, world.cdn.connections_at_once()))
}

fn runs(seeds: std::ops::Range<u64>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cdn = Arc::new(Cdn::new(Duration::from_millis(300), None).unwrap());
        let runs = seeds.map(|seed| tokio::spawn(run(Arc::clone(&cdn), seed)));
        let mut runs = futures_util::stream::iter(runs).buffer_unordered(24);
        let (mut count, mut clients, mut whole, mut several, mut many) = (0, 0, 0, 0, 0);
        while let Some(counts) = runs.next().await {
            let (more, better, connections) = counts.unwrap().unwrap();
            count += 1;
            clients += more;
            whole += better;
            several += usize::from(connections >= 4);
            many += usize::from(connections >= 12);
        }
        // Else nothing was tried.
        assert!(whole * 2 > clients, "{whole} of {clients} downloads came whole");
        assert!(
            several * 4 > count && many * 20 > count,
            "of {count} runs {several} had four connections and more, {many} twelve"
        );
    });
}

#[test]
fn no_fault_ever_gives_a_wrong_byte() {
    runs(0..300);
}

#[test]
#[ignore = "takes a minute or two"]
fn no_fault_ever_gives_a_wrong_byte_in_ten_thousand_runs() {
    runs(1000..11_000);
}
