// The types of the wire are written in one place, by `cargo xtask codegen`; each build takes them from there.
import { copyFile } from "node:fs/promises";

const from = new URL("../../../docs/reference/types.ts", import.meta.url);
await copyFile(from, new URL("../src/types.ts", import.meta.url));
