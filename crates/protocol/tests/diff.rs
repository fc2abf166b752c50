//! What a worker changed, as it is written and read.

use musher_protocol::{ChangedFile, DiffReply, FileChange, WorkspaceDiff};
use serde_json::json;

#[test]
fn a_diff_is_told_with_what_became_of_each_file() {
    let changed = |change, path: &str, additions, deletions| ChangedFile {
        path: path.to_owned(),
        previous_path: (change == FileChange::Renamed).then(|| "src/old.rs".to_owned()),
        change,
        additions,
        deletions,
    };
    let reply = DiffReply {
        diff: WorkspaceDiff {
            workspace: "main".to_owned(),
            branch: Some("musher/wrk_1".to_owned()),
            base_commit: "3f0c".to_owned(),
            files: vec![
                changed(FileChange::Modified, "README", Some(1), Some(0)),
                changed(FileChange::Added, "inner/", None, None),
                changed(FileChange::Deleted, "old", Some(0), Some(3)),
                changed(FileChange::Renamed, "src/new.rs", Some(0), Some(0)),
            ],
            patch: "diff --git a/README b/README\n".to_owned(),
            truncated: true,
        },
    };
    let json = json!({"diff": {
        "workspace": "main", "branch": "musher/wrk_1", "base_commit": "3f0c", "truncated": true,
        "files": [
            {"path": "README", "change": "modified", "additions": 1, "deletions": 0},
            {"path": "inner/", "change": "added"},
            {"path": "old", "change": "deleted", "additions": 0, "deletions": 3},
            {"path": "src/new.rs", "previous_path": "src/old.rs", "change": "renamed", "additions": 0, "deletions": 0},
        ],
        "patch": "diff --git a/README b/README\n",
    }});
    assert_eq!(serde_json::to_value(&reply).unwrap(), json);
    assert_eq!(serde_json::from_value::<DiffReply>(json).unwrap(), reply);
}
