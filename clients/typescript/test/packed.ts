import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run = promisify(execFile);
/** Where the package is made. */
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

/** A directory with nothing but the packed package in it, installed as its users do. */
export async function packed(t: TestContext): Promise<{ directory: string; installed: string }> {
  const directory = await mkdtemp(join(tmpdir(), "musher-packed-"));
  t.after(() => rm(directory, { recursive: true }));
  await run("npm", ["pack", "--pack-destination", directory], { cwd: PACKAGE });
  const [tarball] = await readdir(directory);
  assert.equal(tarball, "musher-client-0.1.0.tgz");
  await writeFile(join(directory, "package.json"), '{"private":true}');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${tarball}`], { cwd: directory });
  return { directory, installed: join(directory, "node_modules", "@musher", "client") };
}
