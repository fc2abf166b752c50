//! A runtime begins its life.

use musher_core::{Life, NewLife};
use musher_protocol::{RuntimeId, WorkerId};
use rusqlite::params;

use super::Desk;
use crate::{failure::Fault, queue::Write, read::parsed};

/// Notes the owner of a runtime's processes, and the runtime's id when it is the first.
#[derive(Debug)]
pub(crate) struct Begin(pub(crate) NewLife);

impl Write for Begin {
    type Answer = Life;

    fn worker(&self) -> Option<&WorkerId> {
        None
    }

    fn weight(&self) -> usize {
        self.0.owner.len()
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<Life, Fault> {
        let (runtime_id, previous_owner): (Option<RuntimeId>, Option<String>) = desk.connection.query_row(
            "SELECT runtime_id, owner FROM stored_runtime WHERE one = 1",
            [],
            |row| {
                let is_first = row.get_ref(0)?.as_str_or_null()?.is_none();
                Ok((if is_first { None } else { Some(parsed(row, 0)?) }, row.get(1)?))
            },
        )?;
        let runtime_id = runtime_id.unwrap_or_else(|| self.0.runtime_id.clone());
        desk.connection.execute(
            "UPDATE stored_runtime SET runtime_id = ?1, owner = ?2 WHERE one = 1",
            params![runtime_id.as_str(), self.0.owner],
        )?;
        Ok(Life { runtime_id, previous_owner })
    }
}
