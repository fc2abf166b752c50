import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

/** Passes connections on and cuts each of them somewhere, in the middle of whatever comes. */
export class CuttingProxy {
  readonly #server: Server;
  /** How many connections were cut. */
  cuts = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** In front of this server; where it cuts follows from the seed. */
  static async start(url: string, seed: number): Promise<CuttingProxy> {
    const random = seeded(seed);
    const server = createServer();
    const proxy = new CuttingProxy(server);
    const { hostname, port } = new URL(url);
    server.on("connection", (client) => proxy.#pass(client, connect(Number(port), hostname), random));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  end(): void {
    this.#server.close();
  }

  #pass(client: Socket, server: Socket, random: () => number): void {
    // Every fifth connection is cut while it asks. Most answers are cut early; some get further, as the largest event
    // has to get through once.
    const asks = random() < 0.2;
    let left = Math.floor(random() * (asks ? 400 : random() < 0.8 ? 1500 : 12_000));
    const isReset = random() < 0.5;
    const cut = () => {
      if (!client.destroyed) {
        this.cuts += 1;
      }
      if (isReset) {
        client.resetAndDestroy();
      } else {
        client.destroy();
      }
      server.destroy();
    };
    const pass = (from: Socket, to: Socket, isCut: boolean) => {
      from.on("data", (bytes) => {
        if (!isCut || bytes.length < left) {
          left -= isCut ? bytes.length : 0;
          to.write(bytes);
        } else {
          from.pause();
          to.write(bytes.subarray(0, left), cut);
        }
      });
      from.on("end", () => to.end());
      // Whichever side breaks, the other one learns of it.
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    };
    pass(client, server, asks);
    pass(server, client, !asks);
  }
}

/** Numbers from 0 to 1 that follow from the seed: mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
