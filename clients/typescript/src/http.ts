import { authorization, base } from "./address.js";
import { ConnectionError, MusherError, TokenError, TooLargeError, UnreadableError, refusal } from "./errors.js";
import type { ErrorReply } from "./types.js";

/** A page of a thousand events with some 64 kB each, the most that a server puts into one answer. In bytes. */
const MAX_ANSWER = 128 << 20;
/** An error of Musher's is much shorter; a proxy's page of HTML tells nothing. In bytes. */
const MAX_REFUSAL = 1 << 20;

/** Where a server is and who asks. */
export interface Target {
  /** Where the server is. In a browser also a path of the page's own origin, where a proxy passes it on. */
  url: string;
  /**
   * The token, or what gets it for each request; none where a proxy adds it. Where getting it fails that is a
   * {@link TokenError}, and is not repeated; a {@link MusherError} that is thrown there stands for itself.
   */
  token?: string | (() => string | Promise<string>);
  /** In the place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** One request. */
export interface Ask {
  method: "GET" | "POST" | "DELETE";
  /** The path and the query. */
  path: string;
  headers?: Record<string, string>;
  body?: string | undefined;
  signal: AbortSignal;
}

/** Asks once at a time; whatever fails is a {@link MusherError}, or the signal's reason. */
export class Http {
  readonly #base: string;
  readonly #token: Target["token"];
  readonly #fetch: typeof fetch;

  constructor(target: Target) {
    this.#base = base(target.url);
    this.#token = target.token;
    if (typeof target.token === "string") {
      // Says now what every request would say later.
      authorization(target.token);
    }
    const given = target.fetch;
    // Browsers' `fetch` wants to be called as a function of the page.
    this.#fetch = given ?? ((...parameters) => globalThis.fetch(...parameters));
  }

  /** Answers with a good answer, whose body is still to be read. */
  async open(ask: Ask): Promise<Response> {
    const headers = new Headers(ask.headers);
    if (this.#token !== undefined) {
      headers.set("authorization", await this.#authorization(this.#token, ask.signal));
    }
    const response = await this.#send(ask, headers);
    if (!response.ok) {
      throw await refused(response, ask.signal);
    }
    return response;
  }

  async #authorization(token: string | (() => string | Promise<string>), signal: AbortSignal): Promise<string> {
    if (typeof token === "string") {
      return authorization(token);
    }
    // Whoever gets it need not know of the signal.
    const { promise: aborted, reject } = withReject();
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      return authorization(await Promise.race([token(), aborted]));
    } catch (cause) {
      if (signal.aborted) {
        throw signal.reason;
      }
      throw cause instanceof MusherError ? cause : new TokenError(cause);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  async #send(ask: Ask, headers: Headers): Promise<Response> {
    try {
      return await this.#fetch(this.#base + ask.path, {
        method: ask.method,
        headers,
        body: ask.body ?? null,
        signal: ask.signal,
        cache: "no-store",
        // Servers of Musher send nobody elsewhere, and the token is for them alone.
        redirect: "manual",
      });
    } catch (cause) {
      throw broken(cause, ask.signal);
    }
  }
}

/** Reads an answer's JSON. */
export async function json(response: Response, signal: AbortSignal): Promise<unknown> {
  const text = await read(response, MAX_ANSWER, signal);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UnreadableError("the answer is no JSON", { status: response.status, cause });
  }
}

function withReject(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<never>((_, rejects) => {
    reject = rejects;
  });
  return { promise, reject };
}

/** The signal's reason where that is why, else a lost connection. */
export function broken(cause: unknown, signal: AbortSignal): unknown {
  return signal.aborted ? signal.reason : new ConnectionError("the connection failed", cause);
}

async function read(response: Response, most: number, signal: AbortSignal): Promise<string> {
  if (response.body === null) {
    return "";
  }
  const reader = response.body.getReader();
  const utf8 = new TextDecoder();
  let text = "";
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw broken(cause, signal);
    });
    if (done) {
      return text + utf8.decode();
    }
    length += value.byteLength;
    if (length > most) {
      await reader.cancel();
      throw new TooLargeError(most);
    }
    text += utf8.decode(value, { stream: true });
  }
}

async function refused(response: Response, signal: AbortSignal): Promise<MusherError> {
  const { status } = response;
  const retryAfterMs = waitAskedFor(response.headers.get("retry-after"));
  const foreign = new UnreadableError(`an answer with status ${status} that is not of Musher came`, { status, retryAfterMs });
  let text: string;
  try {
    text = await read(response, MAX_REFUSAL, signal);
  } catch (error) {
    if (error instanceof TooLargeError) {
      return foreign;
    }
    throw error;
  }
  let reply: Partial<ErrorReply> | null;
  try {
    reply = JSON.parse(text) as Partial<ErrorReply> | null;
  } catch {
    return foreign;
  }
  const error = reply?.error;
  const isOurs = typeof error?.code === "string" && typeof error.message === "string";
  return isOurs ? refusal(error, status, retryAfterMs) : foreign;
}

/** Servers name whole seconds; a date is a proxy's, and its clock another one. */
function waitAskedFor(header: string | null): number | undefined {
  return header !== null && /^\s*\d{1,9}\s*$/.test(header) ? Number(header) * 1000 : undefined;
}
