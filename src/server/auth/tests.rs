//! Signing in by Basic and by Digest, and being slowed down.

use super::*;
use std::net::Ipv4Addr;

use tokio::time::Instant;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn user(name: &str, password: Password) -> User {
    User {
        name: name.into(),
        password,
        root: "/drive".into(),
        access: Access::ReadOnly,
    }
}

fn auth(password: Password) -> Auth {
    Auth::new(&[user("me", password)], None).unwrap()
}

fn slow_hash(password: &str) -> Password {
    use argon2::password_hash::PasswordHasher;
    // As cheap as can be: tests are not optimised.
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    let hash = argon2.hash_password(password.as_bytes()).unwrap();
    Password::Hash(hash.to_string().into())
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// The challenges as text.
fn texts(auth: &Auth, ask: Ask, tls: bool) -> Vec<String> {
    let challenges = auth.challenges(ask, tls);
    challenges
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

/// A value that a challenge has for a name, without quotes.
fn value<'a>(challenge: &'a str, name: &str) -> &'a str {
    let (_, rest) = challenge.split_once(&format!("{name}=")).unwrap();
    rest.split(',').next().unwrap().trim_matches('"')
}

/// A client that signs in by Digest.
struct Client {
    nonce: String,
    algorithm: Algorithm,
    name: &'static str,
    /// The name as it is hashed.
    hashed: &'static str,
    password: &'static str,
    uri: &'static str,
}

impl Client {
    fn new(auth: &Auth, algorithm: Algorithm) -> Self {
        let challenges = texts(auth, Ask::All, false);
        // A nonce serves either hash.
        let ours = challenges.iter().find(|text| text.starts_with("Digest "));
        Self {
            nonce: value(ours.unwrap(), "nonce").to_owned(),
            algorithm,
            name: "me",
            hashed: "me",
            password: "secret",
            uri: "/a%20b?c",
        }
    }

    fn headers(&self, count: u32) -> HeaderMap {
        let Self {
            nonce,
            algorithm,
            name,
            uri,
            ..
        } = self;
        let ha1 = algorithm.ha1(self.hashed, REALM, &self.password.into());
        let ha2 = algorithm.hash(&format!("GET:{uri}"));
        let text = format!("{}:{nonce}:{count:08x}:0a4f113b:auth:{ha2}", ha1.expose_secret());
        let response = algorithm.hash(&text);
        let value = format!(
            "Digest username=\"{name}\", realm=\"dav123\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={}, \
             response=\"{response}\", qop=auth, nc={count:08x}, cnonce=\"0a4f113b\"",
            algorithm.name()
        );
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }
}

async fn sign_in(auth: &Auth, headers: &HeaderMap, peer: IpAddr) -> Result<Principal, Refused> {
    let asked = Asked {
        method: &Method::GET,
        uri: &"/a%20b?c".parse().unwrap(),
        headers,
        peer,
    };
    auth.sign_in(asked).await
}

fn headers(pair: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        format!("Basic {}", STANDARD.encode(pair)).parse().unwrap(),
    );
    headers
}

#[tokio::test(start_paused = true)]
async fn a_right_password_signs_in_and_a_wrong_one_does_not() {
    let auth = auth(Password::Plain("se:cret".into()));
    let me = sign_in(&auth, &headers("me:se:cret"), PEER).await.unwrap();
    assert_eq!(me.root.to_string(), "/drive");
    assert!(sign_in(&auth, &headers("DOMAIN\\me:se:cret"), PEER).await.is_ok());
    for wrong in ["me:", "me:se", "me:se:cret ", "you:se:cret", ":se:cret", "me"] {
        assert_eq!(
            sign_in(&auth, &headers(wrong), PEER).await,
            Err(Refused::Unknown(Ask::All)),
            "{wrong}"
        );
    }
    assert_eq!(
        sign_in(&auth, &HeaderMap::new(), PEER).await,
        Err(Refused::Unknown(Ask::All))
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_sign_ins_are_slowed_down_per_address_and_known_ones_are_not() {
    let auth = auth(Password::Plain("right".into()));
    sign_in(&auth, &headers("me:right"), PEER).await.unwrap();
    let begun = Instant::now();
    for _ in 0..6 {
        let _ = sign_in(&auth, &headers("me:wrong"), PEER).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    let begun = Instant::now();
    sign_in(&auth, &headers("me:right"), PEER).await.unwrap();
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));
    let _ = sign_in(&auth, &headers("me:wrong"), other).await;
    assert!(begun.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn many_attempts_at_once_are_refused_without_a_look() {
    let auth = Arc::new(auth(Password::Plain("right".into())));
    let mut attempts = tokio::task::JoinSet::new();
    for n in 0..200 {
        let auth = auth.clone();
        attempts.spawn(async move { sign_in(&auth, &headers(&format!("me:{n}")), PEER).await });
    }
    let answers = attempts.join_all().await;
    // Though nobody had been wrong before.
    let refused = answers.iter().filter(|a| matches!(a, Err(Refused::TooMany(_))));
    assert!(refused.count() > 150);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_begins_with_many_right_requests_at_once_hardly_waits() {
    let auth = Arc::new(auth(slow_hash("right")));
    let begun = Instant::now();
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let auth = auth.clone();
        attempts.spawn(async move { sign_in(&auth, &headers("me:right"), PEER).await });
    }
    let answers = attempts.join_all().await;
    let wrong: Vec<_> = answers.iter().filter(|answer| answer.is_err()).collect();
    assert!(wrong.is_empty(), "{}: {:?}", wrong.len(), wrong[0]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn digest_signs_in_with_a_password_and_with_its_hash() {
    let secret: SecretString = "secret".into();
    for algorithm in Algorithm::ALL {
        let ha1 = Password::Ha1(algorithm, algorithm.ha1("me", REALM, &secret));
        for password in [Password::Plain(secret.clone()), ha1] {
            let auth = auth(password.clone());
            let mut client = Client::new(&auth, algorithm);
            for count in 1..4 {
                let me = sign_in(&auth, &client.headers(count), PEER).await.unwrap();
                assert_eq!(&*me.name, "me");
            }
            // Basic goes on beside it.
            assert!(sign_in(&auth, &headers("me:secret"), PEER).await.is_ok());
            assert!(sign_in(&auth, &headers("me:Secret"), PEER).await.is_err());
            client.password = "Secret";
            assert_eq!(
                sign_in(&auth, &client.headers(9), PEER).await,
                Err(Refused::Unknown(Ask::All))
            );
            client.password = "secret";
            // Another path: somebody between has changed the request.
            client.uri = "/other";
            let refused = sign_in(&auth, &client.headers(10), PEER).await;
            assert_eq!(refused, Err(Refused::Unknown(Ask::Basic)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_with_a_domain_is_hashed_in_three_ways() {
    let auth = auth(Password::Plain("secret".into()));
    let mut client = Client::new(&auth, Algorithm::Md5);
    let forms = [
        (r"PC\\me", r"PC\me"),
        (r"PC\\me", r"PC\\me"),
        (r"PC\me", r"PC\me"),
        (r"PC\me", "me"),
    ];
    for (count, (name, hashed)) in (1..).zip(forms) {
        (client.name, client.hashed) = (name, hashed);
        let me = sign_in(&auth, &client.headers(count), PEER).await;
        assert!(me.is_ok(), "{name} {hashed}");
    }
    (client.name, client.hashed) = ("you", "you");
    assert!(sign_in(&auth, &client.headers(9), PEER).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_replay_and_an_old_nonce_are_stale_and_a_new_nonce_comes_along() {
    let auth = auth(Password::Plain("secret".into()));
    let client = Client::new(&auth, Algorithm::Sha256);
    let stale = Err(Refused::Unknown(Ask::Stale));
    assert!(sign_in(&auth, &client.headers(1), PEER).await.is_ok());
    assert_eq!(sign_in(&auth, &client.headers(1), PEER).await, stale);
    assert_eq!(sign_in(&auth, &client.headers(1), address(8)).await, stale);
    assert!(sign_in(&auth, &client.headers(2), PEER).await.is_ok());
    tokio::time::advance(Duration::from_secs(3601)).await;
    assert_eq!(sign_in(&auth, &client.headers(3), PEER).await, stale);
    let challenges = texts(&auth, Ask::Stale, false);
    assert!(challenges.iter().all(|text| text.contains("stale=true")));
    assert_ne!(value(&challenges[0], "nonce"), client.nonce);
    // One that was never ours is no reason to ask the user either.
    let mut client = Client::new(&auth, Algorithm::Md5);
    assert!(sign_in(&auth, &client.headers(1), PEER).await.is_ok());
    client.nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v".into();
    assert_eq!(sign_in(&auth, &client.headers(1), PEER).await, stale);
}

#[test]
fn what_is_offered_depends_on_the_users() {
    let ha1 = |algorithm: Algorithm| Password::Ha1(algorithm, "00".into());
    let (md5, sha256) = (Algorithm::Md5, Algorithm::Sha256);
    let plain = || Password::Plain("secret".into());
    for (passwords, digests, after_wrong) in [
        (vec![plain()], vec!["MD5"], Ask::All),
        (vec![slow_hash("x")], vec![], Ask::All),
        (vec![plain(), slow_hash("x")], vec!["MD5"], Ask::Basic),
        (vec![plain(), ha1(md5)], vec!["MD5"], Ask::All),
        (vec![ha1(sha256), plain()], vec!["SHA-256"], Ask::All),
        (vec![ha1(sha256), ha1(md5)], vec!["MD5"], Ask::Basic),
        (vec![], vec![], Ask::All),
    ] {
        let users: Vec<User> = (0..)
            .zip(passwords)
            .map(|(n, p)| user(&n.to_string(), p))
            .collect();
        let auth = Auth::new(&users, None).unwrap();
        let all = texts(&auth, Ask::All, false);
        let offered: Vec<&str> = all[..all.len() - 1]
            .iter()
            .map(|text| value(text, "algorithm"))
            .collect();
        assert_eq!(offered, digests);
        assert!(all.last().unwrap().starts_with("Basic realm="));
        assert_eq!(auth.after_wrong_digest(), after_wrong, "{digests:?}");
        for (ask, tls) in [(Ask::All, true), (Ask::Basic, false)] {
            let only = texts(&auth, ask, tls);
            assert!(only.len() == 1 && only[0].starts_with("Basic "), "{only:?}");
        }
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_and_one_without_digest_are_answered_alike() {
    let users = [
        user("me", Password::Plain("secret".into())),
        user("slow", slow_hash("secret")),
    ];
    let auth = Auth::new(&users, None).unwrap();
    let mut client = Client::new(&auth, Algorithm::Md5);
    for (last, (name, password)) in (1..).zip([("me", "wrong"), ("slow", "secret"), ("nobody", "secret")]) {
        (client.name, client.hashed, client.password) = (name, name, password);
        let refused = sign_in(&auth, &client.headers(1), address(last)).await;
        assert_eq!(refused, Err(Refused::Unknown(Ask::Basic)), "{name}");
    }
    // And the client goes on with Basic.
    assert!(sign_in(&auth, &headers("slow:secret"), address(2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_guess_at_what_is_remembered_from_elsewhere_waits_its_turn() {
    let auth = auth(Password::Plain("right".into()));
    sign_in(&auth, &headers("me:right"), PEER).await.unwrap();
    for n in 0..4 {
        let _ = sign_in(&auth, &headers(&format!("me:{n}")), address(9)).await;
    }
    let begun = Instant::now();
    sign_in(&auth, &headers("me:right"), address(9)).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn many_addresses_at_one_name_are_slowed_down_and_its_owner_is_not() {
    for digest in [false, true] {
        let auth = Arc::new(auth(Password::Plain("secret".into())));
        let client = Client::new(&auth, Algorithm::Md5);
        let mut count = 0;
        let mut owner = || {
            count += 1;
            match digest {
                true => client.headers(count),
                false => headers("me:secret"),
            }
        };
        sign_in(&auth, &owner(), PEER).await.unwrap();
        let begun = Instant::now();
        for last in 10..40 {
            let _ = sign_in(&auth, &headers("me:wrong"), address(last)).await;
        }
        // Ten are free; then 250 ms, and twice that, up to 2 s.
        assert!(begun.elapsed() > Duration::from_secs(30), "{:?}", begun.elapsed());
        let mut attempts = tokio::task::JoinSet::new();
        for last in 40..200 {
            let auth = auth.clone();
            attempts.spawn(async move { sign_in(&auth, &headers(r"PC\me:wrong"), address(last)).await });
        }
        tokio::task::yield_now().await;
        // Its owner passes from where it has been, though what Basic remembered has ended.
        tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
        let now = Instant::now();
        sign_in(&auth, &owner(), PEER).await.unwrap();
        assert!(now.elapsed() < Duration::from_millis(10), "{:?}", now.elapsed());
        let answers = attempts.join_all().await;
        let many = |answer: &&Result<_, _>| matches!(answer, Err(Refused::TooMany(_)));
        assert!(answers.iter().filter(many).count() > 100);
        // Other names are not touched.
        let now = Instant::now();
        let _ = sign_in(&auth, &headers("you:wrong"), address(250)).await;
        assert!(now.elapsed() < Duration::from_millis(10));
    }
}
