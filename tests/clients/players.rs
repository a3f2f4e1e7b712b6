//! Players: they begin, seek to the end and back.

use crate::program::{attempt, run, world_of};
use crate::world::{PASSWORD, USER, World};

fn signed_in(world: &World, path: &str) -> String {
    world
        .url(path)
        .replace("http://", &format!("http://{USER}:{PASSWORD}@"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ffprobe, ffmpeg"]
async fn ffmpeg_finds_the_index_at_the_end_and_seeks() {
    let world = world_of(super::KIND).await;
    for mount in ["redirect", "proxy", "auto"] {
        let url = signed_in(&world, &format!("/{mount}/film/clip.mp4"));
        let show = [
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            &url,
        ];
        let seconds: f64 = run("ffprobe", &show).trim().parse().unwrap();
        assert!(seconds > 10.0, "{seconds}");
        let at = format!("{}", seconds - 2.0);
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-ss",
                &at,
                "-i",
                &url,
                "-frames:v",
                "5",
                "-f",
                "null",
                "-",
            ],
        );
    }
    assert_eq!(world.calls("leaked_authorization"), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mpv"]
async fn mpv_plays_from_near_the_end() {
    let world = world_of(super::KIND).await;
    for mount in ["redirect", "proxy", "auto"] {
        let url = signed_in(&world, &format!("/{mount}/film/clip.mp4"));
        let quiet = [
            "--no-config",
            "--vo=null",
            "--ao=null",
            "--no-terminal",
            "--start=-2",
        ];
        let output = attempt("mpv", &[&quiet[..], &[&url]].concat(), b"");
        assert!(output.status.success(), "{mount}: {}", world.server.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ffprobe"]
async fn a_library_that_probes_a_film_again_costs_no_read() {
    let world = world_of(super::KIND).await;
    let url = signed_in(&world, "/proxy/film/clip.mp4");
    let probe = || run("ffprobe", &["-v", "error", "-show_format", "-show_streams", &url]);
    let first = probe();
    let calls = world.calls("cdn");
    assert!(calls > 0);
    for _ in 0..3 {
        assert_eq!(probe(), first);
    }
    assert_eq!(world.calls("cdn"), calls);
}
