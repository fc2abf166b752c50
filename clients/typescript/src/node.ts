/** What only Node can do: settings from the environment. */
import { open } from "node:fs/promises";
import { Musher, type MusherOptions, OptionError } from "./index.js";

/** Tokens are lines of some dozen characters; a file that is longer holds something else. */
const MAX_TOKEN_BYTES = 8 << 10;

/** The server that `MUSHER_URL` names, with the token in the file that `MUSHER_TOKEN_FILE` names. */
export async function fromEnvironment(options: Omit<MusherOptions, "url" | "token"> = {}): Promise<Musher> {
  const token = await readToken(variable("MUSHER_TOKEN_FILE"));
  return new Musher({ ...options, url: variable("MUSHER_URL"), token });
}

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") {
    throw new OptionError(`the environment has no ${name}`);
  }
  return value;
}

async function readToken(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_TOKEN_BYTES), 0, MAX_TOKEN_BYTES, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new OptionError("the token file cannot be read", cause);
  }
}
