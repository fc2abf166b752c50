import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser } from "./browser.js";
import { CuttingProxy } from "./cutting-proxy.js";
import { log } from "./log.js";
import { PageServer } from "./page-server.js";
import { packed } from "./packed.js";
import { Server } from "./server.js";

test("a page in a browser has the log, over cut connections and a reload (seed 4)", async (t) => {
  const server = await Server.start();
  t.after(() => server.end());
  const { installed } = await packed(t);
  const proxy = await CuttingProxy.start(server.url, 4);
  t.after(() => proxy.end());
  const { url, token } = server;
  const pages = await PageServer.start({ installed, passedOn: proxy.url, asItIs: url, token });
  t.after(() => pages.end());
  const browser = await Browser.open(`${pages.url}/?server=${encodeURIComponent(url)}`);
  t.after(() => browser.end());

  const { id, seen, before, refused } = await Promise.race([pages.told, browser.ended]);
  const all = await log(server.client(), id);
  assert.deepEqual(seen, all);
  assert.equal(all.at(-1)?.payload.type, "worker_stopped");
  assert(before > 0 && before < all.length, `${before} of ${all.length} events came before the reload`);
  assert(proxy.cuts >= 50, `${proxy.cuts}`);
  // What browsers send from a page is refused, and what Musher answers to another origin no page gets to see.
  assert.deepEqual(refused, [["ForbiddenError", "forbidden"], ["ConnectionError", "connection_failed"]]);
  assert.equal((await server.client().listWorkers()).workers.length, 1);
});
