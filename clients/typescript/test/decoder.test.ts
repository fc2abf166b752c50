import assert from "node:assert/strict";
import { test } from "node:test";
import { TooLargeError } from "@musher/client";
import { Decoder, type Item, MAX_EVENT } from "#dist/decoder.js";

function decode(text: string, piece: number): Item[] {
  const bytes = new TextEncoder().encode(text);
  const decoder = new Decoder();
  const items: Item[] = [];
  for (let begin = 0; begin < bytes.length; begin += piece) {
    items.push(...decoder.push(bytes.subarray(begin, begin + piece)));
  }
  return items;
}

test("what is said does not depend on how it is cut", () => {
  const text =
    'retry: 2000\n\nid: wo_1\ndata: {"a":"é🐕"}\n\n:\n\n: {"code":1}\r\n\r\ndata\ndata: two\ndata:three\n\n' +
    "event: other\nid: wo_2\n\ndata: cut off";
  const expected = [
    { kind: "event", text: '{"a":"é🐕"}' },
    { kind: "comment", text: "" },
    { kind: "comment", text: '{"code":1}' },
    { kind: "event", text: "\ntwo\nthree" },
  ];
  for (let piece = 1; piece < text.length + 8; piece += 1) {
    assert.deepEqual(decode(text, piece), expected, `${piece}`);
  }
});

test("neither a line nor an event grows without end", () => {
  const half = `data: ${"x".repeat(MAX_EVENT / 2)}\n`;
  assert.deepEqual(decode(half, 1 << 16), []);
  assert.throws(() => decode(half.repeat(2), 1 << 16), TooLargeError);
  assert.throws(() => decode("x".repeat(MAX_EVENT + 1), 1 << 16), TooLargeError);
  assert.throws(() => decode("data\n".repeat(MAX_EVENT + 1), 1 << 16), TooLargeError);
});
