use super::*;

fn value(start: usize, end: usize, name: &str, arguments: &[&str], result: Returned) -> Call {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    Call { span: Span { start, end }, name: name.to_owned(), arguments, result }
}

#[test]
fn whole_calls_split_calls_injected_calls_and_calls_that_never_return_are_told_apart() {
    let trace = r#"15105 pwrite64(3<\x2f\x66>, "\x22\x3c\x29", 27, 0) = 3
15105 fdatasync(3<\x2f\x66> <unfinished ...>
15106 fdatasync(4<\x2f\x67>)        = -1 EIO (Input/output error) (INJECTED)
15106 rename("\x2f\x66", "\x2f\x68" <unfinished ...>
15105 <... fdatasync resumed>)          = 0
15106 <... rename resumed>)           = -1 ENOENT (No such file or directory)
15105 fsync(5<\x2f\x64>) = 0 (INJECTED)
15105 writev(6<socket:[1]>, [{iov_base="\x61\x2c", iov_len=2}, {iov_base="\x63", iov_len=1}], 2) = 3
15106 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---
15106 openat(AT_FDCWD<\x2f>, "\x66", O_RDWR|O_CREAT, 0644) = 3<\x2f\x66>
15107 pwrite64(3<\x2f\x66>, "\x61", 1, 0) = ?
15105 mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, 5<\x2f\x73>, 0) = 0x7fceb63eb000
15105 pwrite64(3<\x2f\x66>, "\x61", 1, 0 <unfinished ...>
15106 +++ killed by SIGKILL +++
"#;
    let f = r"3<\x2f\x66>";
    let expected = [
        value(1, 1, "pwrite64", &[f, r#""\x22\x3c\x29""#, "27", "0"], Returned::Value(3)),
        value(3, 3, "fdatasync", &[r"4<\x2f\x67>"], Returned::Injected),
        value(2, 5, "fdatasync", &[f], Returned::Value(0)),
        value(4, 6, "rename", &[r#""\x2f\x66""#, r#""\x2f\x68""#], Returned::Error("ENOENT".to_owned())),
        value(7, 7, "fsync", &[r"5<\x2f\x64>"], Returned::Injected),
        value(
            8,
            8,
            "writev",
            &["6<socket:[1]>", r#"[{iov_base="\x61\x2c", iov_len=2}, {iov_base="\x63", iov_len=1}]"#, "2"],
            Returned::Value(3),
        ),
        value(
            10,
            10,
            "openat",
            &[r"AT_FDCWD<\x2f>", r#""\x66""#, "O_RDWR|O_CREAT", "0644"],
            Returned::Value(3),
        ),
        value(11, NEVER, "pwrite64", &[f, r#""\x61""#, "1", "0"], Returned::Never),
        value(
            12,
            12,
            "mmap",
            &["NULL", "32768", "PROT_READ|PROT_WRITE", "MAP_SHARED", r"5<\x2f\x73>", "0"],
            Returned::Value(0),
        ),
        value(13, NEVER, "pwrite64", &[f, r#""\x61""#, "1", "0"], Returned::Never),
    ];
    assert_eq!(read(trace, 1).unwrap(), expected);
}

#[test]
fn a_garbled_trace_is_refused_with_its_line() {
    let cases = [
        ("1 close(3) = 0\nclose", 2),
        ("1 close(3", 1),
        ("1 <... close resumed>) = 0", 1),
        ("1 close(3) = 0\n1 close(3 <unfinished ...>\n1 close(3 <unfinished ...>", 3),
    ];
    for (trace, line) in cases {
        assert_eq!(read(trace, 1).unwrap_err().line, line, "{trace}");
    }
}

#[test]
fn strings_vectors_and_descriptors_are_decoded() {
    assert_eq!(bytes(r#""\x00\xffa""#, 1), Ok(vec![0, 255, b'a']));
    assert_eq!(bytes(r#""\x00"..."#, 7).unwrap_err().line, 7);
    assert_eq!(bytes("NULL", 1).unwrap_err().line, 1);
    assert_eq!(bytes(r#""\n""#, 1).unwrap_err().line, 1);
    let message = r#"{msg_name=NULL, msg_iov=[{iov_base="\x61", iov_len=1}, {iov_base="\x62", iov_len=1}]}"#;
    assert_eq!(vector_bytes(message, 1), Ok(b"ab".to_vec()));
    let file = |number, name: &str, gone| Some((number, name.to_owned(), gone));
    assert_eq!(descriptor(r"4<\x2f\x66>"), file(4, "/f", false));
    assert_eq!(descriptor(r"4<\x2f\x66>(deleted)"), file(4, "/f", true));
    assert_eq!(descriptor("AT_FDCWD</tmp>"), file(-100, "/tmp", false));
    assert_eq!(descriptor("4"), None);
}
