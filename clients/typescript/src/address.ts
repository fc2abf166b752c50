import { OptionError } from "./errors.js";

/** A server's address without a slash at its end; in a browser it may be relative to the page. */
export function base(url: string): string {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  let parsed: URL;
  try {
    parsed = new URL(url, page);
  } catch {
    // The parser's own error repeats the text, which may hold a password.
    throw new OptionError("the server's address is no URL");
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new OptionError("the server's address begins with neither `http:` nor `https:`");
  }
  if (parsed.username !== "" || parsed.password !== "" || parsed.search !== "" || parsed.hash !== "") {
    throw new OptionError("the server's address has a name, a password, a query or a fragment");
  }
  return parsed.href.replace(/\/+$/, "");
}

/** What is sent as `Authorization`. */
export function authorization(token: string): string {
  const text = token.trim();
  if (!/^[\x21-\x7e]+$/.test(text)) {
    // `fetch` would refuse it with a message that repeats it.
    throw new OptionError("a token is one line of visible ASCII characters");
  }
  return `Bearer ${text}`;
}

/** A query string with its question mark; what is absent is left out. */
export function query(parameters: Record<string, unknown>): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) {
        pairs.append(name, String(one));
      }
    }
  }
  const text = pairs.toString();
  return text === "" ? "" : `?${text}`;
}
