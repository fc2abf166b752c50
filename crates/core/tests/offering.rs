//! What can run in a runtime, and what is refused because it cannot.

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, Sandbox, SessionOutcome, Toolbox,
    ToolboxError, Toolkit, Wanted, Workbench, async_trait,
};
use musher_core::{Limits, MemoryStore, Profile, Runtime};
use musher_protocol::{Actor, Capability, CreateWorker, Intent, ProfileSelector, WorkerLimits};

/// A backend that nobody starts, and that knows what the model `dear` costs.
#[derive(Debug)]
struct Idle {
    tools: bool,
}

#[async_trait]
impl Backend for Idle {
    fn kind(&self) -> &str {
        "idle"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { tools: self.tools, ..Capabilities::default() }
    }

    async fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn missing(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let Wanted { model, cost_limit } = *wanted;
        let is_unknown = cost_limit && model != Some("dear");
        is_unknown.then(|| format!("a price of {model:?}")).into_iter().collect()
    }

    async fn run(&self, _: Launch, _: Link) -> Result<SessionOutcome, BackendError> {
        unreachable!("nobody says anything to it")
    }
}

/// The tools of a host that can hold nothing.
#[derive(Debug)]
struct Loose;

#[async_trait]
impl Toolbox for Loose {
    fn missing(&self, capability: &Capability, sandbox: Sandbox) -> Option<String> {
        let is_held = (capability, sandbox) == (&Capability::Shell, Sandbox::Landlock);
        is_held.then(|| "Landlock".to_owned())
    }

    async fn tools(&self, _: Workbench) -> Result<Toolkit, ToolboxError> {
        unreachable!("nobody starts a session")
    }
}

fn me() -> Actor {
    Actor::rule("test")
}

fn named(profile: &str) -> CreateWorker {
    CreateWorker {
        profile: ProfileSelector::Named { value: profile.to_owned() },
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    }
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_had_refuses_the_create_by_name() {
    let profile = |backend, sandbox| Profile { sandbox, ..Profile::of(backend) };
    let reads =
        Profile { capabilities: [Capability::Read].into(), ..profile("with-tools", Sandbox::Landlock) };
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("with-tools", Idle { tools: true })
        .backend("without", Idle { tools: false })
        .toolbox(Loose)
        .profile("held", profile("with-tools", Sandbox::Landlock))
        .profile("auto", profile("with-tools", Sandbox::Auto))
        .profile("free", profile("with-tools", Sandbox::None))
        .profile("reads", reads)
        .profile("own", profile("without", Sandbox::Landlock))
        .profile("own-auto", profile("without", Sandbox::Auto))
        .start()
        .await
        .unwrap();
    for (name, refusal) in [
        ("held", Some("backend `with-tools` cannot run here; missing: Landlock")),
        ("auto", None),
        ("free", None),
        ("reads", None),
        (
            "own",
            Some(
                "backend `without` cannot run here; missing: a sandbox `landlock` for the tools that the backend brings \
                 itself: only tools of the runtime can be held",
            ),
        ),
        ("own-auto", None),
    ] {
        let created = runtime.create_worker(named(name), me()).await;
        assert_eq!(created.err().map(|error| error.to_string()).as_deref(), refusal, "{name}");
    }
    assert_eq!(runtime.summary().await.unwrap().worker_count, 4, "nothing is left of what was refused");
}

#[tokio::test]
async fn a_limit_of_costs_that_nobody_knows_refuses_the_create_by_name() {
    let profile = |model: &str, cost_usd| {
        let limits = Limits { cost_usd, ..Limits::default() };
        Profile { model: Some(model.to_owned()), limits, ..Profile::of("idle") }
    };
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("idle", Idle { tools: false })
        .profile("dear", profile("dear", Some(5.0)))
        .profile("odd", profile("odd", None))
        .profile("odd-limited", profile("odd", Some(5.0)))
        .start()
        .await
        .unwrap();
    let limited = |name: &str| {
        let limits = WorkerLimits { cost_usd: Some(1.0), ..WorkerLimits::default() };
        CreateWorker { limits: Some(limits), ..named(name) }
    };
    let refusal = Some("backend `idle` cannot run here; missing: a price of Some(\"odd\")");
    for (request, refusal) in [
        (named("dear"), None),
        (limited("dear"), None),
        (named("odd"), None),
        (limited("odd"), refusal),
        (named("odd-limited"), refusal),
    ] {
        let created = runtime.create_worker(request.clone(), me()).await;
        assert_eq!(created.err().map(|error| error.to_string()).as_deref(), refusal, "{request:?}");
    }
    assert_eq!(runtime.summary().await.unwrap().worker_count, 3, "nothing is left of what was refused");
}
