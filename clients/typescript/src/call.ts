import { ConnectionError, MusherError } from "./errors.js";
import { type Ask, type Http, json } from "./http.js";
import { pause } from "./pause.js";
import { type Retry, nextAttempt } from "./retry.js";

/** Longer than a server takes for what it does not wait for. */
const ANSWER_LIMIT_MS = 30_000;

/** What every call takes. */
export interface CallOptions {
  /** Gives the call up. What it asks for may be done all the same. */
  signal?: AbortSignal;
}

/** One call, which may take several requests: asking again must do nothing twice, unless it says so. */
export interface Call extends Omit<Ask, "signal"> {
  /** How long the server was asked to wait, in milliseconds. */
  waitMs?: number;
  /** Whether an error of a repetition says that the request before it did what was wanted. */
  wasDone?: (error: MusherError) => boolean;
  /** Whether asking again would do it twice, where the request before may have done it. */
  isOnce?: boolean;
}

/** Calls, again where that is right; null where the answer is empty. */
export async function perform(http: Http, retry: Retry, call: Call, signal: AbortSignal | undefined): Promise<unknown> {
  const began = performance.now();
  let mayBeDone = false;
  for (let made = 1; ; made += 1) {
    let error: MusherError;
    try {
      return await attempt(http, call, signal);
    } catch (failure) {
      if (!(failure instanceof MusherError)) {
        throw failure;
      }
      error = failure;
    }
    if (mayBeDone && call.wasDone?.(error)) {
      return null;
    }
    mayBeDone ||= error instanceof ConnectionError;
    if (mayBeDone && call.isOnce === true) {
      throw error;
    }
    const elapsed = performance.now() - began;
    const wait = nextAttempt(retry, error, made, elapsed, Math.random());
    if (wait === null) {
      throw error;
    }
    await pause(wait, signal);
  }
}

async function attempt(http: Http, call: Call, signal: AbortSignal | undefined): Promise<unknown> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const aborted = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", aborted, { once: true });
  const limit = ANSWER_LIMIT_MS + (call.waitMs ?? 0);
  const late = () => controller.abort(new ConnectionError(`no answer came within ${limit / 1000} s`));
  const timer = setTimeout(late, limit);
  try {
    const response = await http.open({ ...call, signal: controller.signal });
    return response.status === 204 ? null : await json(response, controller.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
  }
}
