import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ConnectionError,
  CursorExpiredError,
  type EventStream,
  type FollowOptions,
  ForbiddenError,
  GapError,
  HistoryChangedError,
  type Lost,
  MusherError,
  type Start,
  TokenError,
  TooLargeError,
  UnauthorizedError,
  UnreadableError,
  WorkerNotFoundError,
} from "@musher/client";
import { type Answer, FakeServer, event, hangUp, last, nothing, refuse, reply, stream } from "./fake-server.js";

const FAST = { firstWaitMs: 1, longestWaitMs: 2 };
const SNAPSHOT = event(3, { type: "snapshot" });

/** Reads to the end, or to what is thrown. */
async function drain(events: EventStream): Promise<{ seqs: number[]; error: unknown }> {
  const seqs: number[] = [];
  try {
    for await (const envelope of events) {
      seqs.push(envelope.seq);
    }
  } catch (error) {
    return { seqs, error };
  }
  return { seqs, error: null };
}

/** What a stream gives and where each of its requests wanted to go on from, against these answers. */
async function follow(options: FollowOptions, ...answers: Answer[]) {
  const fake = await FakeServer.start(...answers);
  const events = fake.client().follow("wrk_1", { reconnect: FAST, ...options });
  const { seqs, error } = await drain(events);
  fake.end();
  const after = fake.asked.map((asked) => asked.headers["last-event-id"] ?? null);
  return { seqs, error, after, asked: fake.asked, place: events.place };
}

test("a lost stream goes on behind the last event", async () => {
  const got = await follow(
    {},
    stream([SNAPSHOT, event(4)], "breaks off"),
    hangUp,
    refuse(503, { code: "draining", message: "ending" }),
    stream([event(5)], "ends"),
    stream([last(6)], "is silent"),
  );
  assert.deepEqual([got.seqs, got.error], [[3, 4, 5, 6], null]);
  assert.deepEqual(got.after, [null, "wo_4", "wo_4", "wo_4", "wo_5"]);
  assert.deepEqual(got.place, { cursor: "wo_6", seq: 6 });
  assert.deepEqual(got.asked[1], {
    method: "GET",
    path: "/v1/workers/wrk_1/events",
    headers: { accept: "text/event-stream", authorization: "Bearer s3cret", "last-event-id": "wo_4" },
    body: "",
  });
});

test("a stream from the beginning has no snapshot", async () => {
  const page = reply({ events: [event(1)], next: "wo_1", has_more: true });
  const got = await follow({ start: "beginning" }, hangUp, page, stream([event(2), last(3)], "ends"));
  assert.deepEqual([got.seqs, got.error], [[1, 2, 3], null]);
  const path = "/v1/workers/wrk_1/events";
  assert.deepEqual(got.asked.map((asked) => asked.path), [`${path}?limit=1`, `${path}?limit=1`, path]);
  assert.equal(got.after[2], "wo_1");
});

test("a stream from the beginning of a log without events begins where the page ends", async () => {
  const page = reply({ events: [], next: "wo_7", has_more: false });
  const got = await follow({ start: "beginning" }, page, stream([last(8)], "ends"));
  assert.deepEqual([got.seqs, got.error, got.after], [[8], null, [null, "wo_7"]]);
});

test("behind the last event there is nothing", async () => {
  const got = await follow({ start: { after: "wo_9" } }, nothing);
  assert.deepEqual([got.seqs, got.error, got.after], [[], null, ["wo_9"]]);
});

test("a silent server is left for another connection", async () => {
  const lost: Lost[] = [];
  const got = await follow(
    { reconnect: { ...FAST, silenceMs: 1000 }, onLost: (loss) => lost.push(loss) },
    stream([SNAPSHOT], "is silent"),
    () => {},
    stream([last(4)], "ends"),
  );
  assert.deepEqual([got.seqs, got.error, got.after], [[3, 4], null, [null, "wo_3", "wo_3"]]);
  const said = lost.map(({ reason, times }) => [reason, times]);
  assert.deepEqual(said, [["nothing came for 1 s", 1], ["nothing came for 1 s", 2]]);
});

test("an event that is not the next one ends the stream", async () => {
  const cases: [FollowOptions, { cursor: string }[], number[], number, number][] = [
    [{}, [SNAPSHOT, event(5)], [3], 4, 5],
    [{}, [SNAPSHOT, event(4), event(4)], [3, 4], 5, 4],
    [{ start: { after: "wo_7", seq: 7 } }, [event(9)], [], 8, 9],
    [{ start: { after: "wo_7" } }, [event(8), event(7)], [8], 9, 7],
  ];
  for (const [options, events, seqs, expected, came] of cases) {
    const got = await follow(options, stream(events, "is silent"));
    assert.deepEqual(got.seqs, seqs);
    assert(got.error instanceof GapError);
    assert.deepEqual([got.error.expected, got.error.came], [expected, came]);
    assert.equal(got.asked.length, 1);
  }
});

test("a gap over a lost connection is noticed as well", async () => {
  const got = await follow({}, stream([SNAPSHOT], "breaks off"), stream([event(5)], "is silent"));
  assert.deepEqual(got.seqs, [3]);
  assert(got.error instanceof GapError);
});

test("what a stream cannot go on from has a type", async () => {
  const body = (code: string, more: object = {}) => ({ code, message: `it is ${code}`, ...more });
  const expired = body("cursor_expired", { oldest_cursor: "wo_2" });
  const cases: [Answer, typeof MusherError, number][] = [
    [refuse(401, body("unauthorized")), UnauthorizedError, 401],
    [refuse(403, body("forbidden")), ForbiddenError, 403],
    [refuse(404, body("worker_not_found")), WorkerNotFoundError, 404],
    [refuse(410, expired), CursorExpiredError, 410],
    [refuse(410, { ...expired, reason: "history_changed" }), HistoryChangedError, 410],
    [refuse(400, body("cursor_malformed")), MusherError, 400],
    [refuse(500, body("store_corrupt")), MusherError, 500],
  ];
  for (const [answer, type, status] of cases) {
    const { error } = await follow({ start: { after: "wo_1" } }, answer);
    assert(error instanceof MusherError);
    assert.deepEqual([error.constructor, error.status, error.requestId], [type, status, "req_1"]);
    assert.equal(error.message, `it is ${error.code}`);
    assert.equal(error instanceof CursorExpiredError ? error.oldestCursor : "wo_2", "wo_2");
  }
});

test("a log that has lost what was seen of it has another history", async () => {
  const wrong = refuse(400, { code: "wrong_runtime_cursor", message: "the cursor is of the future" });
  const lost = await follow({}, stream([SNAPSHOT], "breaks off"), wrong);
  assert(lost.error instanceof HistoryChangedError);
  assert.deepEqual([lost.error.status, lost.error.oldestCursor], [400, null]);
  const page = (seq: number) => reply({ events: [event(seq)], next: `wo_${seq}`, has_more: false });
  const given = await follow({ start: { after: "wo_9", seq: 9 } }, wrong, hangUp, wrong, page(7));
  assert(given.error instanceof HistoryChangedError);
  assert.deepEqual(given.asked.map(({ path }) => path.split("?")[1]), [undefined, "tail=1", undefined, "tail=1"]);

  const starts: Start[] = [{ after: "wo_9", seq: 9 }, { after: "wo_9" }];
  for (const start of starts) {
    const foreign = await follow({ start }, wrong, page(9));
    assert(foreign.error instanceof MusherError && !(foreign.error instanceof HistoryChangedError));
  }
});

test("what is no stream of this log ends it", async () => {
  const foreign = { ...event(4), worker_id: "wrk_2" };
  const html: Answer = (response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>");
  const elsewhere: Answer = (response) => response.writeHead(302, { location: "/login" }).end();
  const text = (data: string): Answer => (response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" }).end(`data: ${data}\n\n`);
  };
  const answers = [stream([SNAPSHOT, foreign], "ends"), stream([SNAPSHOT, SNAPSHOT], "ends"), html, elsewhere];
  for (const answer of [...answers, text("{"), text("null"), text('{"seq":1}')]) {
    const { error, asked } = await follow({}, answer);
    assert(error instanceof UnreadableError, String(error));
    assert.equal(asked.length, 1);
  }
});

test("an event without end is not collected", async () => {
  const endless: Answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const more = () => {
      response.write("x".repeat(1 << 16), (error) => (error ? undefined : more()));
    };
    more();
  };
  const { error } = await follow({}, endless);
  assert(error instanceof TooLargeError);
});

test("patience ends, and why the server ended the stream is told", async () => {
  const farewell: Answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end('retry: 2000\n\n: {"code":"runtime.upstream_closed"}\n\n');
  };
  // The second wait alone is longer than the patience, whatever the machine does.
  const { error, after } = await follow(
    { reconnect: { firstWaitMs: 2000, longestWaitMs: 10_000, patienceMs: 3900 } },
    stream([SNAPSHOT], "ends"),
    farewell,
  );
  assert(error instanceof ConnectionError);
  assert.equal(error.message, 'nothing new was heard for 3.9 s: {"code":"runtime.upstream_closed"}');
  assert.deepEqual(after, [null, "wo_3"]);
});

test("leaving a stream releases its connection, whoever leaves it", async () => {
  const reason = new Error("enough");
  const leave: [string, (events: EventStream, controller: AbortController) => void, unknown][] = [
    ["close", (events) => events.close(), null],
    ["return", (events) => void events.return(), null],
    ["abort", (_, controller) => controller.abort(reason), reason],
  ];
  for (const [name, leaves, expected] of leave) {
    const fake = await FakeServer.start(stream([SNAPSHOT], "is silent"));
    const controller = new AbortController();
    const events = fake.client().follow("wrk_1", { signal: controller.signal });
    assert.equal((await events.next()).value?.seq, 3);
    const waiting = drain(events);
    leaves(events, controller);
    await fake.closed(1);
    assert.deepEqual(await waiting, { seqs: [], error: expected }, name);
    assert.deepEqual(await events.next(), { done: true, value: undefined }, name);
    fake.end();
  }
});

test("a reader that leaves its loop gets nothing more, though more had come", async () => {
  const fake = await FakeServer.start(stream([SNAPSHOT, event(4), event(5)], "is silent"));
  const events = fake.client().follow("wrk_1");
  const seqs: number[] = [];
  for await (const envelope of events) {
    seqs.push(envelope.seq);
    break;
  }
  await fake.closed(1);
  assert.deepEqual(seqs, [3]);
  assert.deepEqual(events.place, { cursor: "wo_3", seq: 3 });
  fake.end();
});

test("a token that cannot be got ends a stream with its own error", async () => {
  const cause = new TypeError("nobody is logged in");
  const tokens = ["t1"];
  const token = async () => tokens.shift() ?? Promise.reject(cause);
  const fake = await FakeServer.start(stream([SNAPSHOT], "breaks off"));
  const { seqs, error } = await drain(fake.client({ token }).follow("wrk_1", { reconnect: FAST }));
  fake.end();
  assert(error instanceof TokenError);
  assert.deepEqual([seqs, error.code, error.cause, fake.asked.length], [[3], "token_failed", cause, 1]);
});

test("a signal that was given before asks nothing", async () => {
  const { error, asked } = await follow({ signal: AbortSignal.abort("before") });
  assert.deepEqual([error, asked], ["before", []]);
});
