import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  CursorExpiredError,
  type Envelope,
  ForbiddenError,
  GapError,
  type Musher,
  MusherError,
  type Payload,
  type Start,
  UnauthorizedError,
  WorkerNotFoundError,
} from "@musher/client";
import { fromEnvironment } from "@musher/client/node";
import { log } from "./log.js";
import { ONLOOKER, Server } from "./server.js";

let server: Server;
let musher: Musher;

before(async () => {
  server = await Server.start();
  musher = server.client();
});
after(() => server.end());

async function assistant(): Promise<string> {
  const worker = await musher.createWorker({ intent: { kind: "assistant" } });
  return worker.worker_id;
}

/** The whole log, by pages. */
function pages(id: string): Promise<Envelope[]> {
  return log(musher, id, 3);
}

async function collect(events: AsyncIterable<Envelope>): Promise<Envelope[]> {
  const all: Envelope[] = [];
  for await (const envelope of events) {
    all.push(envelope);
  }
  return all;
}

/** The text that a log says, in one piece. */
function said(events: Envelope[]): string {
  const text = (payload: Payload) => (payload.type === "text_delta" ? payload.text : "");
  return events.map(({ payload }) => text(payload)).join("");
}

test("a worker is created, told something, followed to its end and deleted", async () => {
  const request = { intent: { kind: "assistant" }, labels: { team: "a" }, display_name: "Rex" } as const;
  const { worker_id: id } = await musher.createWorker(request);
  const following = collect(musher.follow(id, { start: "beginning" }));
  const ack = await musher.sendInput(id, "good dog");
  const worker = await musher.waitFor(id, "idle");
  assert.deepEqual([worker.status, worker.outcome?.text, worker.queued_inputs], ["running", "good dog", 0]);
  const { workers } = await musher.listWorkers({ label: ["team=a"] });
  assert.deepEqual(workers.map(({ worker_id, display_name }) => [worker_id, display_name]), [[id, "Rex"]]);
  const { items } = await musher.transcript(id);
  assert.deepEqual(items.map(({ role, content }) => [role, content]), [["user", "good dog"], ["assistant", "good dog"]]);
  assert.equal((await musher.interrupt(id)).status, "running");
  assert.equal((await musher.stop(id, { reason: "enough" })).status, "stopped");
  assert.equal((await musher.waitFor(id, "terminal")).status, "stopped");

  const events = await following;
  assert.deepEqual(events, await pages(id));
  assert.equal(said(events), "good dog");
  assert(events.some(({ event_id }) => event_id === ack.event_id));
  await musher.deleteWorker(id);
  await assert.rejects(musher.worker(id), WorkerNotFoundError);
});

test("a stream begins with a snapshot, and a kept place goes on behind it", async () => {
  const id = await assistant();
  const first = musher.follow(id);
  const { value: snapshot } = await first.next();
  assert.equal(snapshot?.payload.type, "snapshot");
  first.close();
  const place = first.place;
  assert(place !== null);
  await musher.cancel(id);
  const rest = await collect(musher.follow(id, { start: { after: place.cursor, seq: place.seq } }));
  assert.deepEqual(rest, (await pages(id)).slice(snapshot?.seq));
  const end = rest.at(-1)?.cursor ?? "";
  assert.deepEqual(await collect(musher.follow(id, { start: { after: end } })), []);
  const wrong = collect(musher.follow(id, { start: { after: place.cursor, seq: 40 } }));
  await assert.rejects(wrong, GapError);
});

test("an approval is asked for and decided once", async () => {
  const profile = { kind: "named", value: "asks" } as const;
  const { worker_id: id } = await musher.createWorker({ intent: { kind: "task", objective: "push" }, profile });
  for await (const { payload } of musher.follow(id, { start: "beginning" })) {
    if (payload.type === "approval_requested") {
      break;
    }
  }
  const [approval] = await musher.approvals(id);
  assert(approval !== undefined);
  assert.deepEqual([approval.tool, approval.input, approval.state], ["shell", { command: "make push" }, "pending"]);
  const { attention } = await musher.attention({ kind: "approval" });
  assert.deepEqual(attention.map(({ worker_id }) => worker_id), [id]);

  const decided = await musher.decide(id, approval.approval_id, { decision: "allow", actor: "ann" });
  assert.deepEqual([decided.approval.decision, decided.duplicate], ["allow", false]);
  assert((await musher.decide(id, approval.approval_id, { decision: "allow" })).duplicate);
  const other = musher.decide(id, approval.approval_id, { decision: "deny" });
  await assert.rejects(other, (error) => {
    assert(error instanceof MusherError);
    assert.deepEqual([error.code, error.status, error.approval?.decision], ["approval_not_pending", 409, "allow"]);
    return true;
  });
  assert.equal((await musher.waitFor(id, "idle")).outcome?.text, "done");
});

test("an input is taken once under its key", async () => {
  const id = await assistant();
  const input = { kind: "user", content: "sit" } as const;
  const first = await musher.sendInput(id, input, { idempotencyKey: "key-1" });
  const again = await musher.sendInput(id, input, { idempotencyKey: "key-1" });
  assert.deepEqual([first.duplicate, again], [false, { ...first, duplicate: true }]);
  await assert.rejects(musher.sendInput(id, "stay", { idempotencyKey: "key-1" }), { code: "idempotency_mismatch" });
});

test("a refusal has its type and says what it is", async () => {
  const stranger = server.client({ token: "stranger" });
  const onlooker = server.client({ token: ONLOOKER });
  const id = await assistant();
  const other = await assistant();
  const place = (await musher.worker(other)).cursor;
  const nobody = "wrk_00000000000000000000000000000000";
  const create = { intent: { kind: "assistant", color: "red" } } as unknown as Parameters<Musher["createWorker"]>[0];
  const cases: [() => Promise<unknown>, typeof MusherError, string, number][] = [
    [() => stranger.worker(id), UnauthorizedError, "unauthorized", 401],
    [() => collect(stranger.follow(id)), UnauthorizedError, "unauthorized", 401],
    [() => onlooker.stop(id), ForbiddenError, "forbidden", 403],
    [() => musher.worker(nobody), WorkerNotFoundError, "worker_not_found", 404],
    [() => collect(musher.follow(nobody)), WorkerNotFoundError, "worker_not_found", 404],
    [() => musher.createWorker(create), MusherError, "invalid_json", 400],
    [() => musher.events(id, { wait: 61 }), MusherError, "invalid_query", 400],
    [() => musher.deleteWorker(id), MusherError, "worker_running", 409],
    [() => collect(musher.follow(id, { start: { after: "nowhere" } })), MusherError, "cursor_malformed", 400],
    [() => collect(musher.follow(id, { start: { after: place } })), MusherError, "wrong_runtime_cursor", 400],
  ];
  for (const [call, type, code, status] of cases) {
    await assert.rejects(call(), (error) => {
      assert(error instanceof MusherError);
      assert.deepEqual([error.constructor, error.code, error.status], [type, code, status]);
      return true;
    });
  }
  assert.equal((await onlooker.worker(id)).worker_id, id);
});

test("a stream goes on over a kill of the server", async () => {
  const id = await assistant();
  const events = musher.follow(id, { reconnect: { firstWaitMs: 10 } });
  assert.equal((await events.next()).value?.payload.type, "snapshot");
  const from = events.place?.seq ?? 0;
  await server.restart();
  await musher.sendInput(id, "here I am");
  await musher.waitFor(id, "idle");
  await musher.stop(id);
  const rest = await collect(events);
  assert.deepEqual(rest, (await pages(id)).slice(from));
  assert.equal(said(rest), "here I am");
});

test("a place of another history is refused with where to go on", async () => {
  const id = await assistant();
  const { cursor } = await musher.worker(id);
  // The last digits are the checksum of the event, which is another one in another history.
  const altered = cursor.slice(0, -1) + (cursor.endsWith("0") ? "1" : "0");
  await assert.rejects(collect(musher.follow(id, { start: { after: altered } })), (error) => {
    assert(error instanceof CursorExpiredError);
    assert.deepEqual([error.name, error.status], ["HistoryChangedError", 410]);
    assert.notEqual(error.oldestCursor, null);
    return true;
  });
});

test("a place behind the end of a restored backup is one of another history", async () => {
  const id = await assistant();
  const { cursor: elsewhere } = await musher.worker(await assistant());
  const [store, backup] = [join(server.directory, "store"), join(server.directory, "backup")];
  await server.restart(() => cp(store, backup, { recursive: true }));
  for (const words of ["one", "two", "three", "four"]) {
    await musher.sendInput(id, words);
    await musher.waitFor(id, "idle");
  }
  const seen = await pages(id);
  const { cursor, seq } = seen.at(-1) ?? assert.fail("a log has events");
  await server.restart(async () => {
    await rm(store, { recursive: true });
    await cp(backup, store, { recursive: true });
  });
  assert((await pages(id)).length < seen.length);
  const from = (start: Start) => collect(musher.follow(id, { start }));
  const refused = { code: "wrong_runtime_cursor", status: 400 };
  await assert.rejects(from({ after: cursor, seq }), { ...refused, name: "HistoryChangedError" });
  await assert.rejects(from({ after: elsewhere, seq: 1 }), { ...refused, name: "MusherError" });
});

test("a program finds its server by its environment", async (t) => {
  const id = await assistant();
  const names = ["MUSHER_URL", "MUSHER_TOKEN_FILE"] as const;
  const before = names.map((name) => process.env[name]);
  t.after(() => names.forEach((name, n) => (before[n] === undefined ? delete process.env[name] : (process.env[name] = before[n]))));
  delete process.env["MUSHER_URL"];
  process.env["MUSHER_TOKEN_FILE"] = server.tokenFile;
  await assert.rejects(fromEnvironment(), { code: "invalid_option", message: "the environment has no MUSHER_URL" });
  process.env["MUSHER_URL"] = server.url;
  assert.equal((await (await fromEnvironment()).worker(id)).worker_id, id);
  process.env["MUSHER_TOKEN_FILE"] = `${server.directory}/none`;
  await assert.rejects(fromEnvironment(), { code: "invalid_option", message: "the token file cannot be read" });
});
