import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PACKAGE, packed, run } from "./packed.js";
import { Server } from "./server.js";

/** The text of the first block of this language. */
function block(page: string, language: string): string {
  const [, text] = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "m").exec(page) ?? [];
  assert(text !== undefined, `the page has no block of ${language}`);
  return text;
}

test("the packed package runs the example of its page in an empty directory", async (t) => {
  const server = await Server.start();
  t.after(() => server.end());
  const { directory, installed } = await packed(t);
  assert.deepEqual(await readdir(installed), ["README.md", "dist", "package.json"]);

  const page = await readFile(join(PACKAGE, "README.md"), "utf8");
  await writeFile(join(directory, "example.mjs"), block(page, "js"));
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, MUSHER_URL: server.url, MUSHER_TOKEN_FILE: server.tokenFile };
  const { stdout, stderr } = await run(process.execPath, ["example.mjs"], { cwd: directory, env });
  assert.deepEqual([stdout, stderr], [block(page, "text"), ""]);
});
