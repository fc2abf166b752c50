import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Server } from "./server.js";

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

/** The text of the first block of this language. */
function block(page: string, language: string): string {
  const [, text] = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "m").exec(page) ?? [];
  assert(text !== undefined, `the page has no block of ${language}`);
  return text;
}

test("the packed package runs the example of its page in an empty directory", async (t) => {
  const server = await Server.start();
  t.after(() => server.end());
  const directory = await mkdtemp(join(tmpdir(), "musher-packed-"));
  t.after(() => rm(directory, { recursive: true }));
  await run("npm", ["pack", "--pack-destination", directory], { cwd: PACKAGE });
  const [tarball] = await readdir(directory);
  assert.equal(tarball, "musher-client-0.1.0.tgz");
  await writeFile(join(directory, "package.json"), '{"private":true}');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${tarball}`], { cwd: directory });
  assert.deepEqual(await readdir(join(directory, "node_modules", "@musher", "client")), ["README.md", "dist", "package.json"]);

  const page = await readFile(join(PACKAGE, "README.md"), "utf8");
  await writeFile(join(directory, "example.mjs"), block(page, "js"));
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, MUSHER_URL: server.url, MUSHER_TOKEN_FILE: server.tokenFile };
  const { stdout, stderr } = await run(process.execPath, ["example.mjs"], { cwd: directory, env });
  assert.deepEqual([stdout, stderr], [block(page, "text"), ""]);
});
