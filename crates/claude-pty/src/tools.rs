//! Which of the program's own tools a worker has, by what it may do.
//!
//! The program offers no tool of its own that is not named (`--tools`, tried on both versions; names that it does not know it
//! leaves out; tools of MCP servers it offers in any case). So a capability that is missing is not a matter of asking, and a tool that a later version invents is
//! not there before somebody has put it into this list.

use std::collections::BTreeSet;

use musher_protocol::Capability;

/// Tools that wake the model after its turn has ended: a worker that is idle stays so until it is told something.
const WAKING: &str = "CronCreate,CronDelete,CronList,Monitor,ScheduleWakeup,SendMessage,Workflow";

/// What needs no capability of its own: questions, plans, lists of things to do, and subagents, which have no more
/// tools than the worker itself.
const ALWAYS: &[&str] = &[
    "AskUserQuestion",
    "EnterPlanMode",
    "ExitPlanMode",
    "ListAgents",
    "ReportFindings",
    "Skill",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoWrite",
    "ToolSearch",
];
const READ: &[&str] = &["Glob", "Grep", "LS", "NotebookRead", "Read"];
const WRITE: &[&str] = &["Edit", "MultiEdit", "NotebookEdit", "Write"];
const SHELL: &[&str] = &["Bash", "BashOutput", "KillShell"];
const NETWORK: &[&str] = &["WebFetch", "WebSearch"];
/// They run git and leave the directory, so they take both.
const WORKTREES: &[&str] = &["EnterWorktree", "ExitWorktree"];

/// Whether a tool changes files, or can.
pub(crate) fn changes_files(tool: &str) -> bool {
    [WRITE, SHELL, WORKTREES].iter().any(|group| group.contains(&tool))
}

/// The arguments that say which tools there are.
pub(crate) fn arguments(capabilities: &BTreeSet<Capability>) -> Vec<String> {
    let has = |capability: Capability| capabilities.contains(&capability);
    let own = [Capability::Read, Capability::Write, Capability::Shell, Capability::Network];
    let mut arguments = vec![format!("--disallowedTools={WAKING}")];
    // With all of them, the program's own choice for the version and the model is the best one.
    if !own.iter().all(|capability| capabilities.contains(capability)) {
        let groups = [
            (!capabilities.is_empty(), ALWAYS),
            (has(Capability::Read), READ),
            (has(Capability::Write), WRITE),
            (has(Capability::Shell), SHELL),
            (has(Capability::Write) && has(Capability::Shell), WORKTREES),
            (has(Capability::Network), NETWORK),
        ];
        let tools: Vec<_> = groups.iter().filter(|(is_in, _)| *is_in).flat_map(|(_, tools)| *tools).collect();
        let tools = tools.into_iter().copied().collect::<Vec<_>>().join(",");
        arguments.push(format!("--tools={tools}"));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(capabilities: &[&str]) -> Option<String> {
        let capabilities = capabilities.iter().map(|name| name.parse().unwrap()).collect();
        let arguments = arguments(&capabilities);
        arguments.into_iter().find_map(|argument| argument.strip_prefix("--tools=").map(str::to_owned))
    }

    #[test]
    fn a_worker_has_the_tools_of_its_capabilities_and_no_others() {
        let always = ALWAYS.join(",");
        for (capabilities, expected) in [
            (&["read", "write", "shell", "network"][..], None),
            (&["read", "write", "shell", "network", "mcp:x"], None),
            (&[], Some(String::new())),
            (&["mcp:x"], Some(always.clone())),
            (&["read"], Some(format!("{always},Glob,Grep,LS,NotebookRead,Read"))),
            (&["write"], Some(format!("{always},Edit,MultiEdit,NotebookEdit,Write"))),
            (&["shell"], Some(format!("{always},Bash,BashOutput,KillShell"))),
            (&["network"], Some(format!("{always},WebFetch,WebSearch"))),
            (
                &["write", "shell"],
                Some(format!(
                    "{always},Edit,MultiEdit,NotebookEdit,Write,Bash,BashOutput,KillShell,EnterWorktree,ExitWorktree"
                )),
            ),
        ] {
            assert_eq!(tools(capabilities), expected, "{capabilities:?}");
        }
    }
}
