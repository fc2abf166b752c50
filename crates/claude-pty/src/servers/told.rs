//! What the program is told of MCP servers: the form of its `--mcp-config`.

use std::{collections::BTreeMap, time::Duration};

use musher_process::{Environment, Marker};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{McpServer, text};

/// As long as a call may take with the other backends. The program's own limit is more than a day.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// A variable that nothing sets.
const UNSET: &str = "MUSHER_UNSET";

/// Becomes a server without the variables that the program adds, which are all of its own, keys of the vendor's among
/// them. `$0` has the names of those that stay, the arguments are the server's. Nothing of the config is in this text.
///
/// The lines that `export -p` prints begin with `export NAME=` in every shell, or `declare -x NAME=`. A value may have lines
/// that look the same: then there is no such variable, or one that was meant anyway.
const SCRIPT: &str = r#"set -f
IFS='
'
for line in $(export -p); do
    name=${line#export }
    name=${name#declare -x }
    name=${name%%=*}
    case $name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    case " $0 " in *" $name "*) ;; *) unset "$name" ;; esac
done
exec "$@""#;

/// All that the program is told, with secrets.
pub(super) fn config(servers: &BTreeMap<String, McpServer>, marker: &Marker) -> Value {
    let entries: Map<_, _> =
        servers.iter().map(|(name, server)| (name.clone(), entry(server, marker))).collect();
    json!({ "mcpServers": entries })
}

fn entry(server: &McpServer, marker: &Marker) -> Value {
    let timeout = u64::try_from(CALL_LIMIT.as_millis()).expect("it is two minutes");
    match server {
        McpServer::Command { program, args, environment } => {
            let names: Vec<_> = environment.names().chain([Marker::VARIABLE]).collect();
            let before = ["-c", SCRIPT, &names.join(" "), program].map(literal);
            let args: Vec<_> = before.into_iter().chain(args.iter().map(|arg| literal(arg))).collect();
            let variables = variables(environment, marker);
            json!({ "type": "stdio", "command": "/bin/sh", "args": args, "env": variables, "timeout": timeout })
        }
        McpServer::Url { url, headers } => {
            // Headers it reads twice: with the file, and when it connects (tried on both versions).
            let header = |value: &str| Value::from(literal(&literal(value)));
            let headers: Map<_, _> =
                headers.iter().map(|(name, value)| (name.clone(), header(value.expose_secret()))).collect();
            json!({ "type": "http", "url": literal(url), "headers": headers, "timeout": timeout })
        }
    }
}

fn variables(environment: &Environment, marker: &Marker) -> Map<String, Value> {
    let of = |name: &str| Some((name.to_owned(), Value::from(literal(text(environment.get(name)?)))));
    let marker = (Marker::VARIABLE.to_owned(), Value::from(marker.to_string()));
    environment.names().filter_map(of).chain([marker]).collect()
}

/// A text that is this one when the program has put variables into it: it reads `${NAME}` and `${NAME:-DEFAULT}`, once and
/// from left to right, and knows no way to quote.
pub(super) fn literal(text: &str) -> String {
    text.replace("${", &format!("${{{UNSET}:-$}}{{"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Puts variables into a text as the program does, when none is set.
    fn read(text: &str) -> String {
        let mut read = String::new();
        let mut rest = text;
        while let Some((before, (inside, behind))) =
            rest.split_once("${").and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            read += before;
            read +=
                &inside.split_once(":-").map_or(format!("${{{inside}}}"), |(_, default)| default.to_owned());
            rest = behind;
        }
        read + rest
    }

    #[test]
    fn no_variable_is_put_into_what_is_told() {
        for text in
            ["", "plain", "$HOME", "${HOME}", "a${B:-c}d${E}", "$${A}", "${", "${}", "${${A}}", SCRIPT]
        {
            assert_eq!(read(&literal(text)), text);
            assert_eq!(read(&read(&literal(&literal(text)))), text);
        }
        assert_ne!(read("${A:-b}"), "${A:-b}");
    }

    #[test]
    fn a_server_has_its_own_variables_and_no_others() {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "KEPT LINES", "/usr/bin/env"]).env_clear().envs([
            ("KEPT", "a b"),
            ("KEY", "vendor"),
            ("LINES", "1\nexport KEPT=2\nOTHER=3 * \\"),
            ("OTHER", "'\"$(exit 1)\nKEPT=4"),
            ("_X9", "\n"),
        ]);
        let output = shell.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let said = String::from_utf8(output.stdout).unwrap();
        // Where the shell is bash, it adds this one as it becomes the program.
        let said: Vec<_> = said.lines().filter(|line| !line.starts_with("SHLVL=")).collect();
        assert_eq!(said, ["KEPT=a b", "LINES=1", "export KEPT=2", "OTHER=3 * \\"]);
    }
}
