import { TooLargeError } from "./errors.js";

/**
 * Fields of an event are 64 kB at most, six times as much where all of one is escaped, and an event has a few; the
 * largest line that a server sends is far below this. In characters.
 */
export const MAX_EVENT = 4 << 20;

/** What a stream of server-sent events says. */
export type Item =
  /** An event's text. */
  | { kind: "event"; text: string }
  /** For people, and a sign that there is somebody. */
  | { kind: "comment"; text: string };

/**
 * Turns bytes into events, however they are cut. Ids, types and delays mean nothing here: an envelope has its own
 * cursor, and when to come back is the stream's affair. What has no end yet when the bytes end is no event.
 */
export class Decoder {
  readonly #utf8 = new TextDecoder();
  /** The line that has no end yet, in the pieces that it came in. */
  #line: string[] = [];
  #lineLength = 0;
  #event: string[] | null = null;
  #eventLength = 0;

  /** What these bytes complete. */
  *push(bytes: Uint8Array): Generator<Item, void, undefined> {
    const text = this.#utf8.decode(bytes, { stream: true });
    let begin = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", begin)) {
      this.#keep(text.slice(begin, end));
      begin = end + 1;
      const line = this.#line.join("");
      this.#line = [];
      this.#lineLength = 0;
      const item = this.#take(line.endsWith("\r") ? line.slice(0, -1) : line);
      if (item !== null) {
        yield item;
      }
    }
    this.#keep(text.slice(begin));
  }

  #keep(piece: string): void {
    this.#lineLength += piece.length;
    if (this.#lineLength > MAX_EVENT) {
      throw new TooLargeError(MAX_EVENT);
    }
    if (piece !== "") {
      this.#line.push(piece);
    }
  }

  #take(line: string): Item | null {
    if (line === "") {
      const event = this.#event;
      this.#event = null;
      this.#eventLength = 0;
      return event === null ? null : { kind: "event", text: event.join("\n") };
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const rest = colon === -1 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (colon === 0) {
      return { kind: "comment", text: value };
    }
    if (field === "data") {
      // One for the line break, so that empty lines count as well.
      this.#eventLength += value.length + 1;
      if (this.#eventLength > MAX_EVENT) {
        throw new TooLargeError(MAX_EVENT);
      }
      this.#event ??= [];
      this.#event.push(value);
    }
    return null;
  }
}
