//! The gate under a clock that only moves when everybody sleeps.

#![allow(clippy::unwrap_used)]

use super::super::urgency::in_background;
use super::*;

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

type Order = Arc<Mutex<Vec<(usize, Duration)>>>;

/// Passes in a task of its own and notes when.
fn passing(gate: &Arc<Gate>, order: &Order, n: usize, start: Instant) -> tokio::task::JoinHandle<()> {
    let (gate, order) = (Arc::clone(gate), Arc::clone(order));
    tokio::spawn(async move {
        gate.pass(far()).await.unwrap();
        order.lock().unwrap().push((n, start.elapsed()));
    })
}

#[tokio::test(start_paused = true)]
async fn ten_calls_take_nine_intervals_and_go_in_order() {
    let gate = Gates::new(1.0).gate("file/list/new");
    let (order, start) = (Order::default(), Instant::now());
    let tasks: Vec<_> = (0..10).map(|n| passing(&gate, &order, n, start)).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().unwrap();
    for (place, (n, at)) in order.iter().enumerate() {
        assert_eq!(place, *n);
        let due = INTERVAL * u32::try_from(place).unwrap();
        assert!(*at >= due && *at < due + Duration::from_millis(20), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_holds_up_those_who_wait_already() {
    let gate = Gates::new(1.0).gate("x");
    gate.pass(far()).await.unwrap();
    let start = Instant::now();
    let other = passing(&gate, &Order::default(), 0, start);
    tokio::task::yield_now().await;
    gate.push(Duration::from_secs(10));
    other.await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_turned_away_at_once() {
    let gate = Gates::new(1.0).gate("x");
    gate.push(Duration::from_secs(30));
    let start = Instant::now();
    let wait = gate.pass(start + Duration::from_secs(5)).await.unwrap_err();
    assert!(wait >= Duration::from_secs(29));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_higher_rate_makes_shorter_intervals_and_a_cancelled_waiter_wastes_none() {
    for background in [false, true] {
        let gate = Gates::new(100.0).gate("x");
        gate.pass(far()).await.unwrap();
        let start = Instant::now();
        let leaving = async {
            let gone = tokio::time::timeout(Duration::from_millis(1), gate.pass(far())).await;
            assert!(gone.is_err());
        };
        match background {
            true => in_background(leaving).await,
            false => leaving.await,
        }
        gate.pass(far()).await.unwrap();
        assert!(start.elapsed() <= Duration::from_millis(9));
        let standing = gate.standing();
        assert_eq!((standing.waiting, standing.behind), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_in_the_background_goes_when_nobody_else_waits() {
    let gate = Gates::new(1.0).gate("x");
    gate.pass(far()).await.unwrap();
    let (order, start) = (Order::default(), Instant::now());
    let mut tasks = Vec::new();
    for n in 0..3 {
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        tasks.push(tokio::spawn(in_background(async move {
            gate.pass(far()).await.unwrap();
            order.lock().unwrap().push((10 + n, start.elapsed()));
        })));
    }
    tokio::task::yield_now().await;
    // They come later and go first, also one who comes while the first in the background sleeps.
    tasks.push(passing(&gate, &order, 0, start));
    tasks.push(passing(&gate, &order, 1, start));
    sleep(INTERVAL * 5 / 2).await;
    tasks.push(passing(&gate, &order, 2, start));
    for task in tasks {
        task.await.unwrap();
    }
    let order: Vec<_> = order.lock().unwrap().iter().map(|(n, _)| *n).collect();
    assert_eq!(order, [0, 1, 2, 10, 11, 12]);
    let waited = start.elapsed();
    assert!(waited >= INTERVAL * 6 && waited < INTERVAL * 6 + Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn background_work_gives_up_in_the_end() {
    let gate = Gates::new(1.0).gate("x");
    let busy = Arc::clone(&gate);
    let others: Vec<_> = (0..2)
        .map(|_| {
            let busy = Arc::clone(&busy);
            tokio::spawn(async move { while busy.pass(far()).await.is_ok() {} })
        })
        .collect();
    tokio::task::yield_now().await;
    let start = Instant::now();
    in_background(async {
        let refused = gate.pass(start + Duration::from_secs(60)).await;
        assert!(refused.is_err());
    })
    .await;
    assert!(start.elapsed() >= Duration::from_secs(60) && start.elapsed() < Duration::from_secs(62));
    others.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn background_work_that_somebody_joins_goes_in_turn() {
    let gate = Gates::new(1.0).gate("x");
    gate.pass(far()).await.unwrap();
    let (order, start) = (Order::default(), Instant::now());
    let (tell, told) = tokio::sync::oneshot::channel();
    let behind = tokio::spawn(in_background({
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        async move {
            tell.send(Urgency::current()).unwrap();
            gate.pass(far()).await.unwrap();
            order.lock().unwrap().push((10, start.elapsed()));
        }
    }));
    let urgency = told.await.unwrap();
    let first = passing(&gate, &order, 0, start);
    tokio::task::yield_now().await;
    urgency.joined();
    tokio::task::yield_now().await;
    let last = passing(&gate, &order, 1, start);
    for task in [behind, first, last] {
        task.await.unwrap();
    }
    let order: Vec<_> = order.lock().unwrap().iter().map(|(n, _)| *n).collect();
    assert_eq!(order, [0, 10, 1]);
}

#[tokio::test(start_paused = true)]
async fn abandoned_work_leaves_the_queue_and_costs_no_slot() {
    let gate = Gates::new(1.0).gate("x");
    gate.pass(far()).await.unwrap();
    let start = Instant::now();
    let work = Urgency::of_its_own();
    let waiting = tokio::spawn(work.clone().scope({
        let gate = Arc::clone(&gate);
        async move { gate.pass(far()).await.is_err() }
    }));
    let behind = passing(&gate, &Order::default(), 0, start);
    tokio::task::yield_now().await;
    work.abandon();
    assert!(waiting.await.unwrap());
    behind.await.unwrap();
    assert!(start.elapsed() < INTERVAL * 3 / 2);
}

#[tokio::test(start_paused = true)]
async fn too_fast_halves_the_speed_once_and_answers_bring_it_back_step_by_step() {
    let gate = Gates::new(1.0).gate("x");
    let first = gate.pass(far()).await.unwrap();
    let second = gate.pass(far()).await.unwrap();
    // Both were under way: they say the same thing.
    gate.slow(first, Duration::from_secs(2));
    gate.slow(second, Duration::from_secs(2));
    gate.answered(second);
    assert_eq!(gate.standing().interval, INTERVAL * 2);
    let begun = Instant::now();
    let mut last = gate.pass(far()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2), "shut for the pause");
    let mut interval = gate.standing().interval;
    let mut steps = 0;
    while gate.standing().interval > INTERVAL {
        gate.answered(last);
        let now = gate.standing().interval;
        assert!(now < interval && now >= INTERVAL);
        let at = Instant::now();
        last = gate.pass(far()).await.unwrap();
        assert!(at.elapsed() >= INTERVAL);
        (interval, steps) = (now, steps + 1);
    }
    assert_eq!(steps, FULL / 2);
    gate.answered(last);
    assert_eq!(gate.standing().interval, INTERVAL, "never faster");
    for _ in 0..20 {
        let passed = gate.pass(far()).await.unwrap();
        gate.slow(passed, Duration::ZERO);
    }
    assert_eq!(gate.standing().interval, INTERVAL * FULL, "bounded below");
}
