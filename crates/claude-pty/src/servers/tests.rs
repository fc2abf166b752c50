use std::os::unix::{ffi::OsStringExt as _, fs::PermissionsExt as _};

use serde_json::{Value, json};

use super::*;

fn command(program: &str, variables: &[(&str, &str)]) -> McpServer {
    let mut environment = Environment::empty();
    for (name, value) in variables {
        environment.set(name, *value).unwrap();
    }
    McpServer::Command {
        program: program.to_owned(),
        args: vec!["--at".to_owned(), "${HOME}".to_owned()],
        environment,
    }
}

fn all() -> BTreeMap<String, McpServer> {
    let headers = BTreeMap::from([("Authorization".to_owned(), SecretString::from("Bearer hidden-one"))]);
    let wiki = McpServer::Url { url: "http://wiki?key=hidden-two".to_owned(), headers };
    let tickets = command("/bin/true", &[("TOKEN", "hidden-three"), ("PATH", "/none")]);
    let mut odd = Environment::empty();
    odd.set("ODD", OsString::from_vec(vec![0xff])).unwrap();
    let odd = McpServer::Command { program: "/bin/true".to_owned(), args: Vec::new(), environment: odd };
    let gone = command("/no/such/mail", &[]);
    let servers = [("wiki", wiki), ("tickets", tickets), ("odd", odd), ("gone", gone)];
    servers.map(|(name, server)| (name.to_owned(), server)).into()
}

fn servers(capabilities: &[&str]) -> Servers {
    let capabilities = capabilities.iter().map(|name| name.parse().unwrap()).collect();
    let launch = Launch { capabilities, ..Launch::new("wrk_1".parse().unwrap(), "/".into()) };
    Servers::of(&all(), &launch)
}

fn names(servers: &Servers) -> Vec<&str> {
    servers.given().map(|(name, _)| name).collect()
}

#[test]
fn a_session_has_the_servers_of_its_capabilities_and_no_others() {
    for (capabilities, expected) in [
        (&["read", "write", "shell", "network"][..], &[][..]),
        (&[], &[]),
        (&["mcp:tickets"], &["tickets"]),
        (&["read", "mcp:wiki", "mcp:tickets"], &["tickets", "wiki"]),
    ] {
        assert_eq!(names(&servers(capabilities)), expected, "{capabilities:?}");
    }
}

#[test]
fn what_cannot_be_told_is_left_out_with_its_reason() {
    let servers = servers(&["mcp:gone", "mcp:nowhere", "mcp:odd", "mcp:tickets"]);
    let left_out: Vec<_> = servers.left_out().map(|(name, why)| (name, why.to_string())).collect();
    let expected = [
        ("gone", "the program `mail` was not found"),
        ("nowhere", "no such server is configured"),
        ("odd", "the variable `ODD` is no text"),
    ];
    assert_eq!(left_out, expected.map(|(name, why)| (name, why.to_owned())));
    assert_eq!(names(&servers), ["tickets"]);
}

#[test]
fn what_is_missing_on_the_host_is_named_without_directories() {
    let missing: Vec<_> = all().iter().filter_map(|(name, server)| server.missing(name)).collect();
    assert_eq!(missing, ["the program `mail` of the MCP server `gone` was not found"]);
}

#[tokio::test]
async fn the_program_is_told_in_a_file_of_its_users_alone_which_goes() {
    let (directory, marker) = (tempfile::tempdir().unwrap(), "life/wrk_1".parse().unwrap());
    let servers = servers(&["mcp:tickets", "mcp:wiki"]);
    let file = servers.write(Some(directory.path()), &marker).await.unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(file.parent(), Some(directory.path()));
    let mut told: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let script = told["mcpServers"]["tickets"]["args"][1].take();
    assert!(script.as_str().unwrap().contains("exec \"$@\""), "{script}");
    let expected = json!({ "mcpServers": {
        "tickets": {
            "type": "stdio",
            "command": "/bin/sh",
            "args": ["-c", null, "PATH TOKEN MUSHER_MARKER", "/bin/true", "--at", "${MUSHER_UNSET:-$}{HOME}"],
            "env": { "TOKEN": "hidden-three", "PATH": "/none", "MUSHER_MARKER": "life/wrk_1" },
            "timeout": 120_000,
        },
        "wiki": {
            "type": "http",
            "url": "http://wiki?key=hidden-two",
            "headers": { "Authorization": "Bearer hidden-one" },
            "timeout": 120_000,
        },
    } });
    assert_eq!(told, expected);
    drop(file);
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    assert!(self::servers(&["read"]).write(Some(directory.path()), &marker).await.unwrap().is_none());
}

#[test]
fn nothing_secret_is_shown_and_all_of_it_is_known() {
    let servers = servers(&["mcp:tickets", "mcp:wiki"]);
    let shown = format!("{servers:?} {:?}", all());
    assert!(!shown.contains("hidden"), "{shown}");
    let secrets: Vec<_> =
        servers.secrets().map(|(name, value)| (name, value.into_string().unwrap())).collect();
    let expected = [
        ("PATH", "/none"),
        ("TOKEN", "hidden-three"),
        ("mcp.wiki.headers.Authorization", "Bearer hidden-one"),
        ("mcp.wiki.headers.Authorization", "hidden-one"),
        ("mcp.wiki.url", "http://wiki?key=hidden-two"),
        ("mcp.wiki.url.key", "hidden-two"),
    ];
    assert_eq!(secrets, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}
