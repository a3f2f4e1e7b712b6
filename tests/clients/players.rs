//! Players: they begin, seek to the end and back.

use crate::program::{attempt, run, world};
use crate::world::{PASSWORD, USER, World};

fn signed_in(world: &World, path: &str) -> String {
    world
        .url(path)
        .replace("http://", &format!("http://{USER}:{PASSWORD}@"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ffprobe, ffmpeg"]
async fn ffmpeg_finds_the_index_at_the_end_and_seeks() {
    let world = world().await;
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
    let world = world().await;
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
