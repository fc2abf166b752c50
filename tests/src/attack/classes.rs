//! The classes: each a list of cases, and a wall that has to hold all of them.

mod bodies;
mod browser;
mod bundles;
mod connections;
mod labels;
mod names;
mod repository;
mod scopes;
mod smuggling;
mod start;
mod streams;
mod words;

use std::{future::Future, pin::Pin, time::Instant};

use super::{table::Table, tally::Tally, target::Target, weakened::proof};

/// What tries the cases of a class.
type Try = for<'a> fn(&'a Target, &'a mut Tally) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One idea of an attacker.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) attempt: Try,
    /// Why no wall can be taken down to prove that it notices, where there is none.
    pub(super) without_wall: Option<&'static str>,
}

/// A class of an async function.
macro_rules! class {
    ($name:literal, $attempt:path) => {
        Class { name: $name, attempt: |target, tally| Box::pin($attempt(target, tally)), without_wall: None }
    };
    ($name:literal, $attempt:path, $why:literal) => {
        Class { without_wall: Some($why), ..class!($name, $attempt) }
    };
}

/// All of them. The last ones disturb the server, or wait long.
pub(super) const CLASSES: &[Class] = &[
    class!("route without its scope", scopes::without_scope),
    class!("no token, or a wrong one", scopes::without_token),
    class!("token outside its header", scopes::elsewhere),
    class!("approval by who may not approve", scopes::approving),
    class!("admin's routes with labels", labels::of_the_runtime),
    class!("another team's worker", labels::foreign),
    class!("another team in lists and feeds", labels::listed),
    class!("labels of another team", labels::claimed),
    class!("DNS rebinding", browser::rebinding),
    class!("page of another origin", browser::cross_site),
    class!("cross-site WebSocket", browser::cross_site_socket),
    class!("CORS", browser::cors, "no code sets such a header"),
    class!("form posts and odd types", browser::forms),
    class!("answers taken for a page", browser::sniffing),
    class!("other methods", browser::methods, "the router knows no others"),
    class!("header smuggling", smuggling::smuggling, "hyper's parser refuses, or ends the connection"),
    class!("traversal in names", names::traversal),
    class!("links out of a workspace", names::links),
    class!("mounts that are not declared, or not kept", names::mounts),
    class!(
        "programs and paths in requests",
        names::programs,
        "requests have no such fields, and unknown ones are refused"
    ),
    class!("bundle digest forgeries", bundles::digests),
    class!("programs and paths in bundles", bundles::contents),
    class!("cursors of others", streams::cursors),
    class!("words on an observing socket", streams::sockets),
    class!("hostile JSON", bodies::json, "the JSON parser refuses"),
    class!("oversized requests", bodies::oversized),
    class!("escape sequences in names", words::escapes),
    class!("log injection", words::log),
    class!("arguments that look like options", words::arguments, "no word of a request becomes an argument"),
    class!("secrets in logs and replies", words::secrets),
    class!("unsafe starts", start::unsafe_starts),
    class!("hostile repository", repository::traps),
    class!("secrets in a child's environment", repository::environment),
    class!("revoked tokens", streams::revoked),
    class!("slow and half-open connections", connections::slow),
];

/// Tries all classes on one server.
pub(super) async fn run() -> Table {
    let target = Target::start(None).await;
    let mut tallies = Vec::new();
    for class in CLASSES {
        let mut tally = Tally::of(class.name);
        let begun = Instant::now();
        (class.attempt)(&target, &mut tally).await;
        eprintln!("{}: {} tried in {:.1} s", tally.class, tally.tried, begun.elapsed().as_secs_f64());
        tallies.push(tally);
    }
    Table::of_classes(&CLASSES.iter().map(proof).zip(tallies).collect::<Vec<_>>())
}
