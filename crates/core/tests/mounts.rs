//! Workers with several directories, through the library surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the few errors that it is about")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_backend::{
    Access, Availability, Backend, BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed,
    Root, Sandbox, SessionOutcome, Toolbox, ToolboxError, Toolkit, TurnEnd, Wanted, Workbench, async_trait,
};
use musher_core::{
    Error, MemoryStore, Mount, Profile, Runtime, Store, UnsavedWork, WorkerFilter, Workspace,
    WorkspaceIsolation,
};
use musher_protocol::{
    Actor, Capability, CreateWorker, Delivery, InputKind, InputRequest, Intent, MountRef, Order, Until,
    WorkerDetail, WorkerId, WorkerMount, WorkspaceRef,
};
use musher_testkit::repository::{Repository, git_in};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A backend that remembers what it was started with.
#[derive(Debug)]
struct Noting {
    can: Capabilities,
    /// What is missing for workers with read-only mounts.
    cannot_keep: bool,
    launches: Arc<Mutex<Vec<Launch>>>,
}

#[async_trait]
impl Backend for Noting {
    fn kind(&self) -> &str {
        "noting"
    }

    fn capabilities(&self) -> Capabilities {
        self.can
    }

    async fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn missing(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let is_missing = self.cannot_keep && wanted.read_only;
        is_missing.then(|| "a wall".to_owned()).into_iter().collect()
    }

    fn lacking(&self, root: &Root) -> Option<String> {
        root.path.to_str().unwrap().contains('*').then(|| format!("a plain path ({:?})", root.access))
    }

    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        self.launches.lock().unwrap().push(launch);
        let ended = talk(&mut link).await;
        Ok(if ended.is_ok() { SessionOutcome::ended() } else { SessionOutcome::aborted() })
    }
}

async fn talk(link: &mut Link) -> Result<(), LinkClosed> {
    link.session_started("s-1".parse().unwrap(), false).await?;
    loop {
        match link.next_command().await {
            Command::Input(input) => {
                link.emit(Event::InputTaken { input_id: input.input_id }).await?;
                link.emit(Event::TurnEnded(TurnEnd::completed())).await?;
            }
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
        }
    }
}

/// Tools on a kernel that has Landlock, or has none.
#[derive(Debug)]
struct Kernel {
    has_landlock: bool,
    benches: Arc<Mutex<Vec<Workbench>>>,
}

#[async_trait]
impl Toolbox for Kernel {
    fn missing(&self, capability: &Capability, sandbox: Sandbox) -> Option<String> {
        let is_missing =
            *capability == Capability::Shell && sandbox == Sandbox::Landlock && !self.has_landlock;
        is_missing.then(|| "Landlock".to_owned())
    }

    async fn tools(&self, bench: Workbench) -> Result<Toolkit, ToolboxError> {
        self.benches.lock().unwrap().push(bench);
        Ok(Toolkit::default())
    }
}

/// Directories, and what sessions were given.
struct World {
    around: TempDir,
    store: Arc<MemoryStore>,
    can: Capabilities,
    cannot_keep: bool,
    has_landlock: bool,
    sandbox: Sandbox,
    instructions: Option<&'static str>,
    launches: Arc<Mutex<Vec<Launch>>>,
    benches: Arc<Mutex<Vec<Workbench>>>,
}

impl World {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        for name in ["shop/docs", "api", "handbook", "cache"] {
            fs::create_dir_all(around.path().join(name)).unwrap();
        }
        Self {
            around,
            store: Arc::new(MemoryStore::new()),
            can: Capabilities { roots: true, ..Capabilities::default() },
            cannot_keep: false,
            has_landlock: true,
            sandbox: Sandbox::Auto,
            instructions: None,
            launches: Arc::default(),
            benches: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.around.path().canonicalize().unwrap().join(name)
    }

    async fn runtime(&self) -> Runtime {
        let noting = Noting { can: self.can, cannot_keep: self.cannot_keep, launches: self.launches.clone() };
        let kernel = Kernel { has_landlock: self.has_landlock, benches: self.benches.clone() };
        let instructions = self.instructions.map(str::to_owned);
        let profile = Profile { sandbox: self.sandbox, instructions, ..Profile::of("noting") };
        let store: Arc<dyn Store> = self.store.clone();
        Runtime::builder_on(store)
            .backend("noting", noting)
            .toolbox(kernel)
            .profile("coder", profile)
            .workspace("shop", self.path("shop"))
            .workspace("api", self.path("api"))
            .mount("handbook", self.path("handbook"))
            .mount("docs", self.path("shop/docs"))
            .mount("cache", Mount { path: self.path("cache"), writable: true })
            .scratch(self.path("scratch"))
            .start()
            .await
            .unwrap()
    }

    fn launch(&self) -> Launch {
        self.launches.lock().unwrap().last().unwrap().clone()
    }
}

fn request(workspaces: &[&str], mounts: &[&str]) -> CreateWorker {
    let workspaces = workspaces
        .iter()
        .enumerate()
        .map(|(n, reference)| WorkspaceRef { name: format!("w{n}"), reference: (*reference).to_owned() });
    let mounts = mounts
        .iter()
        .enumerate()
        .map(|(n, reference)| MountRef { name: format!("m{n}"), reference: (*reference).to_owned() });
    CreateWorker {
        workspace_refs: workspaces.collect(),
        mount_refs: mounts.collect(),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    }
}

async fn create(runtime: &Runtime, workspaces: &[&str], mounts: &[&str]) -> Result<WorkerDetail, Error> {
    runtime.create_worker(request(workspaces, mounts), Actor::rule("test")).await
}

async fn say(runtime: &Runtime, worker: &WorkerId) -> WorkerDetail {
    let input = InputRequest {
        kind: InputKind::User,
        content: "go on".to_owned(),
        input_id: None,
        delivery: Delivery::Queue,
    };
    runtime.send_input(worker, input, Actor::rule("test")).await.unwrap();
    runtime.wait_worker(worker, Until::Idle, PATIENCE).await.unwrap()
}

fn shown(name: &str, reference: &str, writable: bool) -> WorkerMount {
    WorkerMount { name: name.to_owned(), reference: reference.to_owned(), writable }
}

#[tokio::test]
async fn a_worker_is_told_its_directories_also_in_its_next_life() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = create(&runtime, &["shop", "api"], &["handbook", "cache"]).await.unwrap();
    assert_eq!(worker.mounts, [shown("m0", "handbook", false), shown("m1", "cache", true)]);
    let names: Vec<_> = worker.workspaces.iter().map(|workspace| workspace.name.as_str()).collect();
    assert_eq!(names, ["w0", "w1"]);
    let root = |name: &str, access| Root { path: world.path(name), access };
    let roots = [
        root("api", Access::ReadWrite),
        root("handbook", Access::ReadOnly),
        root("cache", Access::ReadWrite),
    ];
    let told = format!(
        "Besides your working directory you have these, by their absolute paths:\n- w1: {}\n- m0: {} (read-only)\n- m1: {}\n",
        world.path("api").display(),
        world.path("handbook").display(),
        world.path("cache").display(),
    );
    say(&runtime, &worker.worker_id).await;
    let launch = world.launch();
    assert_eq!((launch.working_dir, launch.roots), (world.path("shop"), roots.to_vec()));
    assert_eq!(launch.instructions, Some(told.clone()));

    runtime.shutdown().await;
    let runtime = world.runtime().await;
    let again = say(&runtime, &worker.worker_id).await;
    assert_eq!((again.workspaces, again.mounts), (worker.workspaces, worker.mounts));
    let launch = world.launch();
    assert_eq!((launch.roots, launch.instructions), (roots.to_vec(), Some(told)));
}

#[tokio::test]
async fn a_worker_of_one_directory_is_told_nothing() {
    let world = World { can: Capabilities::default(), ..World::new() };
    let runtime = world.runtime().await;
    let worker = create(&runtime, &["shop"], &[]).await.unwrap();
    say(&runtime, &worker.worker_id).await;
    let launch = world.launch();
    assert_eq!((launch.roots, launch.instructions), (Vec::new(), None));
}

/// What the first session of a worker that is created for this is told.
async fn instructions(world: &World, intent: Intent, mounts: &[&str]) -> Option<String> {
    let runtime = world.runtime().await;
    let request = CreateWorker { intent, ..request(&["api"], mounts) };
    let worker = runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id;
    say(&runtime, &worker).await;
    world.launch().instructions
}

#[tokio::test]
async fn a_session_is_told_its_profiles_instructions_and_then_what_the_worker_is_for() {
    let assistant = |purpose: Option<&str>| Intent::Assistant { purpose: purpose.map(str::to_owned) };
    let role = |purpose: Option<&str>| Intent::Role {
        role: "reviewer".to_owned(),
        purpose: purpose.map(str::to_owned),
    };
    let task = || Intent::Task { objective: "fix it".to_owned() };
    let brief = Some("Be brief.");
    for (own, intent, expected) in [
        (None, assistant(None), None),
        (None, assistant(Some("questions")), Some("What you are here for: questions")),
        (None, role(None), Some("Your role: reviewer")),
        (None, role(Some("pull requests")), Some("Your role: reviewer\nWhat for: pull requests")),
        // An objective is said, by an input.
        (None, task(), None),
        (brief, assistant(None), brief),
        (brief, assistant(Some("questions")), Some("Be brief.\n\nWhat you are here for: questions")),
        (brief, role(None), Some("Be brief.\n\nYour role: reviewer")),
        (
            brief,
            role(Some("pull requests")),
            Some("Be brief.\n\nYour role: reviewer\nWhat for: pull requests"),
        ),
        (brief, task(), brief),
    ] {
        let world = World { instructions: own, ..World::new() };
        let what = format!("{own:?} {intent:?}");
        assert_eq!(instructions(&world, intent, &[]).await.as_deref(), expected, "{what}");
    }
    // What it has comes last.
    let world = World { instructions: brief, ..World::new() };
    let expected = format!(
        "Be brief.\n\nYour role: reviewer\n\n\
         Besides your working directory you have these, by their absolute paths:\n- m0: {}\n",
        world.path("cache").display()
    );
    assert_eq!(instructions(&world, role(None), &["cache"]).await, Some(expected));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let world = World::new();
    let runtime = world.runtime().await;
    let many: Vec<_> = (0..17).map(|n| format!("cache{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let two = CreateWorker {
        mount_refs: ["handbook", "cache"]
            .map(|name| MountRef { name: "m".into(), reference: name.into() })
            .into(),
        ..request(&[], &[])
    };
    let unnamed = CreateWorker {
        mount_refs: vec![MountRef { name: "\u{1b}[2J".into(), reference: "cache".into() }],
        ..request(&[], &[])
    };
    for (request, field, message) in [
        (request(&[], &["attic"]), "/mount_refs", "no mount `attic` in the server's config"),
        (request(&[], &["shop"]), "/mount_refs", "no mount `shop` in the server's config"),
        (request(&["handbook"], &[]), "/workspace_refs", "no workspace `handbook` in the server's config"),
        (request(&[], &many), "/mount_refs", "at most 16 of them"),
        (request(&many, &[]), "/workspace_refs", "at most 16 of them"),
        (request(&["shop", "api", "shop"], &[]), "/workspace_refs", "two of them are `shop`"),
        (request(&[], &["cache", "cache"]), "/mount_refs", "two of them are `cache`"),
        (two, "/mount_refs", "two of them are called `m`"),
        (unnamed, "/mount_refs", "the text must not hold control characters"),
    ] {
        match runtime.create_worker(request, Actor::rule("test")).await.unwrap_err() {
            Error::InvalidRequest { field: at, message: said } => {
                assert_eq!((at, said.as_str()), (field, message))
            }
            other => panic!("{other:?}"),
        }
    }
    fs::remove_dir(world.path("handbook")).unwrap();
    for (workspaces, mount, missing) in [
        (
            &["shop"][..],
            "docs",
            "a place outside of the directories that the worker may change, for it is read-only",
        ),
        (
            &["api", "shop"],
            "docs",
            "a place outside of the directories that the worker may change, for it is read-only",
        ),
        (&[], "handbook", "its directory"),
    ] {
        match create(&runtime, workspaces, &[mount]).await.unwrap_err() {
            Error::MountUnavailable { mount: at, missing: said } => {
                assert_eq!((at.as_str(), said.as_str()), (mount, missing));
            }
            other => panic!("{other:?}"),
        }
    }
    let listed = runtime.list_workers(&WorkerFilter::default(), Order::Asc, None, 10).await.unwrap();
    assert_eq!(listed.workers, []);
    let left = fs::read_dir(world.path("scratch")).into_iter().flatten();
    let left = left.map(|entry| entry.unwrap().file_name()).filter(|name| name != "tmp");
    assert_eq!(left.count(), 0, "no directory of a worker that is not there");
    // The same directory is fine for who works elsewhere.
    create(&runtime, &["api"], &["docs"]).await.unwrap();
}

/// What is missing for a worker with these mounts.
async fn missing(world: &World, mounts: &[&str]) -> Vec<String> {
    match create(&world.runtime().await, &["api"], mounts).await {
        Ok(_) => Vec::new(),
        Err(Error::Unavailable { missing, .. }) => missing,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_kept_read_only_is_refused() {
    const ONE: &str = "a backend that gives its workers further directories: this one knows of one";
    const NONE: &str =
        "a sandbox for `shell`, for some mounts are read-only: the profile's is `none`, which holds nothing";
    let tools = Capabilities { tools: true, ..Capabilities::default() };
    let roots = Capabilities { roots: true, ..Capabilities::default() };
    for (can, cannot_keep, has_landlock, sandbox, mounts, expected) in [
        (Capabilities::default(), false, true, Sandbox::Auto, &["cache"][..], &[ONE][..]),
        (Capabilities::default(), false, true, Sandbox::Auto, &[], &[]),
        (roots, true, true, Sandbox::Auto, &["handbook"], &["a wall"]),
        (roots, true, true, Sandbox::Auto, &["cache"], &[]),
        (tools, false, true, Sandbox::Auto, &["handbook"], &[]),
        (tools, false, false, Sandbox::Auto, &["handbook"], &["Landlock"]),
        (tools, false, false, Sandbox::Auto, &["cache"], &[]),
        (tools, false, true, Sandbox::None, &["handbook"], &[NONE]),
        (tools, false, true, Sandbox::None, &["cache"], &[]),
    ] {
        let world = World { can, cannot_keep, has_landlock, sandbox, ..World::new() };
        let found = missing(&world, mounts).await;
        assert_eq!(found, expected, "{can:?} {cannot_keep} {has_landlock} {sandbox:?} {mounts:?}");
    }
}

#[tokio::test]
async fn a_directory_that_the_backend_cannot_give_is_refused_by_name() {
    let (repository, around) = (Repository::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| around.path().join(name);
    for name in ["plain", "a*b", "c*d", "stories*/one"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    symlink(path("c*d"), path("link")).unwrap();
    let worktree = WorkspaceIsolation::Worktree { setup: None };
    let stories = Workspace { children: true, ..path("stories*").into() };
    let runtime = |can: Capabilities| {
        let noting = Noting { can, cannot_keep: false, launches: Arc::default() };
        Runtime::builder(MemoryStore::new())
            .backend("noting", noting)
            .toolbox(Kernel { has_landlock: true, benches: Arc::default() })
            .profile("coder", Profile::of("noting"))
            .workspace("plain", path("plain"))
            .workspace("odd", path("a*b"))
            .workspace("stories", stories.clone())
            .workspace("shop", Workspace { isolation: worktree.clone(), ..repository.path().into() })
            .mount("handbook", path("link"))
            .mount("cache", Mount { path: path("c*d"), writable: true })
            .scratch(path("scratch"))
            .worktrees(path("work*trees"))
            .start()
    };
    let (can, mount, workspace) = (Capabilities::default(), "mount", "workspace");
    let roots = Capabilities { roots: true, ..can };
    let refused =
        |kind, name: &str, access: &str| Some((kind, name.to_owned(), format!("a plain path ({access})")));
    for (can, workspaces, mounts, expected) in [
        (roots, &["plain"][..], &["handbook"][..], refused(mount, "handbook", "ReadOnly")),
        (roots, &["plain"], &["cache"], refused(mount, "cache", "ReadWrite")),
        (roots, &["plain", "odd"], &["handbook"], refused(workspace, "odd", "ReadWrite")),
        (roots, &["plain", "stories/one"], &[], refused(workspace, "stories/one", "ReadWrite")),
        (roots, &["plain", "shop"], &[], refused(workspace, "shop", "ReadWrite")),
        (roots, &["shop"], &["cache"], refused(mount, "cache", "ReadWrite")),
        // It works in it, and is told no path.
        (roots, &["odd", "plain"], &[], None),
        // It has our tools, which can have any directory.
        (Capabilities { tools: true, ..can }, &["plain", "odd"], &["handbook"], None),
    ] {
        let runtime = runtime(can).await.unwrap();
        let found = match create(&runtime, workspaces, mounts).await {
            Ok(_) => None,
            Err(Error::MountUnavailable { mount: name, missing }) => Some((mount, name, missing)),
            Err(Error::WorkspaceUnavailable { workspace: name, missing }) => Some((workspace, name, missing)),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{can:?} {workspaces:?} {mounts:?}");
        if found.is_some() {
            let listed = runtime.list_workers(&WorkerFilter::default(), Order::Asc, None, 10).await.unwrap();
            assert_eq!(listed.workers, []);
        }
        assert_eq!((repository.branches(), repository.n_worktrees()), (vec!["main".to_owned()], 0));
    }
}

#[tokio::test]
async fn a_setup_beside_a_read_only_mount_is_held_or_there_is_no_worker() {
    const NONE: &str = "a sandbox for the workspace's setup, for some mounts are read-only: the profile's is `none`, which holds nothing";
    let (repository, scratch) = (Repository::new(), tempfile::tempdir().unwrap());
    for (sandbox, mounts, expected) in [
        (Sandbox::None, &["handbook"][..], &[NONE][..]),
        (Sandbox::None, &[], &[]),
        (Sandbox::Auto, &["handbook"], &[]),
    ] {
        let setup = Some("true".to_owned());
        let world = World { sandbox, ..World::new() };
        let noting = Noting { can: world.can, cannot_keep: false, launches: world.launches.clone() };
        let runtime = Runtime::builder(MemoryStore::new())
            .backend("noting", noting)
            .profile("coder", Profile { sandbox, ..Profile::of("noting") })
            .workspace(
                "shop",
                Workspace { isolation: WorkspaceIsolation::Worktree { setup }, ..repository.path().into() },
            )
            .mount("handbook", world.path("handbook"))
            .scratch(scratch.path().join("scratch"))
            .worktrees(scratch.path().join("worktrees"))
            .start()
            .await
            .unwrap();
        let missing = match create(&runtime, &["shop"], mounts).await {
            Ok(_) => Vec::new(),
            Err(Error::Unavailable { missing, .. }) => missing,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(missing, expected, "{sandbox:?} {mounts:?}");
    }
}

#[tokio::test]
async fn worktrees_below_a_link_of_the_hosts_are_told_without_it() {
    let (repository, world) = (Repository::new(), World::new());
    fs::create_dir(world.path("disk")).unwrap();
    symlink(world.path("disk"), world.path("data")).unwrap();
    let noting = Noting { can: world.can, cannot_keep: false, launches: world.launches.clone() };
    let shop =
        Workspace { isolation: WorkspaceIsolation::Worktree { setup: None }, ..repository.path().into() };
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("noting", noting)
        .profile("coder", Profile::of("noting"))
        .workspace("shop", shop)
        .workspace("api", world.path("api"))
        .scratch(world.path("scratch"))
        .worktrees(world.path("data/worktrees"))
        .start()
        .await
        .unwrap();
    let worker = create(&runtime, &["api", "shop"], &[]).await.unwrap();
    say(&runtime, &worker.worker_id).await;
    let place = world.path("disk/worktrees").join(worker.worker_id.as_str());
    let expected = Root { path: place.join("1/shop"), access: Access::ReadWrite };
    assert_eq!(world.launch().roots, [expected]);
}

#[tokio::test]
async fn beside_a_read_only_mount_there_is_no_doing_without_a_sandbox() {
    let world = World { can: Capabilities { tools: true, ..Capabilities::default() }, ..World::new() };
    let runtime = world.runtime().await;
    for (mounts, sandbox) in [(&["handbook"][..], Sandbox::Landlock), (&["cache"], Sandbox::Auto)] {
        let worker = create(&runtime, &["api"], mounts).await.unwrap();
        say(&runtime, &worker.worker_id).await;
        let bench = world.benches.lock().unwrap().last().unwrap().clone();
        assert_eq!((bench.sandbox, bench.roots.len()), (sandbox, 1));
    }
}

#[tokio::test]
async fn a_mount_that_has_become_a_link_fails_the_turn() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = create(&runtime, &["api"], &["handbook"]).await.unwrap();
    fs::rename(world.path("handbook"), world.path("moved")).unwrap();
    symlink("/etc", world.path("handbook")).unwrap();
    let outcome = say(&runtime, &worker.worker_id).await.outcome.unwrap();
    assert_eq!(outcome.error.unwrap().code, "workspace_gone");
    assert!(world.launches.lock().unwrap().is_empty(), "no backend was started");
}

#[tokio::test]
async fn two_worktrees_of_one_repository_are_two_branches() {
    let (repository, scratch) = (Repository::new(), tempfile::tempdir().unwrap());
    let shop = |path: &Path| Workspace {
        isolation: WorkspaceIsolation::Worktree { setup: None },
        ..path.to_owned().into()
    };
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("scripted", musher_scripted::Scripted)
        .profile("echo", Profile::of("scripted"))
        .workspace("shop", shop(&repository.path()))
        .workspace("src", shop(&repository.path().join("src")))
        .scratch(scratch.path().join("scratch"))
        .worktrees(scratch.path().join("worktrees"))
        .start()
        .await
        .unwrap();
    let worker = create(&runtime, &["shop", "src"], &[]).await.unwrap();
    let id = &worker.worker_id;
    let branches: Vec<_> =
        worker.workspaces.iter().map(|workspace| workspace.branch.clone().unwrap()).collect();
    assert_eq!(branches, [format!("musher/{id}"), format!("musher/{id}-2")]);
    let place = scratch.path().join("worktrees").join(id.as_str());
    for (n, branch) in branches.iter().enumerate() {
        let directory = place.join(n.to_string()).join("shop");
        assert_eq!(git_in(&directory, &["rev-parse", "--abbrev-ref", "HEAD"]), *branch);
        fs::write(directory.join("new"), branch).unwrap();
        let diff = runtime.worker_diff(id, Some(&format!("w{n}"))).await.unwrap();
        assert_eq!((diff.branch.as_ref(), diff.files.len()), (Some(branch), 1), "{}", diff.patch);
        assert!(diff.patch.contains(branch), "{}", diff.patch);
    }
    // What one of them holds keeps the worker from being deleted, and both go together.
    runtime.stop_worker(id, None, None, Actor::rule("test")).await.unwrap();
    fs::remove_file(place.join("0/shop/new")).unwrap();
    match runtime.delete_worker(id, UnsavedWork::Keep).await.unwrap_err() {
        Error::WorkspaceDirty { workspace, .. } => assert_eq!(workspace, "src"),
        other => panic!("{other:?}"),
    }
    assert!(place.join("0/shop/README").exists(), "nothing has gone yet");
    fs::remove_file(place.join("1/shop/new")).unwrap();
    runtime.delete_worker(id, UnsavedWork::Keep).await.unwrap();
    assert_eq!((repository.branches(), repository.n_worktrees()), (vec!["main".to_owned()], 0));
}
