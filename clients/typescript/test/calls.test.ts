import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import {
  ConnectionError,
  Musher,
  MusherError,
  OptionError,
  TimeUpError,
  TokenError,
  UnauthorizedError,
  UnreadableError,
  WorkerNotFoundError,
} from "@musher/client";
import { type Answer, FakeServer, hangUp, nothing, refuse, reply } from "./fake-server.js";

const OVERLOADED = refuse(429, { code: "overloaded", message: "a queue is full", retryable: true }, { "retry-after": "0" });

async function called<T>(call: (musher: Musher) => Promise<T>, ...answers: Answer[]) {
  const fake = await FakeServer.start(...answers);
  const result = await call(fake.client()).catch((error: unknown) => error);
  fake.end();
  return { result, asked: fake.asked };
}

test("an input is sent again under the same key until it is answered", async () => {
  const { result, asked } = await called(
    (musher) => musher.sendInput("wrk_1", "hello"),
    hangUp,
    OVERLOADED,
    reply({ ack: { duplicate: true } }),
  );
  assert.deepEqual(result, { duplicate: true });
  const key = asked[0]?.headers["idempotency-key"] ?? "";
  assert.match(key, /^[0-9a-f-]{36}$/);
  const request = {
    method: "POST",
    path: "/v1/workers/wrk_1/input",
    headers: {
      accept: "*/*",
      authorization: "Bearer s3cret",
      "content-type": "application/json",
      "idempotency-key": key,
    },
    body: '{"kind":"user","content":"hello"}',
  };
  assert.deepEqual(asked, [request, request, request]);
});

test("an input's own id is its key", async () => {
  const input = { kind: "user", content: "hello", input_id: "mine" } as const;
  const { asked } = await called((musher) => musher.sendInput("wrk_1", input), reply({ ack: {} }));
  assert.equal(asked[0]?.headers["idempotency-key"], "mine");
});

test("without a key only what was not done is repeated", async () => {
  const stop = (musher: Musher) => musher.stop("wrk_1", {}, { idempotencyKey: null });
  const busy = await called(stop, OVERLOADED, reply({ ack: { status: "stopped" } }));
  assert.deepEqual(busy.result, { status: "stopped" });
  assert.deepEqual(busy.asked.map(({ headers }) => "idempotency-key" in headers), [false, false]);
  const lost = await called(stop, hangUp, reply({ ack: {} }));
  assert.ok(lost.result instanceof ConnectionError);
  assert.equal(lost.asked.length, 1);
  const input = { kind: "user", content: "hello", input_id: "mine" } as const;
  const own = (musher: Musher) => musher.sendInput("wrk_1", input, { idempotencyKey: null });
  const { asked } = await called(own, hangUp, reply({ ack: {} }));
  const keys = asked.map(({ headers }) => headers["idempotency-key"]);
  assert.deepEqual(keys, ["mine", "mine"]);
});

test("a refusal is an error with all that the server says, and is not repeated", async () => {
  const said = { code: "worker_execution_unavailable", message: "cannot run", missing: ["a model"], field: "/profile" };
  const { result, asked } = await called(
    (musher) => musher.createWorker({ intent: { kind: "assistant" } }),
    refuse(409, said),
  );
  assert(result instanceof MusherError);
  const { code, status, message, requestId, retryable, missing, field } = result;
  const told = { code, status, message, requestId, retryable, missing, field };
  assert.deepEqual(told, { ...said, status: 409, requestId: "req_1", retryable: false });
  assert.equal(asked.length, 1);
});

test("what asks again too often gives up", async () => {
  const fake = await FakeServer.start(hangUp, hangUp, hangUp);
  const musher = fake.client({ retry: { attempts: 3, firstWaitMs: 1 } });
  await assert.rejects(musher.worker("wrk_1"), ConnectionError);
  assert.equal(fake.asked.length, 3);
  fake.end();
});

test("a deletion whose answer was lost is done when the worker is gone", async () => {
  const gone = refuse(404, { code: "worker_not_found", message: "no such worker" });
  const lost = await called((musher) => musher.deleteWorker("wrk_1"), hangUp, gone);
  assert.deepEqual([lost.result, lost.asked.length], [undefined, 2]);
  const never = await called((musher) => musher.deleteWorker("wrk_1"), gone);
  assert(never.result instanceof WorkerNotFoundError);
  const done = await called((musher) => musher.deleteWorker("wrk_1", { discard: true }), nothing);
  assert.deepEqual([done.result, done.asked[0]?.path], [undefined, "/v1/workers/wrk_1?discard=true"]);
});

test("a query has what it is given, and an id is one segment", async () => {
  const filter = { label: ["team=a", "story=4 2"], limit: 3, after: null };
  const list = await called((musher) => musher.listWorkers(filter), reply({ workers: [], next: null }));
  assert.equal(list.asked[0]?.path, "/v1/workers?label=team%3Da&label=story%3D4+2&limit=3");
  const { asked } = await called((musher) => musher.worker("../livez?x#y"), reply({ worker: {} }));
  assert.equal(asked[0]?.path, "/v1/workers/..%2Flivez%3Fx%23y");
});

test("what is not of Musher is said to be so", async () => {
  const answers: Answer[] = [
    (response) => response.writeHead(502).end("<p>"),
    (response) => response.writeHead(502).end("null"),
    (response) => response.writeHead(200).end("<p>"),
    (response) => response.writeHead(200).end("1"),
    (response) => response.writeHead(302, { location: "/elsewhere" }).end(),
  ];
  for (const answer of answers) {
    const { result, asked } = await called((musher) => musher.worker("wrk_1"), answer);
    assert(result instanceof UnreadableError, String(result));
    assert.equal(asked.length, 1);
  }
});

test("waiting asks until it holds, or the time is up", async () => {
  const busy = { status: "running", execution: { turn_id: "trn_1" }, queued_inputs: 0 };
  const idle = { status: "running", execution: { turn_id: null }, queued_inputs: 0 };
  const held = await called((musher) => musher.waitFor("wrk_1", "idle"), reply({ worker: busy }), reply({ worker: idle }));
  assert.deepEqual(held.result, idle);
  const path = "/v1/workers/wrk_1?until=idle&wait=20";
  assert.deepEqual(held.asked.map((asked) => asked.path), [path, path]);
  // More than are asked for in that time.
  const answers = Array.from({ length: 20 }, () => reply({ worker: idle }));
  const late = await called((musher) => musher.waitFor("wrk_1", "terminal", { timeoutMs: 1000 }), ...answers);
  assert(late.result instanceof TimeUpError);
  assert.deepEqual(late.result.worker, idle);
  assert.equal(late.asked[0]?.path, "/v1/workers/wrk_1?until=terminal&wait=1");
});

test("a signal gives a call up, while it asks and while it waits to ask again", async () => {
  const asking = new AbortController();
  const silent = await FakeServer.start(() => asking.abort("enough"));
  await assert.rejects(silent.client().worker("wrk_1", { signal: asking.signal }), (error) => error === "enough");
  await silent.closed(1);
  silent.end();

  const waiting = new AbortController();
  const busy = await FakeServer.start(refuse(503, { code: "draining", message: "ending" }, { "retry-after": "50" }));
  const call = busy.client().worker("wrk_1", { signal: waiting.signal });
  await busy.closed(1);
  waiting.abort("enough");
  await assert.rejects(call, (error) => error === "enough");
  busy.end();
});

test("no error and no inspection shows the token", async () => {
  const token = "s3cret";
  const shown = [inspect(new Musher({ url: "http://127.0.0.1:1", token }), { showHidden: true, depth: 9 })];
  const isOf = (type: typeof MusherError) => (error: unknown) => {
    shown.push(inspect(error));
    return error instanceof type;
  };
  const wrong: (() => unknown)[] = [
    () => new Musher({ url: "http://127.0.0.1", token: `${token} ${token}` }),
    () => new Musher({ url: `http://ann:${token}@127.0.0.1` }),
    () => new Musher({ url: `ann:${token}@127.0.0.1` }),
    () => new Musher({ url: `http://[${token}` }),
    () => new Musher({ url: `http://127.0.0.1/?${token}` }),
  ];
  for (const make of wrong) {
    assert.throws(make, isOf(OptionError));
  }
  const unreachable = new Musher({ url: "http://127.0.0.1:1", token, retry: { attempts: 1 } });
  await assert.rejects(unreachable.worker("wrk_1"), isOf(ConnectionError));
  assert.equal(shown.length, 7);
  assert.deepEqual(shown.filter((text) => text.includes(token)), []);
});

test("a token may be fetched for each request, and a proxy may have a path", async () => {
  const fake = await FakeServer.start(reply({ worker: {} }), reply({ worker: {} }));
  let n = 0;
  const musher = fake.client({ url: `${fake.url}/musher/`, token: async () => `t${(n += 1)}` });
  await musher.worker("wrk_1");
  await musher.worker("wrk_1");
  assert.deepEqual(fake.asked.map(({ path, headers }) => [path, headers["authorization"]]), [
    ["/musher/v1/workers/wrk_1", "Bearer t1"],
    ["/musher/v1/workers/wrk_1", "Bearer t2"],
  ]);
  fake.end();
});

test("a token that cannot be got is an error of this package, and nothing is sent", async () => {
  const cause = new TypeError("nobody is logged in");
  const own = new UnauthorizedError("log in again", { code: "unauthorized" });
  const cases: [() => unknown, typeof MusherError, unknown][] = [
    [() => Promise.reject(cause), TokenError, cause],
    [() => { throw cause; }, TokenError, cause],
    [() => Promise.reject(own), UnauthorizedError, undefined],
    [() => "two words", OptionError, undefined],
  ];
  for (const [token, type, expected] of cases) {
    const fake = await FakeServer.start();
    const call = fake.client({ token: token as () => string }).worker("wrk_1");
    await assert.rejects(call, (error) => {
      assert(error instanceof MusherError);
      assert.deepEqual([error.constructor, error.cause], [type, expected]);
      return true;
    });
    assert.deepEqual(fake.asked, []);
    fake.end();
  }
  const fake = await FakeServer.start();
  const nothing = fake.client({ token: () => undefined as unknown as string }).worker("wrk_1");
  await assert.rejects(nothing, TokenError);
  fake.end();
});

test("a signal gives up waiting for a token, too", async () => {
  const fake = await FakeServer.start();
  const leaving = new AbortController();
  const token = () => new Promise<string>(() => leaving.abort("enough"));
  await assert.rejects(fake.client({ token }).worker("wrk_1", { signal: leaving.signal }), (error) => error === "enough");
  const closing = new AbortController();
  const events = fake.client({ token: () => new Promise<string>(() => closing.abort("enough")) });
  await assert.rejects(events.follow("wrk_1", { signal: closing.signal }).next(), (error) => error === "enough");
  assert.deepEqual(fake.asked, []);
  fake.end();
});
