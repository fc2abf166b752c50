//! Connections that read, and the threads they read on.

use std::{
    panic::resume_unwind,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use musher_core::{Health, StoreError};
use musher_protocol::WorkerId;
use rusqlite::Connection;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

use crate::{
    connection,
    failure::{Fault, damaged, io_error, is_damage},
    home::Home,
};

/// A few connections that read what is durable, and nothing when the store has failed.
///
/// SQLite shows a commit to other connections only after its sync has returned: `walFrames` in `wal.c` writes the
/// frames, syncs the log, and then publishes the header of the index that readers begin from.
#[derive(Clone, Debug)]
pub(crate) struct Readers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Connections that nobody uses. Held for the moment of a push or a pop.
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    health: watch::Receiver<Health>,
    /// The directory, until the store is closed. Every read holds this while it runs.
    home: RwLock<Option<Arc<Home>>>,
}

impl Readers {
    pub(crate) fn new(home: &Arc<Home>, n: usize, health: watch::Receiver<Health>) -> Self {
        Self(Arc::new(Shared {
            path: home.database(),
            idle: Mutex::default(),
            turns: Arc::new(Semaphore::new(n.max(1))),
            health,
            home: RwLock::new(Some(Arc::clone(home))),
        }))
    }

    /// Reads in one transaction: all that is read is of the same moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        attempt: &'static str,
        worker: Option<&WorkerId>,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check()?;
        let turn = Arc::clone(&self.0.turns).acquire_owned().await;
        let turn = turn.map_err(|_closed| StoreError::Failed)?;
        let shared = Arc::clone(&self.0);
        let reading = spawn_blocking(move || {
            let _turn = turn;
            shared.read(read)
        });
        let result = match reading.await {
            Ok(result) => result,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The async runtime is shutting down.
                Err(_) => return Err(StoreError::Failed),
            },
        };
        self.check()?;
        result.map_err(|fault| match (fault, worker) {
            (Fault::Refused(error), _) => error,
            (Fault::Sqlite(error), Some(worker)) if is_damage(&error) => {
                tracing::error!(%worker, %error, attempt, "a page of the database is damaged");
                damaged(worker, "a page")
            }
            (Fault::Sqlite(error), _) => io_error(attempt, &Arc::new(error)),
        })
    }

    /// Waits for the reads that run, and lets no other begin: then no connection of theirs is open.
    pub(crate) fn close(&self) {
        let home = self.0.home.write().unwrap_or_else(PoisonError::into_inner).take();
        self.0.idle().clear();
        drop(home);
    }

    fn check(&self) -> Result<(), StoreError> {
        match *self.0.health.borrow() {
            Health::Good | Health::Full => Ok(()),
            Health::Failed(_) => Err(StoreError::Failed),
        }
    }
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let home = self.home.read().unwrap_or_else(PoisonError::into_inner);
        if home.is_none() {
            return Err(StoreError::Failed.into());
        }
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::reader(&self.path)?,
        };
        let transaction = connection.unchecked_transaction()?;
        let result = read(&transaction);
        drop(transaction);
        // A connection whose transaction would not end is closed.
        if connection.is_autocommit() {
            self.idle().push(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A push or a pop is whole or has not happened.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
