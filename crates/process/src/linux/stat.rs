//! One line of `/proc/PID/stat`.

/// One process and no later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// Clock ticks since boot.
    pub(crate) start_time: u64,
}

/// What the kernel says about a process, as far as we ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) identity: Identity,
    /// The name of the program, at most 15 bytes; never an argument.
    pub(crate) command: String,
    /// 0 when the parent is outside our pid namespace.
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// A zombie: nothing of it runs any more.
    pub(crate) ended: bool,
    /// The kernel has laid out its program's environment, be it empty: it is not being replaced by another program.
    pub(crate) laid_out: bool,
}

impl Stat {
    /// Parses the line; `None` when it is not one.
    pub(crate) fn parse(line: &[u8]) -> Option<Stat> {
        // The name may hold spaces, parentheses and newlines; the last `)` ends it, as only numbers follow.
        let open = line.iter().position(|&byte| byte == b'(')?;
        let close = line.iter().rposition(|&byte| byte == b')')?;
        let pid = str::from_utf8(&line[..open]).ok()?.trim_end().parse().ok()?;
        let command = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
        let fields: Vec<&str> = str::from_utf8(&line[close + 1..]).ok()?.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1 and the state, the first after the name, is number 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let threads: u32 = field(20)?.parse().ok()?;
        Some(Stat {
            identity: Identity { pid, start_time: field(22)?.parse().ok()? },
            command,
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            // A leader that ended before its threads shows as a zombie while they run.
            ended: matches!(field(3)?, "Z" | "X" | "x") && threads <= 1,
            // Where the environment ends.
            laid_out: field(51).is_some_and(|end| end != "0"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything after the name, with the state and the number of threads to choose.
    fn line(name: &str, state: &str, threads: u32) -> String {
        format!(
            "4242 ({name}) {state} 17 4240 4200 34816 4242 4194304 97 0 0 0 1 2 0 0 20 0 {threads} 0 987654 \
             2306048 224 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 5 5 5 6 7 7 8 0\n"
        )
    }

    #[test]
    fn any_name_is_told_from_the_numbers() {
        for name in
            ["sh", "tmux: server", "a) b (c", ")", "(", "", "x) Z 1 1 1 (", "new\nline", "(sd-pam)", "ünï"]
        {
            let expected = Stat {
                identity: Identity { pid: 4242, start_time: 987_654 },
                command: name.to_owned(),
                parent: 17,
                session: 4200,
                ended: false,
                laid_out: true,
            };
            assert_eq!(Stat::parse(line(name, "S", 1).as_bytes()), Some(expected), "{name:?}");
        }
    }

    #[test]
    fn only_a_zombie_without_threads_has_ended() {
        for (state, threads, ended) in [
            ("R", 1, false),
            ("S", 8, false),
            ("D", 1, false),
            ("T", 1, false),
            ("t", 1, false),
            ("I", 1, false),
            ("Z", 1, true),
            ("Z", 0, true),
            ("Z", 3, false),
            ("X", 1, true),
        ] {
            let stat = Stat::parse(line("sh", state, threads).as_bytes()).unwrap();
            assert_eq!(stat.ended, ended, "{state} with {threads}");
        }
    }

    #[test]
    fn what_is_not_a_line_is_none() {
        let cut = line("sh", "S", 1);
        let cut = cut.split_at(cut.find(" 987654").unwrap()).0;
        for text in ["", "4242", "4242 (sh", ") (", "x (sh) S 1 2 3", "-1 (sh) S 1 2 3", cut] {
            assert_eq!(Stat::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn our_own_line_is_ours() {
        let stat = Stat::parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        assert_eq!((stat.identity.pid, stat.ended, stat.laid_out), (std::process::id(), false, true));
    }
}
