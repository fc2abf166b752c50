use super::*;

/// What a test says about a script, in one line.
fn show(script: Result<Script, Violation>) -> String {
    match script {
        Ok(Script::Silence) => "silence".into(),
        Ok(Script::Refuse(Refusal { status, kind, headers, .. })) => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{status} {kind} {}", headers.join(" ")).trim_end().into()
        }
        Ok(Script::Answer(Answer { blocks, stop, pace, ending })) => {
            let blocks: Vec<_> = blocks.iter().map(show_block).collect();
            let mut line = format!("{} -> {stop:?}", blocks.join(" "));
            if !pace.is_zero() {
                line.push_str(&format!(" every {pace:?}"));
            }
            if ending != Ending::Complete {
                line.push_str(&format!(" {ending:?}"));
            }
            line.trim_start().into()
        }
        Err(violation) => format!("violation: {violation}"),
    }
}

fn show_block(block: &Block) -> String {
    match block {
        Block::Text { text, .. } => format!("text({text})"),
        Block::Thinking(text) => format!("thinking({text})"),
        Block::ToolUse { name, input } => format!("{name}{input}"),
    }
}

fn check(prompt: &str, step: usize, attempt: usize, expected: &str) {
    let turn = Turn { prompt: prompt.into(), step, results: Vec::new() };
    assert_eq!(show(script(&turn, attempt, 1_000)), expected, "{prompt:?} in step {step}, attempt {attempt}");
}

#[test]
fn the_prompt_says_what_the_model_does() {
    let bash = |command: &str| format!(r#"Bash{{"command":"{command}","description":"fake command"}}"#);
    let cases = [
        ("hello", 0, "text(FAKE-OK: hello) -> EndTurn"),
        ("", 0, "text(FAKE-OK: ) -> EndTurn"),
        (
            "  1234567890123456789012345678901234567890 and more",
            0,
            "text(FAKE-OK: 1234567890123456789012345678901234567890) -> EndTurn",
        ),
        ("@@text:a: b, c@@", 0, "text(a: b, c) -> EndTurn"),
        ("@@think@@", 0, "thinking(Let me think about it.) text(thought done) -> EndTurn"),
        ("please @@bash:echo hi@@ now", 0, &format!("text(I will run it.) {} -> ToolUse", bash("echo hi"))),
        ("@@bash:echo hi@@", 1, "text(FAKE-DONE bash step=1) -> EndTurn"),
        ("@@write:/w/a@@", 0, r#"Write{"content":"line 1\nline 2\n","file_path":"/w/a"} -> ToolUse"#),
        ("@@read:/w/a@@", 0, r#"Read{"file_path":"/w/a"} -> ToolUse"#),
        (
            "@@edit:/w/a@@",
            0,
            r#"Edit{"file_path":"/w/a","new_string":"LINE TWO","old_string":"line 2"} -> ToolUse"#,
        ),
        ("@@two@@", 0, &format!("text(Two tools.) {} {} -> ToolUse", bash("echo one"), bash("echo two"))),
        ("@@two@@", 1, "text(FAKE-DONE two step=1) -> EndTurn"),
        (
            r#"@@tools:[["Read",{"file_path":"/a"}],["Glob",{}]]@@"#,
            0,
            r#"Read{"file_path":"/a"} Glob{} -> ToolUse"#,
        ),
        (
            r#"@@tools:[["Read",{"file_path":"/a"}],["Glob",{}]]@@"#,
            1,
            "text(FAKE-DONE tools step=1) -> EndTurn",
        ),
        ("@@loop@@", 7, &format!("{} -> ToolUse", bash("echo loop-7"))),
        (r#"@@tool:Grep|{"pattern":"x|y"}@@"#, 0, r#"Grep{"pattern":"x|y"} -> ToolUse"#),
        ("@@tool:ListFiles@@", 0, "ListFiles{} -> ToolUse"),
        ("@@slow:2,50@@", 0, "text(word0 word1) -> EndTurn every 50ms"),
        ("@@giant:20@@", 0, "text(0123456789abcdef0123) -> EndTurn"),
        ("@@hang@@", 0, "silence"),
        ("@@hangmid@@", 0, "text(one two three four) -> EndTurn Silence { after: 1 }"),
        ("@@maxtokens@@", 0, "text(truncated ans) -> MaxTokens"),
        ("@@refusal@@", 0, "-> Refusal"),
        ("@@empty@@", 0, "-> EndTurn"),
    ];
    for (prompt, step, expected) in cases {
        check(prompt, step, 1, expected);
    }
}

#[test]
fn scenarios_that_fail_recover_when_their_count_is_over() {
    check("@@status:500@@", 0, 99, "500 api_error");
    check("@@status:529,2@@", 0, 2, "529 overloaded_error");
    check("@@status:529,2@@", 0, 3, "text(recovered after 2 errors) -> EndTurn");
    check("@@status:429,,7@@", 0, 1, "429 rate_limit_error retry-after=7");
    check("@@disconnect1@@", 0, 1, "text(one two three four) -> EndTurn Disconnect { after: 2 }");
    check("@@disconnect1@@", 0, 2, "text(recovered after a disconnect) -> EndTurn");
    check("@@sseerror1@@", 0, 1, "text(one two three four) -> EndTurn Error { after: 2 }");
    check("@@sseerror1@@", 0, 2, "text(recovered after an error event) -> EndTurn");
    check("@@limit:seven_day,1,60@@", 0, 2, "text(recovered from the limit) -> EndTurn");
    check(
        "@@limit:seven_day,1,60@@",
        0,
        1,
        "429 rate_limit_error anthropic-ratelimit-unified-status=rejected \
         anthropic-ratelimit-unified-reset=1060 \
         anthropic-ratelimit-unified-representative-claim=seven_day \
         anthropic-ratelimit-unified-5h-status=allowed anthropic-ratelimit-unified-5h-reset=1060 \
         anthropic-ratelimit-unified-7d-status=rejected anthropic-ratelimit-unified-7d-reset=1060 \
         anthropic-ratelimit-unified-overage-status=rejected retry-after=60 x-should-retry=false",
    );
}

#[test]
fn a_marker_that_says_nothing_is_a_violation() {
    for (prompt, marker) in [
        ("@@nosuch@@", "@@nosuch:@@"),
        ("@@slow:2@@", "@@slow:2@@"),
        ("@@slow:2,x@@", "@@slow:2,x@@"),
        ("@@slow:100001,1@@", "@@slow:100001,1@@"),
        ("@@giant:many@@", "@@giant:many@@"),
        ("@@giant:33554433@@", "@@giant:33554433@@"),
        ("@@status:200@@", "@@status:200@@"),
        ("@@status:500,1,2,3@@", "@@status:500,1,2,3@@"),
        ("@@limit@@", "@@limit:@@"),
        ("@@limit:five\nhour@@", "@@limit:five\nhour@@"),
        ("@@tool:Grep|{@@", "@@tool:Grep|{@@"),
        ("@@tools:Grep@@", "@@tools:Grep@@"),
        (r#"@@tools:[["Grep"]]@@"#, r#"@@tools:[["Grep"]]@@"#),
    ] {
        check(prompt, 0, 1, &format!("violation: no such scenario: {marker}"));
    }
}
