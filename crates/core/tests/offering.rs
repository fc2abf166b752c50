//! What can run in a runtime, and what is refused because it cannot.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, Sandbox, SessionOutcome, Toolbox,
    ToolboxError, Toolkit, Wanted, Workbench, async_trait,
};
use musher_core::{ApprovalMode, ApprovalPolicy, Limits, MemoryStore, Profile, Runtime};
use musher_protocol::{
    Actor, BackendCapabilities, BackendSummary, Capability, CreateWorker, Intent, ProfileApproval,
    ProfileSelector, ProfileSummary, SandboxMode, WorkerLimits,
};
use tokio::{
    sync::{Notify, watch},
    time,
};

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
        let Wanted { model, cost_limit, .. } = *wanted;
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

/// A backend that answers when it is let.
#[derive(Clone, Debug, Default)]
struct Slow {
    n_looks: Arc<AtomicUsize>,
    may_answer: Arc<watch::Sender<bool>>,
}

#[async_trait]
impl Backend for Slow {
    fn kind(&self) -> &str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { steer: true, resume: true, tools: true, ..Capabilities::default() }
    }

    async fn availability(&self) -> Availability {
        self.n_looks.fetch_add(1, Ordering::Relaxed);
        self.may_answer.subscribe().wait_for(|may| *may).await.unwrap();
        Availability::Ready
    }

    fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, _: Launch, _: Link) -> Result<SessionOutcome, BackendError> {
        unreachable!("nobody says anything to it")
    }
}

/// Tools that panic when they are looked for, but for MCP servers: then a thread hangs as long as the test wants.
#[derive(Debug)]
struct Stuck {
    looks: Arc<Notify>,
    until: Mutex<mpsc::Receiver<()>>,
}

#[async_trait]
impl Toolbox for Stuck {
    fn missing(&self, capability: &Capability, _: Sandbox) -> Option<String> {
        match capability {
            Capability::Mcp(_) => {
                self.looks.notify_one();
                let _ended = self.until.lock().unwrap().recv();
                None
            }
            Capability::Read | Capability::Write | Capability::Shell | Capability::Network => {
                panic!("a defect on purpose")
            }
        }
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

/// What is told of a backend.
fn told(name: &str, missing: &[&str], capabilities: BackendCapabilities) -> BackendSummary {
    let missing: Vec<_> = missing.iter().map(|name| (*name).to_owned()).collect();
    let kind = name.split('-').next().unwrap().to_owned();
    BackendSummary { name: name.to_owned(), kind, available: missing.is_empty(), missing, capabilities }
}

fn can(steer: bool, resume: bool, tools: bool) -> BackendCapabilities {
    BackendCapabilities { steer, interrupt: true, approvals: true, resume, tools }
}

#[tokio::test]
async fn profiles_are_told_with_all_that_is_missing_for_them() {
    let limits = Limits { cost_usd: Some(5.0), turns: Some(7), ..Limits::default() };
    let approval = ApprovalPolicy { mode: ApprovalMode::Ask, deadline: Duration::from_secs(60) };
    let odd = Profile {
        model: Some("odd".to_owned()),
        limits,
        approval,
        sandbox: Sandbox::Landlock,
        ..Profile::of("idle")
    };
    let plain =
        Profile { capabilities: [Capability::Read].into(), sandbox: Sandbox::None, ..Profile::of("idle") };
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("idle", Idle { tools: true })
        .backend("idle-too", Idle { tools: false })
        .toolbox(Loose)
        .profile("odd", odd)
        .profile("plain", plain)
        .default_profile("plain")
        .start()
        .await
        .unwrap();
    let all = [Capability::Read, Capability::Write, Capability::Shell, Capability::Network];
    let odd = ProfileSummary {
        name: "odd".to_owned(),
        backend: "idle".to_owned(),
        model: Some("odd".to_owned()),
        default: false,
        ready: false,
        missing: vec!["Landlock".to_owned(), "a price of Some(\"odd\")".to_owned()],
        capabilities: all.to_vec(),
        limits: limits.shown(),
        approval: ProfileApproval { mode: musher_protocol::ApprovalMode::Ask, deadline_secs: 60 },
        sandbox: SandboxMode::Landlock,
    };
    let plain = ProfileSummary {
        name: "plain".to_owned(),
        model: None,
        default: true,
        ready: true,
        missing: Vec::new(),
        capabilities: vec![Capability::Read],
        limits: Limits::default().shown(),
        approval: ProfileApproval { mode: musher_protocol::ApprovalMode::Deny, deadline_secs: 600 },
        sandbox: SandboxMode::None,
        ..odd.clone()
    };
    assert_eq!(runtime.list_profiles().await, [odd, plain]);
    let backends =
        [told("idle", &[], can(false, false, true)), told("idle-too", &[], can(false, false, false))];
    assert_eq!(runtime.list_backends().await, backends);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_hangs_holds_up_nobody_and_is_not_begun_twice() {
    let slow = Slow::default();
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("idle", Idle { tools: false })
        .backend("slow", slow.clone())
        .profile("idle", Profile::of("idle"))
        .profile("slow", Profile::of("slow"))
        .start()
        .await
        .unwrap();
    let idle = told("idle", &[], can(false, false, false));
    let silent = ["an answer about backend `slow` within 5 s"];
    let begun = time::Instant::now();
    let (backends, profiles, created, other) = tokio::join!(
        runtime.list_backends(),
        runtime.list_profiles(),
        runtime.create_worker(named("slow"), me()),
        runtime.create_worker(named("idle"), me()),
    );
    assert_eq!(backends, [idle.clone(), told("slow", &silent, can(true, true, true))]);
    let missing: Vec<_> =
        profiles.iter().map(|profile| (profile.ready, profile.missing.as_slice())).collect();
    assert_eq!(missing, [(true, &[][..]), (false, &silent.map(str::to_owned)[..])]);
    let expected = "backend `slow` cannot run here; missing: an answer about backend `slow` within 5 s";
    assert_eq!(created.unwrap_err().to_string(), expected);
    other.unwrap();
    assert_eq!(runtime.list_backends().await, backends, "and so is whoever asks next");
    assert_eq!((begun.elapsed().as_secs(), slow.n_looks.load(Ordering::Relaxed)), (10, 1));

    slow.may_answer.send_replace(true);
    let backends = runtime.list_backends().await;
    assert_eq!(backends, [idle, told("slow", &[], can(true, true, true))]);
}

/// What a runtime misses for a profile that allows this.
async fn missing(capability: &str, toolbox: Stuck) -> Vec<String> {
    let profile = Profile { capabilities: [capability.parse().unwrap()].into(), ..Profile::of("idle") };
    let builder = Runtime::builder(MemoryStore::new()).backend("idle", Idle { tools: true });
    let runtime = builder.profile("p", profile).toolbox(toolbox).start().await.unwrap();
    runtime.list_profiles().await.remove(0).missing
}

#[tokio::test(start_paused = true)]
async fn tools_that_cannot_be_looked_for_are_missing_where_they_are_needed() {
    let looks = Arc::new(Notify::new());
    let stuck = || {
        let (release, until) = mpsc::channel();
        (release, Stuck { looks: looks.clone(), until: Mutex::new(until) })
    };
    let (_release, panics) = stuck();
    assert_eq!(missing("read", panics).await, ["an answer about tools of `read`: the look failed"]);
    let (release, hangs) = stuck();
    let (missing, ()) = tokio::join!(missing("mcp:far", hangs), async {
        looks.notified().await;
        // A thread holds the clock, too.
        time::advance(Duration::from_secs(5)).await;
    });
    assert_eq!(missing, ["an answer about tools of `mcp:far` within 5 s"]);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_while_a_look_is_under_way_shares_the_next() {
    let slow = Slow::default();
    let builder = Runtime::builder(MemoryStore::new()).backend("slow", slow.clone());
    let runtime = builder.start().await.unwrap();
    let asks = |n| futures_util::future::join_all((0..n).map(|_| runtime.list_backends()));
    let later = async {
        time::advance(Duration::from_secs(1)).await;
        let (answers, ()) = tokio::join!(asks(20), async {
            time::advance(Duration::from_secs(1)).await;
            slow.may_answer.send_replace(true);
        });
        answers
    };
    let (mut answers, shared) = tokio::join!(asks(1), later);
    answers.extend(shared);
    assert_eq!(answers, vec![vec![told("slow", &[], can(true, true, true))]; 21]);
    assert_eq!(slow.n_looks.load(Ordering::Relaxed), 2);
}
