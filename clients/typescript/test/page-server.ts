import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type IncomingMessage, type Server, type ServerResponse, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Told } from "./page.js";

const PAGE = fileURLToPath(new URL("page.js", import.meta.url));
const HTML = `<!doctype html>
<title>musher</title>
<script type="importmap">{"imports": {"@musher/client": "/client/index.js"}}</script>
<script type="module" src="/page.js"></script>
`;
/** What is between a proxy and one of its sides, and goes no further. */
const OF_THE_CONNECTION = ["connection", "keep-alive", "transfer-encoding"];
/** What makes a request one of a page, which Musher refuses, or is for the proxy alone. */
const OF_THE_PAGE = ["origin", "cookie", "referer"];

/** Where requests go. */
export interface Behind {
  /** The directory of the installed package. */
  installed: string;
  /** Where what the page asks for goes. */
  passedOn: string;
  /** Where what the page asks for goes as it is. */
  asItIs: string;
  token: string;
}

/** What a product has between its pages and Musher: it serves the page, and a proxy that knows the token. */
export class PageServer {
  readonly #server: Server;
  readonly #behind: Behind;
  /** What the page tells in the end; rejects where it says that it failed. */
  readonly told: Promise<Told>;
  #tell: (told: Told) => void = () => {};
  #fail: (error: Error) => void = () => {};

  private constructor(server: Server, behind: Behind) {
    this.#server = server;
    this.#behind = behind;
    this.told = new Promise((resolve, reject) => {
      this.#tell = resolve;
      this.#fail = reject;
    });
  }

  static async start(behind: Behind): Promise<PageServer> {
    const server = createServer();
    const pages = new PageServer(server, behind);
    server.on("request", (asked, response) => {
      pages.#answer(asked, response).catch((error: unknown) => {
        response.destroy();
        pages.#fail(new Error("the page's server failed", { cause: error }));
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return pages;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  end(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(asked: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(asked.url ?? "/", this.url);
    const [, first, rest] = /^\/([^/]*)\/?(.*)$/.exec(pathname) ?? [];
    switch (first) {
      case "":
        return send(response, "text/html", HTML);
      case "page.js":
        return send(response, "text/javascript", await readFile(PAGE));
      case "client":
        // Only what the package has; a page that asks for more gets an error, and says so.
        return send(response, "text/javascript", await readFile(join(this.#behind.installed, "dist", rest ?? "")));
      case "musher":
        return this.#passOn(this.#behind.passedOn, `/${rest}${search}`, OF_THE_PAGE, asked, response);
      case "as-it-is":
        return this.#passOn(this.#behind.asItIs, `/${rest}${search}`, [], asked, response);
      case "told":
        this.#tell(JSON.parse(await text(asked)) as Told);
        return send(response, "text/plain", "");
      case "failed":
        this.#fail(new Error(`the page failed: ${await text(asked)}`));
        return send(response, "text/plain", "");
      default:
        response.writeHead(404).end();
    }
  }

  #passOn(to: string, path: string, without: string[], asked: IncomingMessage, response: ServerResponse): void {
    const headers = { ...asked.headers, host: new URL(to).host, authorization: `Bearer ${this.#behind.token}` };
    const passed = request(new URL(path, to), {
      method: asked.method,
      headers: leaveOut(headers, [...OF_THE_CONNECTION, ...without]),
      agent: false,
    });
    passed.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, leaveOut(answer.headers, OF_THE_CONNECTION));
      response.flushHeaders();
      // Whichever side breaks, the other one does.
      pipeline(answer, response, () => {});
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    pipeline(asked, passed, () => {});
  }
}

function leaveOut<T>(headers: Record<string, T>, names: string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

function send(response: ServerResponse, type: string, body: string | Buffer): void {
  response.writeHead(200, { "content-type": type });
  response.end(body);
}
