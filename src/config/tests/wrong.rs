//! Wrong configurations and what is said about them.

use super::*;

/// The problems, each without the file's name.
fn problems(text: &str) -> Vec<String> {
    let text = read(text).expect_err("this configuration is wrong").to_string();
    text.lines()
        .map(|line| {
            line.strip_prefix("dav.toml:")
                .expect("the file's name")
                .to_owned()
        })
        .collect()
}

/// A user, then one mount; the mount's header is line 4, its keys begin at line 5.
fn mount_problems(keys: &str) -> Vec<String> {
    problems(&format!("{USER}[[mount]]\n{keys}"))
}

#[test]
fn every_wrong_value_outside_mounts_is_named_with_line_and_key() {
    let table: &[(&str, &[&str])] = &[
        (
            "[server]\nlisen = 1\n",
            &[
                "2: server.lisen: unknown key; expected listen, prefix, tls_cert, tls_key, state_dir, shutdown_grace, anonymous or trusted_proxies",
            ],
        ),
        (
            "[sever]\n",
            &["1: sever: unknown key; expected server, cache, upload, user, mount or proxy"],
        ),
        (
            "[server]\nlisten = 8123\n",
            &[
                "2: server.listen: expected host:port, such as \"127.0.0.1:8123\" or \"[::]:8123\", or a list of these, found an integer",
            ],
        ),
        (
            "[server]\nlisten = [\n  \"127.0.0.1:1\",\n  \"localhost\",\n  \"127.0.0.1:1\",\n]\n",
            &[
                "4: server.listen: \"localhost\" is not understood; expected host:port, such as \"127.0.0.1:8123\" or \"[::]:8123\", or a list of these",
                "5: server.listen: \"127.0.0.1:1\" is there twice; expected each address once",
            ],
        ),
        (
            "[server]\nlisten = []\n",
            &[
                "2: server.listen: empty; expected host:port, such as \"127.0.0.1:8123\" or \"[::]:8123\", or a list of these",
            ],
        ),
        (
            "[server]\nprefix = \"dav\"\n",
            &[
                "2: server.prefix: \"dav\" is not understood; expected a path that begins with \"/\", such as \"/dav\"",
            ],
        ),
        (
            "[server]\nprefix = \"/.dav123/x\"\n",
            &["2: server.prefix: the path /.dav123 is taken by dav123's own pages; expected another one"],
        ),
        (
            "[server]\ntls_cert = \"c.pem\"\n",
            &["2: server.tls_cert: given without tls_key; expected both, or neither for plain HTTP"],
        ),
        (
            "[server]\ntls_key = \"k.pem\"\n",
            &["2: server.tls_key: given without tls_cert; expected both, or neither for plain HTTP"],
        ),
        (
            "[server]\nshutdown_grace = 30\nanonymous = true\n",
            &[
                "2: server.shutdown_grace: expected a duration in quotes, such as \"30s\", \"5m\" or \"1h30m\", found an integer",
                "3: server.anonymous: expected \"read-only\" or \"read-write\", found true or false",
            ],
        ),
        (
            "[server]\ntrusted_proxies = [\"127.0.0.1\",\n\"10.0.0.0/40\", \"localhost\"]\n",
            &[
                "3: server.trusted_proxies: \"10.0.0.0/40\" is not understood; expected an address or a network, such as \"127.0.0.1\", \"10.0.0.0/8\" or \"fd00::/8\"",
                "3: server.trusted_proxies: \"localhost\" is not understood; expected an address or a network, such as \"127.0.0.1\", \"10.0.0.0/8\" or \"fd00::/8\"",
            ],
        ),
        (
            "[[server]]\n",
            &["1: server: expected one table [server], found [[…]] or a list"],
        ),
        (
            "[cache]\nlist_ttl = \"5 parsecs\"\nlist_entries = 0\nwarm = [\"/ok\", \"films\"]\nblocks = \"much\"\n",
            &[
                "2: cache.list_ttl: \"5 parsecs\" is not understood; expected a duration in quotes, such as \"30s\", \"5m\" or \"1h30m\"",
                "3: cache.list_entries: 0 is out of range; expected a whole number, 1 or more",
                "4: cache.warm: \"films\" is not understood; expected a path that begins with \"/\" and has no \"..\", such as \"/films\"",
                "5: cache.blocks: \"much\" is not understood; expected a size in quotes, such as \"64MiB\", \"50GiB\" or \"0B\"",
            ],
        ),
        (
            "[upload]\nmode = \"sideways\"\nspool_limit = \"50\"\nparts = 0\n",
            &[
                "2: upload.mode: unknown mode \"sideways\"; expected \"through\" or \"back\"",
                "3: upload.spool_limit: \"50\" is not understood; expected a size in quotes, such as \"64MiB\", \"50GiB\" or \"0B\"",
                "4: upload.parts: 0 is out of range; expected a whole number, 1 or more",
            ],
        ),
        (
            "[upload]\nspool_limit = 50\nparts = 1.5\nspool_dir = \"\"\n",
            &[
                "2: upload.spool_limit: expected a size in quotes, such as \"64MiB\", \"50GiB\" or \"0B\", found an integer",
                "3: upload.parts: expected a whole number, 1 or more, found a number with a fraction",
                "4: upload.spool_dir: empty; expected the path of a folder",
            ],
        ),
        (
            "[proxy]\norigin = \"home:8123\"\nsecret_env = \"NOT_THERE\"\nport = 1\n",
            &[
                "2: proxy.origin: \"home:8123\" is not understood; expected a URL that begins with http:// or https://",
                "3: proxy.secret_env: the environment variable NOT_THERE is not set; expected it to hold the secret",
                "4: proxy.port: unknown key; expected origin, secret, secret_env or secret_file",
            ],
        ),
        (
            "[proxy]\n",
            &[
                "1: proxy.origin: missing; expected the address of the dav123 whose files are served, such as \"https://home.example:8123\"",
                "1: proxy.secret: missing; expected secret, secret_env or secret_file: the proxy_secret of the origin's mount",
            ],
        ),
        (
            "[[user]]\nname = \"me\"\npassword = \"again\"\n",
            &["5: user.name: \"me\" is there already on line 2; expected each name once"],
        ),
        (
            "[[user]]\nname = \"a:b\"\n",
            &[
                "1: user.password: missing; expected password, password_env, password_file or password_hash",
                "2: user.name: a name cannot hold \":\" or control characters; expected another name",
            ],
        ),
        (
            "[[user]]\npassword = \"x\"\n\npassword_env = \"DAV_PASSWORD\"\n",
            &[
                "1: user.name: missing; expected the name with which the user signs in",
                "4: user.password_env: password is given already on line 2; keep one of password, password_env or password_file",
            ],
        ),
        (
            "[[user]]\nname = \"n\"\npassword = \"x\"\npassword_hash = \"y\"\n",
            &[
                "4: user.password_hash: neither an argon2 hash nor a Digest one; expected a line that \"dav123 passwd\" prints",
                "4: user.password_hash: password is given already on line 3; keep one of password, password_env, password_file or password_hash",
            ],
        ),
        (
            "[[user]]\nname = \"n\"\npassword_env = \"NOT_THERE\"\n",
            &[
                "3: user.password_env: the environment variable NOT_THERE is not set; expected it to hold the secret",
            ],
        ),
        (
            "[[user]]\nname = \"n\"\npassword_env = \"EMPTY\"\n",
            &[
                "3: user.password_env: the environment variable EMPTY is not set; expected it to hold the secret",
            ],
        ),
        (
            "[[user]]\nname = \"n\"\npassword_file = \"/nowhere/x\"\n",
            &[
                "3: user.password_file: cannot read /nowhere/x (No such file or directory (os error 2)); expected a readable text file",
            ],
        ),
        (
            "[[user]]\nname = \"n\"\npassword = \"x\"\nroot = \"/a/../b\"\naccess = \"all\"\n",
            &[
                "4: user.root: \"/a/../b\" is not understood; expected a path that begins with \"/\" and has no \"..\", such as \"/films\"",
                "5: user.access: unknown access \"all\"; expected \"read-only\" or \"read-write\"",
            ],
        ),
        (
            "[user]\nname = \"me\"\n",
            &["1: user: expected [[user]], in double brackets, once for each, found a table"],
        ),
    ];
    for (text, expected) in table {
        // What the text lacks is put behind it, so that its lines stay.
        let user = if text.contains("[user]\n") { "" } else { USER };
        assert_eq!(problems(&format!("{text}{user}")), *expected, "{text}");
    }
}

#[test]
fn without_a_user_anonymous_access_must_be_asked_for() {
    assert_eq!(
        problems("[server]\n"),
        [
            "1: user: missing; expected one [[user]] at least, or server.anonymous = \"read-only\" or \"read-write\""
        ]
    );
    let config = read("[server]\nanonymous = \"read-only\"\n").unwrap();
    assert_eq!(config.server.anonymous, Some(Access::ReadOnly));
}

#[test]
fn every_wrong_value_of_a_mount_is_named_with_line_and_key() {
    const ACCOUNT: &str = "path = \"/a\"\nkind = \"account\"\naccess_token = \"t\"\n";
    const SHARE: &str = "path = \"/s\"\nkind = \"share\"\nshare_key = \"abcd-EfGh\"\n";
    const LINKS: &str = "path = \"/l\"\nkind = \"direct-link\"\nlinks = \"http://h/x\"\n";
    const OPEN: &str = "path = \"/o\"\nkind = \"open\"\naccess_token = \"t\"\n";
    let table: &[(&str, &str, &[&str])] = &[
        (
            "",
            "",
            &[
                "4: mount.kind: missing; expected \"account\", \"share\", \"direct-link\" or \"open\"",
                "4: mount.path: missing; expected where the mount stands in the tree, such as \"/drive\"",
            ],
        ),
        (
            "path = \"/a\"\nkind = \"acount\"\nuid = 1\nx = 1\n",
            "",
            &[
                "6: mount.kind: unknown kind \"acount\"; expected \"account\", \"share\", \"direct-link\" or \"open\"",
                "8: mount.x: unknown key; expected path, kind, access, strategy, proxy_url, proxy_secret, proxy_secret_env, proxy_secret_file, proxy_connections, proxy_window, auto_proxy_below, budget or client",
            ],
        ),
        (
            ACCOUNT,
            "strategy = \"redirct\"\n",
            &[
                "8: mount.strategy: unknown strategy \"redirct\"; expected \"redirect\", \"proxy\", \"proxy-url\" or \"auto\"",
            ],
        ),
        (
            ACCOUNT,
            "share_key = \"abcd-EfGh\"\nlinks = \"x\"\nclient_id = \"x\"\n",
            &[
                "8: mount.share_key: this key is for kind \"share\"; this mount has kind \"account\"",
                "9: mount.links: this key is for kind \"direct-link\"; this mount has kind \"account\"",
                "10: mount.client_id: this key is for kind \"open\"; this mount has kind \"account\"",
            ],
        ),
        (
            SHARE,
            "access_token = \"t\"\ndelete = \"trash\"\naccess = \"read-write\"\n",
            &[
                "8: mount.access_token: this key is for kind \"account\" or \"open\"; this mount has kind \"share\"",
                "9: mount.delete: this key is for kind \"account\" or \"open\"; this mount has kind \"share\"",
                "10: mount.access: a mount of kind \"share\" can only be read; expected \"read-only\"",
            ],
        ),
        (
            LINKS,
            "[mount.endpoints]\nrate = 1\n",
            &[
                "8: mount.endpoints: this key is for kind \"account\", \"share\" or \"open\"; this mount has kind \"direct-link\"",
            ],
        ),
        (
            "path = \"/a\"\nkind = \"account\"\n",
            "[[mount]]\npath = \"/b\"\nkind = \"account\"\n[[mount]]\npath = \"/c\"\nkind = \"account\"\nusername = \"x\"\n",
            &[
                "7: mount.username: missing; the account mount on line 4 has none either: give both, so that dav123 login can tell the accounts apart",
            ],
        ),
        (
            ACCOUNT,
            "password = \"x\"\n",
            &["4: mount.username: missing; the password needs the account's phone number or e-mail"],
        ),
        (
            ACCOUNT,
            "outbound = \"socks4://me:s3cret@h:1\"\n",
            &[
                "8: mount.outbound: no address of a proxy; expected socks5://host:port or http://host:port, with user:password@ before the host if need be",
            ],
        ),
        (
            LINKS,
            "outbound = \"http://h:1\"\n",
            &[
                "8: mount.outbound: this key is for kind \"account\", \"share\" or \"open\"; this mount has kind \"direct-link\"",
            ],
        ),
        (
            ACCOUNT,
            "outbound = \"http://h:1\"\noutbound_env = \"WAY\"\n",
            &[
                "9: mount.outbound_env: outbound is given already on line 8; keep one of outbound, outbound_env or outbound_file",
            ],
        ),
        (
            "path = \"/a\"\nkind = \"account\"\naccess_token = \"t\"\noutbound = \"http://h:1\"\n",
            "[[mount]]\npath = \"/s\"\nkind = \"share\"\nshare_key = \"abcd-EfGh\"\naccount = \"/a\"\noutbound = \"http://h:2\"\n",
            &[
                "14: mount.outbound: another way than that of the account that signs for the share; expected the same, or none here",
            ],
        ),
        (
            ACCOUNT,
            "root_id = -1\ndelete = \"shred\"\nusername = 13800000000\n",
            &[
                "8: mount.root_id: -1 is out of range; expected a whole number, 0 or more",
                "9: mount.delete: unknown way to delete \"shred\"; expected \"trash\" or \"permanent\"",
                "10: mount.username: expected a phone number or e-mail in quotes, found an integer",
            ],
        ),
        (
            "path = \"/s\"\nkind = \"share\"\n",
            "",
            &[
                "4: mount.share_key: missing; expected a key such as \"abcd-EfGh\", or the whole link, such as \"https://www.123pan.com/s/abcd-EfGh?pwd=x1y2\"",
            ],
        ),
        (
            "path = \"/s\"\nkind = \"share\"\nshare_key = \"https://www.123pan.com/abcd\"\n",
            "account = \"/b\"\n",
            &[
                "7: mount.share_key: no share link and no key; expected a key such as \"abcd-EfGh\", or the whole link, such as \"https://www.123pan.com/s/abcd-EfGh?pwd=x1y2\"",
            ],
        ),
        (
            SHARE,
            "account = \"/b\"\n",
            &["8: mount.account: there is no mount \"/b\"; expected the path of a mount of kind \"account\""],
        ),
        (
            SHARE,
            "account = \"/s\"\n",
            &[
                "8: mount.account: the mount \"/s\" has kind \"share\"; expected the path of a mount of kind \"account\"",
            ],
        ),
        (
            "path = \"/l\"\nkind = \"direct-link\"\n",
            "valid_for = \"0s\"\nprivate_key = \"k\"\n",
            &[
                "4: mount.links: missing; expected the list itself, or its file as links_file",
                "4: mount.uid: missing; signing with private_key needs the account's number",
                "7: mount.valid_for: links would never be valid; expected one second or more",
            ],
        ),
        (
            LINKS,
            "private_key = \"k\"\nuid = 1\nvalid_for = \"90000h\"\n",
            &["10: mount.valid_for: links would be open for ever; expected ten years or less"],
        ),
        (
            LINKS,
            "links_file = \"l.txt\"\nuid = 0\n",
            &[
                "8: mount.links_file: links is given already on line 7; keep one of links or links_file",
                "9: mount.uid: 0 is out of range; expected a whole number, 1 or more",
            ],
        ),
        (
            "path = \"/o\"\nkind = \"open\"\naccess_token = \"t\"\n",
            "private_key = \"k\"\nlink = \"paid\"\n",
            &[
                "8: mount.private_key: this key needs link = \"direct\" beside it",
                "9: mount.link: unknown way to read files \"paid\"; expected \"download\" or \"direct\"",
            ],
        ),
        (
            "path = \"/o\"\nkind = \"open\"\n",
            "",
            &[
                "4: mount.client_id: missing; the Open platform needs client_id and client_secret, or access_token",
            ],
        ),
        (
            OPEN,
            "client_id = \"c\"\n",
            &[
                "4: mount.client_secret: missing; 123pan gives it together with the client_id: client_secret, client_secret_env or client_secret_file",
            ],
        ),
        (
            ACCOUNT,
            "strategy = \"proxy-url\"\n",
            &[
                "4: mount.proxy_secret: missing; strategy \"proxy-url\" needs the proxy's key: proxy_secret, proxy_secret_env or proxy_secret_file",
                "4: mount.proxy_url: missing; strategy \"proxy-url\" needs the proxy's URL",
            ],
        ),
        (
            ACCOUNT,
            "proxy_secret = \"s\"\n[[mount.client]]\nuser_agent = \"x*\"\nstrategy = \"proxy-url\"\n[[mount.client]]\n",
            &[
                "4: mount.proxy_url: missing; strategy \"proxy-url\" needs the proxy's URL",
                "12: mount.client.strategy: missing; expected what such a client gets, such as \"proxy\"",
                "12: mount.client.user_agent: missing; expected a pattern such as \"Microsoft-WebDAV-MiniRedir*\"",
            ],
        ),
        (
            ACCOUNT,
            "proxy_connections = 17\nproxy_window = \"0B\"\nproxy_url = \"worker.example\"\nauto_proxy_below = 0\n",
            &[
                "8: mount.proxy_connections: 17 is out of range; expected a whole number from 1 to 16",
                "9: mount.proxy_window: \"0B\" leaves no room for any byte; expected more than 0 bytes",
                "10: mount.proxy_url: \"worker.example\" is not understood; expected a URL that begins with http:// or https://",
                "11: mount.auto_proxy_below: expected a size in quotes, such as \"64MiB\", \"50GiB\" or \"0B\", found an integer",
            ],
        ),
        (
            ACCOUNT,
            "budget = { bytes = \"0B\", per = \"week\", from = 1 }\n",
            &[
                "8: mount.budget.bytes: \"0B\" would refuse every download; expected more than 0 bytes",
                "8: mount.budget.from: unknown key; expected bytes or per",
                "8: mount.budget.per: unknown period \"week\"; expected \"hour\", \"day\" or \"month\"",
            ],
        ),
        (
            ACCOUNT,
            "budget = \"200GiB\"\n",
            &[
                "8: mount.budget: expected a size and a period, such as { bytes = \"200GiB\", per = \"day\" }, found a string",
            ],
        ),
        (
            ACCOUNT,
            "[mount.endpoints]\nlogin = \"ftp://x\"\napi = [\"https://a/b\",\n  7]\nrate = 0\nhost = \"x\"\n",
            &[
                "9: mount.endpoints.login: \"ftp://x\" is not understood; expected a URL that begins with http:// or https://",
                "11: mount.endpoints.api: expected a URL that begins with http:// or https://, or a list of these, found an integer",
                "12: mount.endpoints.rate: 0 is out of range; expected a number above 0, such as 1.0",
                "13: mount.endpoints.host: unknown key; expected login, api, open, origin or rate",
            ],
        ),
        (
            "path = \"/.dav123\"\nkind = \"account\"\naccess_token = \"t\"\n",
            "[[mount]]\nkind = \"share\"\nshare_key = \"x\"\npath = \"films\"\n",
            &[
                "5: mount.path: the path /.dav123 is taken by dav123's own pages; expected another one",
                "11: mount.path: \"films\" is not understood; expected a path that begins with \"/\" and has no \"..\", such as \"/films\"",
            ],
        ),
        (
            ACCOUNT,
            "[[mount]]\nkind = \"share\"\nshare_key = \"x\"\npath = \"/a/\"\n",
            &["11: mount.path: a mount stands at \"/a\" already on line 5; expected each path once"],
        ),
    ];
    for (base, more, expected) in table {
        assert_eq!(
            mount_problems(&format!("{base}{more}")),
            *expected,
            "{base}{more}"
        );
    }
}

#[test]
fn errors_of_syntax_name_file_and_line_and_show_no_value() {
    let problems = problems(&format!(
        "{USER}[[mount]]\npath = \"/a\"\npassword = \"topsecret\nkind = \n"
    ));
    let lines: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split(':').next())
        .collect();
    assert!(lines.contains(&"6") && lines.contains(&"7"), "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.contains(": not valid TOML: ")),
        "{problems:?}"
    );
    assert!(!problems.join("").contains("topsecret"), "{problems:?}");
    let twice = self::problems("[server]\nprefix = \"/a\"\nprefix = \"/b\"\n");
    assert_eq!(twice, ["3: not valid TOML: duplicate key"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Path::new("/nowhere/dav.toml")).unwrap_err().to_string();
    assert!(
        error.starts_with("/nowhere/dav.toml: there is no such file; copy dav.example.toml"),
        "{error}"
    );
}
