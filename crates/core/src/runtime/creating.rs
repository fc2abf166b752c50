//! How workers are created.

use std::{io, mem, sync::Arc};

use musher_backend::{Backend, Root};
use musher_protocol::{Actor, CreateWorker, WorkerDetail, WorkerId, WorkerWorkspace};
use tokio::sync::oneshot;

use super::{
    Runtime, check_actor,
    loading::{Seat, Slot, drive},
};
use crate::{
    attention::Post,
    bundle::{Bundle, BundleError},
    create::{Resolved, first_inputs, make_scratch, resolve},
    error::Error,
    figures::Meter,
    fold::Fold,
    idempotency::{Answered, Claim, CommandOptions, Keyed, Outcome},
    machine::{Input, NewInput},
    mount,
    profile::WorkerSpec,
    store::{Commit, Head, StoreError},
    task::{Place, now},
    view,
    workspace::{NotHad, Wanted, is_for_space, look},
};

/// A worker that is about to be.
struct Creation {
    worker: WorkerId,
    resolved: Resolved,
    backend: Arc<dyn Backend>,
    by: Actor,
    first: Vec<NewInput>,
    /// The request under its key, and the right to answer it.
    keyed: Option<(Keyed, Claim)>,
}

impl Runtime {
    /// Creates a worker. A refused request leaves nothing behind and takes no id.
    ///
    /// # Errors
    ///
    /// When the request makes no sense, names what is not there, or the store fails.
    pub async fn create_worker(&self, request: CreateWorker, by: Actor) -> Result<WorkerDetail, Error> {
        Ok(self.create_worker_with(request, by.into()).await?.reply)
    }

    /// As [`Runtime::create_worker`], under a key where one is given: a repeat creates nothing and shows the worker as its
    /// creation left it, also when it has been deleted since.
    ///
    /// # Errors
    ///
    /// As [`Runtime::create_worker`], or when the key is in use otherwise.
    pub async fn create_worker_with(
        &self,
        request: CreateWorker,
        options: CommandOptions,
    ) -> Result<Answered<WorkerDetail>, Error> {
        self.check_running()?;
        let keyed = Keyed::of(&options, &["create"], &request);
        let by = options.by;
        check_actor(&by)?;
        let claim = match &keyed {
            Some(keyed) => {
                let claim = Claim::take(&self.0, keyed)?;
                if let Some(worker) = self.created_under(keyed).await? {
                    return Ok(Answered::again(worker));
                }
                self.check_room(keyed).await?;
                Some(claim)
            }
            None => None,
        };
        self.check_space()?;
        let worker = WorkerId::mint();
        let bundle = match &request.config_bundle {
            Some(reference) => Some(self.bundle(reference).await?),
            None => None,
        };
        let resolved = resolve(&self.0.catalog, request.clone(), bundle.as_ref(), &worker)?;
        let first = first_inputs(&request, &worker, &by)?;
        let backend = self.available(&resolved, bundle.as_ref()).await?;
        let creation = Creation {
            worker: worker.clone(),
            resolved,
            backend,
            by,
            first,
            keyed: keyed.clone().zip(claim),
        };
        // In a task of its own, so that nothing is half-created when the caller goes away.
        let (reply, created) = oneshot::channel();
        self.0.spawn(self.clone().create(creation, reply))?;
        created.await.unwrap_or(Err(Error::WorkerFailed(worker.clone())))?;
        let shown = match &keyed {
            Some(keyed) => self.created_under(keyed).await?,
            None => None,
        };
        Ok(Answered::first(match shown {
            Some(shown) => shown,
            None => self.worker_detail(&worker).await?,
        }))
    }

    /// The worker that was created under a key, as it was then.
    async fn created_under(&self, keyed: &Keyed) -> Result<Option<WorkerDetail>, Error> {
        match keyed.look_up(&*self.0.store, now()).await? {
            Some(Outcome::Worker(worker)) => Ok(Some(*worker)),
            Some(Outcome::Begun(_) | Outcome::Ack(_) | Outcome::Decision(_) | Outcome::Bundle(_)) | None => {
                Ok(None)
            }
        }
    }

    /// The backend of a worker, when it can run here with all that the worker needs.
    async fn available(
        &self,
        resolved: &Resolved,
        bundle: Option<&Bundle>,
    ) -> Result<Arc<dyn Backend>, Error> {
        let spec = &resolved.spec;
        let name = &spec.profile.backend;
        let backend =
            self.0.catalog.backends.get(name).expect("the builder checked every profile's backend").clone();
        let missing = self.missing(resolved).await;
        let Some(bundle) = bundle else {
            return if missing.is_empty() {
                Ok(backend)
            } else {
                Err(Error::Unavailable { backend: name.clone(), missing })
            };
        };
        let missing = [bundle.unresolved(&self.0.catalog), missing].concat();
        if missing.is_empty() {
            return Ok(backend);
        }
        let (id, selector) = (bundle.summary.id.clone(), spec.profile_name.clone());
        Err(BundleError::Unavailable { id, selector, missing }.into())
    }

    /// Gets the worker what it works in, then drives it to its end: the first thing that its task does is to create it.
    async fn create(self, creation: Creation, reply: oneshot::Sender<Result<(), Error>>) {
        let Creation { worker, resolved: Resolved { mut spec, wanted }, backend, by, first, keyed } =
            creation;
        let (keyed, claim) = keyed.unzip();
        let desk = self.0.desk.clone();
        if let Err(error) = self.place(&worker, &mut spec, wanted, &*backend).await {
            desk.give_back(&worker).await;
            drop(claim);
            // Whoever asked may have gone: then nobody misses it.
            return drop(reply.send(Err(error)));
        }
        let scratch = spec.workspaces.is_empty().then(|| spec.working_dir.clone());
        let has_worktrees = spec.workplaces.iter().any(|workplace| workplace.worktree.is_some());
        let (created_at, spec) = (now(), Arc::new(spec));
        let place = Place {
            fold: Fold::new(self.worker_ref(&worker), created_at),
            head: Head::EMPTY,
            last_event_id: None,
            uncovered: 0,
        };
        let post = Post::of(&self.0.board, &spec);
        let meter = Meter::new(&self.0.figures, &spec.profile);
        let view = Arc::new(view::Shared::new(place.fold.clone(), created_at, post, meter));
        let seat = Seat { worker: worker.clone(), spec, backend, epoch: Commit::FIRST_EPOCH, created_at };
        let (task, live) = self.seat(seat, place, view);
        self.0.workers().insert(worker.clone(), Slot::new(Some(Ok(live))));
        let shared = Arc::downgrade(&self.0);
        // A worker's task must not keep the runtime from ending.
        drop(self);
        let (begins, begun) = oneshot::channel();
        let driven = drive(task.under(keyed), Input::Created { by, first }, begins, shared, worker.clone());
        let answered = async {
            let result = begun.await.unwrap_or(Err(Error::WorkerFailed(worker.clone())));
            match &result {
                Ok(()) if has_worktrees => {
                    if let Err(error) = desk.keep(&worker).await {
                        // The next life says so, too.
                        tracing::error!(%worker, %error, "keep a worktree");
                    }
                }
                Err(error) if is_not_written(error) => {
                    desk.give_back(&worker).await;
                    // Empty as it is; one that cannot be removed is one directory too many, and no fault of the
                    // caller's.
                    drop(scratch.map(std::fs::remove_dir));
                }
                Ok(()) | Err(_) => {}
            }
            // A repeat finds what was written.
            drop(claim);
            // As above; the worker is there all the same.
            drop(reply.send(result));
        };
        tokio::join!(driven, answered);
    }

    /// Gets the worker its workspaces, or a directory of its own.
    async fn place(
        &self,
        worker: &WorkerId,
        spec: &mut WorkerSpec,
        wanted: Vec<Wanted>,
        backend: &dyn Backend,
    ) -> Result<(), Error> {
        // Before worktrees are made, which nothing that is declared can be in.
        self.mount(worker, spec, &wanted).await?;
        for (n, wanted) in wanted.into_iter().enumerate() {
            let workspace = wanted.reference.clone();
            let had = self.0.desk.get(worker, n, wanted).await;
            let had = had.map_err(|error| refused(worker, workspace, &error))?;
            spec.workspaces.push(had.shown);
            spec.workplaces.push(had.workplace);
        }
        check_roots(worker, spec, backend).await?;
        if let Some(first) = spec.workplaces.first() {
            spec.working_dir.clone_from(&first.directory);
            return Ok(());
        }
        make_scratch(&spec.working_dir).map_err(|error| not_made(&error, &spec.profile.backend))
    }

    /// Gets the worker its mounts.
    async fn mount(
        &self,
        worker: &WorkerId,
        spec: &mut WorkerSpec,
        workspaces: &[Wanted],
    ) -> Result<(), Error> {
        let Some(first) = spec.mounts.first() else { return Ok(()) };
        let first = first.shown.reference.clone();
        let wanted = mem::take(&mut spec.mounts);
        let working: Vec<_> = workspaces.iter().filter_map(Wanted::direct).collect();
        let (mount, error) = match look(move || mount::get(wanted, &working)).await {
            Ok(Ok(mounts)) => {
                spec.mounts = mounts;
                return Ok(());
            }
            Ok(Err(refused)) => refused,
            Err(error) => (first, mount::NotHad::Io(error)),
        };
        tracing::warn!(%worker, mount, error = &error as &dyn std::error::Error, "a mount cannot be had");
        Err(Error::MountUnavailable { mount, missing: error.missing().to_owned() })
    }
}

/// Whether the backend can give the worker the directories that it has got, by the paths that they have.
async fn check_roots(worker: &WorkerId, spec: &WorkerSpec, backend: &dyn Backend) -> Result<(), Error> {
    if backend.capabilities().tools {
        return Ok(());
    }
    let lacking = |root: &Root| {
        let missing = backend.lacking(root)?;
        tracing::warn!(%worker, path = ?root.path, missing, "a directory cannot be given to a worker");
        Some(missing)
    };
    let mut roots = spec.roots().await.into_iter();
    for (WorkerWorkspace { reference, .. }, root) in spec.workspaces.iter().skip(1).zip(&mut roots) {
        if let Some(missing) = lacking(&root) {
            return Err(Error::WorkspaceUnavailable { workspace: reference.clone(), missing });
        }
    }
    for (mount, root) in spec.mounts.iter().zip(roots) {
        if let Some(missing) = lacking(&root) {
            return Err(Error::MountUnavailable { mount: mount.shown.reference.clone(), missing });
        }
    }
    Ok(())
}

/// What is told of a private directory that cannot be made.
fn not_made(error: &io::Error, backend: &str) -> Error {
    tracing::error!(error = error as &dyn std::error::Error, "make scratch directory");
    if is_for_space(error) {
        return Error::WorkspaceSpace("scratch".to_owned());
    }
    let missing = vec!["a scratch directory that can be made".to_owned()];
    Error::Unavailable { backend: backend.to_owned(), missing }
}

/// What is told of a workspace that cannot be had.
fn refused(worker: &WorkerId, workspace: String, error: &NotHad) -> Error {
    if let NotHad::NoChild(child) = error {
        let message = format!("workspace `{workspace}`: there is no directory `{child}`, or it is a link");
        return Error::InvalidRequest { field: "/workspace_refs", message };
    }
    tracing::error!(%worker, workspace, error = error as &dyn std::error::Error, "a workspace cannot be had");
    if error.is_for_space() {
        return Error::WorkspaceSpace(workspace);
    }
    Error::WorkspaceUnavailable { workspace, missing: error.missing().to_owned() }
}

/// Whether it is certain that nothing of the worker is in the store. Otherwise the next life finds out.
fn is_not_written(error: &Error) -> bool {
    matches!(error, Error::Store(error) if matches!(
        **error,
        StoreError::Full | StoreError::Conflict { .. } | StoreError::Fenced { .. } | StoreError::NoWorker(_)
    ))
}

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test names the few errors that it is about")]
mod tests {
    use super::*;
    use crate::git::GitError;

    #[test]
    fn what_finds_no_space_is_told_apart_from_what_is_missing() {
        let told = |error: Error| match error {
            Error::WorkspaceSpace(workspace) => format!("no space for {workspace}"),
            Error::WorkspaceUnavailable { missing, .. } => missing,
            Error::Unavailable { missing, .. } => missing.concat(),
            other => panic!("{other:?}"),
        };
        let worker = "wrk_1".parse().expect("an id");
        let attempt = "make a worktree";
        let had_not = |error: NotHad| told(refused(&worker, "shop".to_owned(), &error));
        let space = GitError::Space { attempt, said: "No space left on device".to_owned() };
        assert_eq!(had_not(space.into()), "no space for shop");
        for (kind, is_space) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::FileTooLarge, true),
            (io::ErrorKind::Other, false),
        ] {
            let ours = had_not(NotHad::Io { attempt, source: kind.into() });
            let beside_git = had_not(GitError::Io { attempt, source: kind.into() }.into());
            let private = told(not_made(&kind.into(), "echo"));
            let expected = if is_space {
                ["no space for shop", "no space for shop", "no space for scratch"]
            } else {
                [
                    "a directory that can be used; the server's log says more",
                    "a repository that git can use; the server's log says more",
                    "a scratch directory that can be made",
                ]
            };
            assert_eq!([&*ours, &*beside_git, &*private], expected, "{kind:?}");
        }
    }
}
