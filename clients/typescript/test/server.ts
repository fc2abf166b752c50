import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Musher, type MusherOptions } from "@musher/client";

const CONFIG = `
[store]
url = "sqlite:store"
[runtime]
default_profile = "echo"
[profiles.echo]
backend = "scripted"
script = "echo"
[profiles.asks]
backend = "scripted"
script = "asks.json"
approval = { mode = "ask", deadline_secs = 600 }
[[tokens]]
name = "onlooker"
sha256 = "7a023df6bf29324d9c2dd30086dc8aca140029e59a353152e05480d132d6ed85"
scopes = ["observe"]
`;

/** The text whose hash the config has. */
export const ONLOOKER = "approver";

const ASKS = {
  turns: [{ match: "push", steps: [{ approval: { tool: "shell", input: { command: "make push" } } }, { text: "done" }] }],
};

/** So many ports in a row are not all taken. */
const ATTEMPTS = 20;

/** A `musher serve` of one's own, in a directory of its own. */
export class Server {
  #process: ChildProcess;

  private constructor(
    readonly directory: string,
    readonly url: string,
    readonly token: string,
    process: ChildProcess,
  ) {
    this.#process = process;
  }

  static async start(): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), "musher-client-"));
    await writeFile(join(directory, "musher.toml"), CONFIG);
    await writeFile(join(directory, "asks.json"), JSON.stringify(ASKS));
    const { url, process } = await runSomewhere(directory);
    const token = await readFile(join(directory, "token"), "utf8");
    return new Server(directory, url, token.trim(), process);
  }

  get tokenFile(): string {
    return join(this.directory, "token");
  }

  client(options: Partial<MusherOptions> = {}): Musher {
    return new Musher({ url: this.url, token: this.token, ...options });
  }

  /** Kills it and starts it again where it was; something may happen in between. */
  async restart(meanwhile?: () => Promise<void>): Promise<void> {
    await this.#kill();
    await meanwhile?.();
    const { process } = await run(this.directory, new URL(this.url).host);
    this.#process = process;
  }

  async end(): Promise<void> {
    await this.#kill();
    await rm(this.directory, { recursive: true });
  }

  async #kill(): Promise<void> {
    const ended = once(this.#process, "exit");
    assert(this.#process.kill("SIGKILL"), "the server had ended by itself");
    await ended;
  }
}

/** On a port below those that systems hand out by themselves: so nobody is given it while the server is down. */
async function runSomewhere(directory: string): Promise<{ url: string; process: ChildProcess }> {
  for (let attempt = 1; ; attempt += 1) {
    const address = `127.0.0.1:${10_000 + Math.floor(Math.random() * 20_000)}`;
    try {
      return await run(directory, address);
    } catch (error) {
      if (attempt === ATTEMPTS || !String(error).includes(`listen on ${address}`)) {
        throw error;
      }
    }
  }
}

async function run(directory: string, listen: string): Promise<{ url: string; process: ChildProcess }> {
  const settings = ["--config", "musher.toml", "--token-file", "token", "--listen", listen];
  const child = spawn(binary(), ["serve", ...settings], {
    cwd: directory,
    env: { PATH: process.env["PATH"], HOME: directory },
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr.setEncoding("utf8");
  let said = "";
  for await (const text of child.stderr.iterator({ destroyOnReturn: false })) {
    said += text as string;
    const [, url] = /listening on (http:\S+)/.exec(said) ?? [];
    if (url !== undefined) {
      // What it says from now on is read and forgotten, so that it never waits on a full pipe.
      child.stderr.resume();
      return { url, process: child };
    }
  }
  throw new Error(`the server ended: ${said}`);
}

function binary(): string {
  const path = process.env["MUSHER_TEST_BINARY"];
  if (path === undefined || !existsSync(path)) {
    throw new Error("MUSHER_TEST_BINARY names no file; run the tests with `cargo xtask ci`, or see `cargo xtask parts`");
  }
  return path;
}
