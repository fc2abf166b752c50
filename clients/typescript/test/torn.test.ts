import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Envelope, Musher } from "@musher/client";
import { CuttingProxy } from "./cutting-proxy.js";
import { log } from "./log.js";
import { Server } from "./server.js";

const FAST = { firstWaitMs: 1, longestWaitMs: 4 };

let server: Server;
let direct: Musher;

before(async () => {
  server = await Server.start();
  direct = server.client();
});
after(() => server.end());

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** All events; the first one is told when it comes. */
async function collect(events: AsyncIterable<Envelope>, begun: () => void): Promise<Envelope[]> {
  const all: Envelope[] = [];
  for await (const envelope of events) {
    all.push(envelope);
    begun();
  }
  return all;
}

for (const [start, seed, cuts] of [["beginning", 1, 300], ["now", 2, 100]] as const) {
  test(`a stream from ${start} is the log, over ${cuts} cut connections (seed ${seed})`, async (t) => {
    const proxy = await CuttingProxy.start(server.url, seed);
    const { worker_id: id } = await direct.createWorker({ intent: { kind: "assistant" } });
    const events = server.client({ url: proxy.url }).follow(id, { start, reconnect: FAST });
    const leaving = new AbortController();
    t.after(() => {
      leaving.abort();
      events.close();
      proxy.end();
    });
    const { promise: begins, resolve: begun } = withResolvers();
    const talk = async () => {
      // A snapshot grows with what is said, and one that is larger than the longest connection would never get through.
      if (start === "now") {
        await begins;
      }
      while (proxy.cuts < cuts) {
        leaving.signal.throwIfAborted();
        await direct.sendInput(id, "word ".repeat(40));
        await direct.waitFor(id, "idle");
      }
      await direct.stop(id);
    };
    const [seen] = await Promise.all([collect(events, begun), talk()]);
    assert(proxy.cuts >= cuts);
    const all = await log(direct, id);
    const [first] = seen;
    if (start === "now") {
      assert.equal(first?.payload.type, "snapshot");
      assert.deepEqual(seen.slice(1), all.slice(first.seq));
    } else {
      assert.deepEqual(seen, all);
    }
  });
}

test("what is asked for over cut connections is done once (seed 3)", async (t) => {
  const proxy = await CuttingProxy.start(server.url, 3);
  t.after(() => proxy.end());
  const musher = server.client({ url: proxy.url, retry: { ...FAST, attempts: 100 } });
  const names = Array.from({ length: 30 }, (_, n) => `worker ${n}`);
  for (const display_name of names) {
    const { worker_id: id } = await musher.createWorker({ intent: { kind: "assistant" }, labels: { torn: "3" }, display_name });
    await musher.sendInput(id, display_name);
    await musher.waitFor(id, "idle");
    assert.equal((await musher.stop(id)).status, "stopped");
  }
  assert(proxy.cuts >= 20, `${proxy.cuts}`);
  const { workers } = await direct.listWorkers({ label: ["torn=3"] });
  assert.deepEqual(workers.map(({ display_name }) => display_name), names);
  for (const { worker_id, display_name } of workers) {
    const inputs = (await log(direct, worker_id)).flatMap(({ payload }) => (payload.type === "input_accepted" ? [payload.content] : []));
    assert.deepEqual(inputs, [display_name]);
  }
});
