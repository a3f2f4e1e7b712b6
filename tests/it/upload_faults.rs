//! Each fault of 123pan at each call of an upload: the right bytes arrive, or the client is told honestly that they did not.

use dav123::sim::{Fault, FaultKind};
use futures_util::future::ready;
use futures_util::{StreamExt, stream};

use super::KIND;
use super::faults::code;
use super::write::{put, world};

/// The table of API page 2.4 as far as an upload can meet it, and answers that are none.
fn faults() -> Vec<FaultKind> {
    let mut all = vec![
        FaultKind::Drop,
        FaultKind::LoseAnswer,
        FaultKind::Truncate(7),
        FaultKind::Html,
        FaultKind::GarbageJson,
        FaultKind::Text("操作频繁".to_owned()),
        FaultKind::CorruptPart,
        FaultKind::StoresNothing,
        code("403", "123pan-global-slb forbidden client ip 192.0.2.1"),
    ];
    all.extend([404, 429, 500, 503].map(|status| FaultKind::Status(status, None)));
    let codes = [
        (1, "内部错误"),
        (1, "当前账号存在安全风险，请使用短信验证码或者微信进行登录"),
        (2, "token is expired"),
        (400, "请输入Etag"),
        (401, "access Token Invalid"),
        (429, "请求太频繁"),
        (5066, "文件不存在"),
        (5113, "本月免费流量不足，请开通会员"),
        (20101, "请登录"),
        (20103, "文件正在校验中,请间隔1秒后再试"),
    ];
    all.extend(codes.map(|(number, text)| code(number, text)));
    all
}

/// Meets a fault at each call, once and for good; how many uploads arrived all the same.
async fn meets(kind: FaultKind) -> usize {
    let mut world = world("through", |_| {}).await;
    world.members("/drive").await;
    let (mut names, mut arrived) = (Vec::new(), 0);
    for (at, times) in ["upload_request", "put_part", "upload_complete"]
        .into_iter()
        .flat_map(|at| [(at, 1), (at, u64::MAX)])
    {
        let what = format!("{at} {kind:?} {times} times");
        let path = format!("/{}.bin", names.len());
        // Three parts that nobody knows.
        let bytes: Vec<u8> = (0..150_000 + names.len()).map(|n| (n % 251) as u8).collect();
        names.push(path[1..].to_owned());
        world.fault(match times {
            1 => Fault::once(at, kind.clone()),
            _ => Fault::forever(at, kind.clone()),
        });
        let request = world.request("PUT", &format!("/drive{path}")).body(bytes.clone());
        let answer = request.send().await.unwrap();
        let (status, sentence) = (answer.status().as_u16(), answer.text().await.unwrap());
        world.cloud.clear_faults();
        let stored = world.cloud.read(&path);
        if status == 201 {
            assert!(
                stored.as_ref() == Some(&bytes),
                "{what}: said to be stored, and is not"
            );
            arrived += 1;
            continue;
        }
        let honest = (403..=507).contains(&status) && sentence.len() > 20;
        assert!(honest, "{what}: {status} {sentence}");
        assert!(stored.is_none_or(|stored| stored == bytes), "{what}: half a file");
        // When the fault is over, and calls that were halted go on: as if nothing had been.
        world.cloud.pardon();
        world.restart();
        let again = put(&world, &format!("/drive{path}"), bytes.clone()).await;
        assert!([201, 204].contains(&again), "{what}: {again} afterwards");
        assert!(world.cloud.read(&path).as_ref() == Some(&bytes), "{what}");
        assert_eq!(world.cloud.names("/").unwrap(), names, "{what}");
    }
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_each_call_ends_in_the_right_bytes_or_an_honest_error() {
    let each = stream::iter(faults()).map(meets).buffer_unordered(8);
    let arrived: usize = each.fold(0, |sum, arrived| ready(sum + arrived)).await;
    assert!(arrived > 20, "{KIND:?}: only {arrived} uploads outlived a fault");
}
