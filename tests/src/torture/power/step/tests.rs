use super::*;

fn acts(trace: &str) -> Result<Vec<Act>, Blind> {
    let steps = steps(&strace::read(trace, 1).unwrap(), Path::new("/r"))?;
    Ok(steps.into_iter().map(|step| step.act).collect())
}

fn opened(number: i64, path: &str, removed: bool) -> Opened {
    Opened { number, path: path.into(), removed }
}

#[test]
fn each_call_below_the_directory_is_a_step_and_others_are_none() {
    let wal = || opened(4, "s/db-wal", false);
    let cases = [
        (
            r#"1 openat(AT_FDCWD</r/s>, "db", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</r/s/db>"#,
            Some(Act::Open { path: "s/db".into(), number: 3, create: true, truncate: false, append: false }),
        ),
        (r#"1 openat(AT_FDCWD</r/s>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>"#, None),
        (r#"1 openat(AT_FDCWD</r>, "/r/no", O_RDONLY) = -1 ENOENT (No such file or directory)"#, None),
        (
            r#"1 pwrite64(4</r/s/db-wal>, "\x61\x62\x63", 3, 32) = 2"#,
            Some(Act::Write { file: wal(), at: Some(32), bytes: b"ab".to_vec() }),
        ),
        (
            r#"1 pwrite64(4</r/s/db-wal>, "\x61", 1, 32) = ?"#,
            Some(Act::Write { file: wal(), at: Some(32), bytes: b"a".to_vec() }),
        ),
        (
            r#"1 write(4</r/s/db-wal>, "\x61", 1) = 1"#,
            Some(Act::Write { file: wal(), at: None, bytes: b"a".to_vec() }),
        ),
        (r#"1 write(2</dev/null>, "\x61", 1) = 1"#, None),
        (r#"1 ftruncate(4</r/s/db-wal>, 0) = 0"#, Some(Act::Size { file: wal(), bytes: 0 })),
        (r#"1 fallocate(4</r/s/db-wal>, 0, 8, 8) = 0"#, Some(Act::Room { file: wal(), end: 16 })),
        (r#"1 lseek(4</r/s/db-wal>, 7, SEEK_SET) = 7"#, Some(Act::Seek { file: wal(), to: 7 })),
        (r#"1 fdatasync(4</r/s/db-wal>) = 0"#, Some(Act::Sync { file: wal() })),
        (r#"1 fdatasync(4</r/s/db-wal>) = 0 (INJECTED)"#, None),
        (r#"1 fsync(4</r/x>(deleted)) = 0"#, Some(Act::Sync { file: opened(4, "x", true) })),
        (r#"1 fsync(4</r>) = 0"#, Some(Act::Sync { file: opened(4, "", false) })),
        (
            r#"1 renameat2(AT_FDCWD</r>, "a", AT_FDCWD</r>, "b", RENAME_NOREPLACE) = 0"#,
            Some(Act::Rename { from: "a".into(), to: "b".into() }),
        ),
        (
            r#"1 linkat(AT_FDCWD</r>, "a", 9</r/s>, "b", 0) = 0"#,
            Some(Act::Link { from: "a".into(), to: "s/b".into() }),
        ),
        (r#"1 unlinkat(9</r/s>, "b", AT_REMOVEDIR) = 0"#, Some(Act::Remove { path: "s/b".into() })),
        (r#"1 mkdir("/r/s", 0700) = 0"#, Some(Act::MakeDirectory { path: "s".into() })),
        (
            r#"1 sendto(9<socket:[7]>, "\x68\x69", 2, MSG_NOSIGNAL, NULL, 0) = 2"#,
            Some(Act::Send { socket: "socket:[7]".to_owned(), bytes: b"hi".to_vec() }),
        ),
        (
            r#"1 writev(9<socket:[7]>, [{iov_base="\x61", iov_len=1}, {iov_base="\x62", iov_len=1}], 2) = 2"#,
            Some(Act::Send { socket: "socket:[7]".to_owned(), bytes: b"ab".to_vec() }),
        ),
        (r#"1 close(9<socket:[7]>) = 0"#, Some(Act::Hangup { socket: "socket:[7]".to_owned() })),
        (
            r#"1 mmap(NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED, 5</r/s/db-shm>, 0) = 0x7f00"#,
            Some(Act::Shared { file: opened(5, "s/db-shm", false) }),
        ),
        (r#"1 mmap(NULL, 9, PROT_READ, MAP_SHARED, 5</r/s/db>, 0) = 0x7f00"#, None),
        (r#"1 mmap(NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0) = 0x7f00"#, None),
    ];
    for (trace, act) in cases {
        assert_eq!(acts(trace), Ok(act.into_iter().collect()), "{trace}");
    }
}

#[test]
fn what_the_model_does_not_have_is_refused() {
    let cases = [
        r#"1 mmap(NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED, 5</r/s/db>, 0) = 0x7f00"#,
        r#"1 openat(AT_FDCWD</r>, "a", O_RDWR|O_DSYNC) = 3</r/a>"#,
        r#"1 unlink("/r/../r/a") = 0"#,
        r#"1 rename("/r/a", "/elsewhere") = 0"#,
        r#"1 renameat2(AT_FDCWD</r>, "a", AT_FDCWD</r>, "b", RENAME_EXCHANGE) = 0"#,
        r#"1 copy_file_range(4</r/a>, NULL, 5</r/b>, NULL, 9, 0) = 9"#,
        r#"1 sendfile(9<socket:[7]>, 4</etc/a>, NULL, 9) = 9"#,
        r#"1 symlink("\x61", "/r/b") = 0"#,
        r#"1 io_uring_setup(8, 0x7ff) = 5<anon_inode:[io_uring]>"#,
        r#"1 fallocate(4</r/a>, FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE, 0, 8) = 0"#,
        r#"1 pwrite64(4</r/a>, "\x61"..., 9, 0) = 9"#,
    ];
    for trace in cases {
        assert!(acts(trace).is_err(), "{trace}: {:?}", acts(trace));
    }
}

#[test]
fn steps_come_in_the_order_in_which_they_ended() {
    let trace = r#"1 fsync(4</r/a> <unfinished ...>
2 fsync(5</r/b> <unfinished ...>
3 fsync(6</r/c>) = 0
2 <... fsync resumed>) = 0
"#;
    let steps = steps(&strace::read(trace, 1).unwrap(), Path::new("/r")).unwrap();
    let order: Vec<_> = steps.iter().map(|step| (step.span.start, step.span.end)).collect();
    assert_eq!(order, [(3, 3), (2, 4), (1, strace::NEVER)]);
}
