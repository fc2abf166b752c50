//! Which processes belong together.

use std::{collections::HashSet, io, process};

use crate::{
    Error, Scope,
    linux::{self, Cgroups, Identity, Process, Stat},
};

/// The first process of the system or the container: orphans are its children, it is never ours.
const INIT: u32 = 1;

/// The processes of a scope, followed from look to look.
///
/// They are those that carry the marker or are in the scope's control group, the root, everything that descends from any of them, and everything
/// in a session that one of them leads: tools live in sessions of their own, and may drop their environment
/// and lose their parents. One that was seen once is known as long as it lives.
#[derive(Debug)]
pub(crate) struct Family {
    scope: Scope,
    root: Option<u32>,
    known: HashSet<Identity>,
    /// Sessions led by one of us, now or at an earlier look.
    sessions: HashSet<u32>,
}

impl Family {
    /// `root` belongs to the family whatever its environment says; its pid must be held until the first look.
    pub(crate) fn new(scope: Scope, root: Option<u32>) -> Family {
        Family { scope, root, known: HashSet::new(), sessions: HashSet::new() }
    }

    /// Kills everything in the scope's control groups at once, where there are any.
    pub(crate) fn kill_groups(&self) -> io::Result<()> {
        Cgroups::of_this_process().map_or(Ok(()), |cgroups| cgroups.kill(&self.scope))
    }

    /// Removes the scope's control groups, once nothing is in them. Blocks while the kernel lets go of them.
    pub(crate) fn remove_groups(&self) -> io::Result<()> {
        Cgroups::of_this_process().map_or(Ok(()), |cgroups| cgroups.remove(&self.scope))
    }

    /// Looks who is alive, for some milliseconds. This process is never among them, nor are zombies.
    pub(crate) fn look(&mut self) -> Result<Vec<Stat>, Error> {
        let table = linux::processes(&self.scope).map_err(|source| Error::Scan { source })?;
        Ok(self.update(table, process::id()))
    }

    fn update(&mut self, mut table: Vec<Process>, own: u32) -> Vec<Stat> {
        // Left out from the start, so that nobody belongs to us as a child of theirs.
        table.retain(|process| ![own, INIT].contains(&process.stat.identity.pid));
        if let Some(root) = self.root.take() {
            self.known.extend(table.iter().map(|process| process.stat.identity).filter(|id| id.pid == root));
        }
        // The number of a session may be given out again once its last member is gone.
        self.sessions.retain(|&session| {
            table
                .iter()
                .any(|process| process.stat.session == session && self.known.contains(&process.stat.identity))
        });

        // A zombie is not alive, but leads to those that are: its session may hold others.
        let mut members = HashSet::new();
        let mut n_members = None;
        while n_members != Some(members.len()) {
            n_members = Some(members.len());
            for Process { stat, marked } in &table {
                if *marked
                    || self.known.contains(&stat.identity)
                    || members.contains(&stat.parent)
                    || self.sessions.contains(&stat.session)
                {
                    members.insert(stat.identity.pid);
                    if stat.session == stat.identity.pid {
                        self.sessions.insert(stat.session);
                    }
                }
            }
        }
        table.retain(|process| members.contains(&process.stat.identity.pid));
        self.known = table.iter().map(|process| process.stat.identity).collect();
        table.into_iter().map(|process| process.stat).filter(|stat| !stat.ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;

    const OWN: u32 = 50;

    /// Reads a table: `pid<parent/session`, then `*` when marked, `z` when a zombie, `'` when a later process
    /// with a pid that was used before.
    fn table(text: &str) -> Vec<Process> {
        let process = |word: &str| {
            let (numbers, flags) = word.split_at(word.find(['*', 'z', '\'']).unwrap_or(word.len()));
            let (pid, rest) = numbers.split_once('<').unwrap();
            let (parent, session) = rest.split_once('/').unwrap();
            Process {
                stat: Stat {
                    identity: Identity {
                        pid: pid.parse().unwrap(),
                        start_time: flags.matches('\'').count() as u64,
                    },
                    command: String::new(),
                    parent: parent.parse().unwrap(),
                    session: session.parse().unwrap(),
                    ended: flags.contains('z'),
                    laid_out: true,
                },
                marked: flags.contains('*'),
            }
        };
        text.split_whitespace().map(process).collect()
    }

    /// Looks at each table in turn, the first time with `root`, and compares the pids that were found.
    fn check<const N: usize>(root: Option<u32>, looks: [(&str, &[u32]); N]) {
        let mut family = Family::new(Scope::Owner(Owner::new("life").unwrap()), root);
        for (look, (text, expected)) in looks.into_iter().enumerate() {
            let found: Vec<u32> =
                family.update(table(text), OWN).into_iter().map(|stat| stat.identity.pid).collect();
            assert_eq!(found, expected, "look {look}: {text}");
        }
    }

    #[test]
    fn the_marker_makes_a_member() {
        check(None, [("1<0/1 50<1/50 60<50/60* 61<50/61 62<1/62*", &[60, 62])]);
    }

    #[test]
    fn descendants_belong_without_a_marker() {
        check(None, [("60<50/60* 63<62/60 62<61/60 61<60/60 70<50/70", &[60, 63, 62, 61])]);
    }

    #[test]
    fn the_root_belongs_without_a_marker() {
        check(Some(60), [("60<50/60 61<60/61 70<50/70", &[60, 61])]);
    }

    #[test]
    fn members_of_a_session_that_one_of_us_leads_belong() {
        check(None, [("60<50/60* 61<60/61 62<1/61", &[60, 61, 62])]);
    }

    #[test]
    fn a_zombie_is_no_survivor_but_its_session_is() {
        check(Some(60), [("60<50/60z 61<1/60", &[61])]);
    }

    #[test]
    fn orphans_are_known_from_an_earlier_look() {
        check(None, [("60<50/60* 61<60/61 62<61/61", &[60, 61, 62]), ("62<1/61 63<1/61", &[62, 63])]);
    }

    #[test]
    fn a_session_in_which_we_are_guests_is_not_ours() {
        check(None, [("40<1/40 41<40/40 60<41/40*", &[60]), ("40<1/40 41<40/40 60<1/40*", &[60])]);
    }

    #[test]
    fn a_later_process_with_a_known_pid_is_a_stranger() {
        check(Some(60), [("60<50/60", &[60]), ("60<50/60'", &[])]);
    }

    #[test]
    fn a_session_number_given_out_again_is_not_ours() {
        check(None, [("60<50/60* 61<60/60", &[60, 61]), ("60<1/60' 61<60/60'", &[])]);
    }

    #[test]
    fn this_process_and_its_other_children_never_belong() {
        check(None, [("50<60/60* 51<50/51 60<1/60*", &[60]), ("1<0/1* 2<1/2", &[])]);
    }
}
