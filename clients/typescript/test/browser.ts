import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** It says a lot at its start, and why it ends comes last. In characters. */
const SAID = 4000;

/** Chromium without a screen, with a profile of its own. */
export class Browser {
  readonly #process: ChildProcess;
  readonly #profile: string;
  /** Rejects when it ends by itself. */
  readonly ended: Promise<never>;

  private constructor(process: ChildProcess, profile: string) {
    this.#process = process;
    this.#profile = profile;
    let said = "";
    process.stderr?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-SAID)));
    this.ended = new Promise((_, reject) => {
      process.on("exit", (code, signal) => reject(new Error(`the browser ended with ${code ?? signal}: ${said}`)));
    });
    // Who does not wait for it any more need not hear of its end.
    this.ended.catch(() => {});
  }

  /** Opens a page. */
  static async open(url: string): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), "musher-browser-"));
    const words = [
      "--headless",
      "--disable-gpu",
      "--no-first-run",
      // Nothing of the machine's own settings, and nobody else is asked for anything.
      "--no-proxy-server",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-crash-reporter",
      // Containers have little of it.
      "--disable-dev-shm-usage",
      `--user-data-dir=${profile}`,
    ];
    if (process.getuid?.() === 0) {
      // It refuses to be root with its sandbox, as which checks run in containers. The page is our own.
      words.push("--no-sandbox");
    }
    const child = spawn("chromium", [...words, url], {
      env: { PATH: process.env["PATH"], HOME: profile },
      stdio: ["ignore", "ignore", "pipe"],
      // A group of its own, to be ended whole.
      detached: true,
    });
    try {
      await once(child, "spawn");
    } catch (cause) {
      await rm(profile, { recursive: true });
      throw new Error("chromium cannot be started; install it (`apt-get install chromium`)", { cause });
    }
    return new Browser(child, profile);
  }

  async end(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      const ended = once(this.#process, "exit");
      process.kill(-pid, "SIGKILL");
      await ended;
    }
    // Its other processes may still write while they end.
    await rm(this.#profile, { recursive: true, maxRetries: 20, retryDelay: 50 });
  }
}
