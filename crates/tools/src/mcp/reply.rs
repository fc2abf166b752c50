//! What a server answers, as a model can read it.

use musher_backend::ToolOutput;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ResourceContents};

use crate::bound;

/// The output of a call that was answered.
pub(super) fn output(response: CallToolResponse) -> ToolOutput {
    match response {
        CallToolResponse::Complete(result) => complete(result),
        CallToolResponse::InputRequired(_) => ToolOutput::error(
            "the tool asks its caller for more, which a worker cannot answer; nothing else is known",
        ),
        CallToolResponse::Task(_) => ToolOutput::error(
            "the tool goes on in the background, which is not supported; its result will not be seen",
        ),
        _ => ToolOutput::error("the tool answered in a way that is not known"),
    }
}

fn complete(result: CallToolResult) -> ToolOutput {
    let mut blocks: Vec<String> = result.content.into_iter().map(text).collect();
    // The text repeats it where there is any, says the protocol.
    if blocks.is_empty()
        && let Some(structured) = result.structured_content
    {
        blocks.push(structured.to_string());
    }
    let text = blocks.join("\n");
    let text = if text.is_empty() { "[no output]".to_owned() } else { text };
    ToolOutput { is_error: result.is_error == Some(true), ..bound::output(text) }
}

/// A block as text; what is none is named.
fn text(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => format!("[an image, {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound, {}]", audio.mime_type),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text,
            ResourceContents::BlobResourceContents { uri, mime_type, .. } => {
                format!("[{uri}, {}]", mime_type.as_deref().unwrap_or("of unknown type"))
            }
            _ => "[a resource of an unknown kind]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
        _ => "[a content of an unknown kind]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(result: Value, content: &str, is_error: bool) {
        let result: CallToolResult = serde_json::from_value(result).unwrap();
        let expected = ToolOutput { content: content.to_owned(), is_error, ..ToolOutput::default() };
        assert_eq!(output(CallToolResponse::Complete(result)), expected);
    }

    #[test]
    fn every_kind_of_content_is_told() {
        check(
            json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
            "a\nb",
            false,
        );
        check(json!({"content": [{"type": "text", "text": "a"}], "isError": true}), "a", true);
        check(json!({"content": []}), "[no output]", false);
        check(json!({"content": [], "structuredContent": {"n": 1}}), r#"{"n":1}"#, false);
        check(json!({"content": [{"type": "text", "text": "n"}], "structuredContent": {"n": 1}}), "n", false);
        check(
            json!({"content": [
                {"type": "image", "data": "AA==", "mimeType": "image/png"},
                {"type": "audio", "data": "AA==", "mimeType": "audio/wav"},
                {"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}},
                {"type": "resource", "resource": {"uri": "file:///b", "blob": "AA=="}},
                {"type": "resource_link", "uri": "file:///c", "name": "c"},
            ]}),
            "[an image, image/png]\n[a sound, audio/wav]\ninside\n[file:///b, of unknown type]\n[c: file:///c]",
            false,
        );
    }
}
