/** HTTP/1.1 over a connection, as the enclave and its host speak it: node:http at both ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type RequestOptions,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import {
  type Case,
  closed,
  collect,
  pattern,
  pause,
  requireSame,
  type Subject,
} from "./subject.ts";

const MIB = 1_048_576;
const MAX_IN_FLIGHT_BYTES = 16 * MIB;
const HELD_BACK_MS = 500;
const HOST = "enclave";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Served {
  /** Asks over a connection of its own, or over one of an agent's. */
  readonly ask: (options?: RequestOptions) => ClientRequest;
  readonly agent: Agent;
  /** How many connections were accepted. */
  readonly accepted: () => number;
}

export const HTTP_CASES: readonly Case[] = [
  {
    name: "http: a long answer arrives whole",
    run: (subject) =>
      withServer(subject, answering(pattern(5 * MIB, 7)), async ({ ask }) => {
        requireSame(await body(await answer(ask())), pattern(5 * MIB, 7));
      }),
  },
  {
    name: "http: a long question arrives whole, in chunks, and is answered while it comes",
    run: (subject) =>
      withServer(
        subject,
        (incoming, response) => incoming.pipe(response),
        async ({ ask }) => {
          const bytes = pattern(3 * MIB, 8);
          const outgoing = ask({ method: "POST" });
          const answered = answer(outgoing);
          for (let from = 0; from < bytes.length; from += 100_000) {
            outgoing.write(bytes.subarray(from, from + 100_000));
          }
          outgoing.end();
          requireSame(await body(await answered), bytes);
        },
      ),
  },
  {
    name: "http: an agent keeps its connection for the next question",
    run: (subject) =>
      withServer(subject, answering(Buffer.from("yes")), async ({ ask, agent, accepted }) => {
        for (let count = 0; count < 20; count++) {
          assert.equal((await body(await answer(ask({ agent })))).toString(), "yes");
        }
        assert.equal(accepted(), 1);
      }),
  },
  {
    name: "http: many questions share few connections",
    run: (subject) =>
      withServer(subject, answering(pattern(50_000, 9)), async ({ ask, agent, accepted }) => {
        const asked = Array.from({ length: 32 }, async () => body(await answer(ask({ agent }))));
        for (const bytes of await Promise.all(asked)) requireSame(bytes, pattern(50_000, 9));
        assert.ok(accepted() <= agent.maxSockets);
      }),
  },
  {
    name: "http: an answer that closes the connection arrives whole",
    run: (subject) =>
      withServer(
        subject,
        (_, response) => response.setHeader("connection", "close").end(pattern(MIB, 10)),
        async ({ ask, agent, accepted }) => {
          for (let count = 0; count < 2; count++) {
            requireSame(await body(await answer(ask({ agent }))), pattern(MIB, 10));
          }
          assert.equal(accepted(), 2);
        },
      ),
  },
  {
    name: "http: a reader that pauses holds the writer back",
    run: holdsBack,
  },
  {
    name: "http: a question withdrawn before its answer ends the work",
    run: (subject) => withdrawn(subject, () => undefined),
  },
  {
    name: "http: a question withdrawn during its answer ends the work",
    run: (subject) =>
      withdrawn(subject, (response) => {
        response.write("partial");
      }),
  },
  {
    name: "http: an answer that breaks off is no answer",
    run: (subject) =>
      withServer(
        subject,
        (_, response) => {
          response.writeHead(200, { "content-length": 10 }).write("half", () => {
            response.destroy();
          });
        },
        async ({ ask }) => {
          await assert.rejects(answer(ask()).then(body));
        },
      ),
  },
  {
    name: "http: a connection that closes without an answer is an error",
    run: (subject) =>
      withServer(
        subject,
        (_, response) => response.destroy(),
        async ({ ask }) => {
          await assert.rejects(answer(ask()));
        },
      ),
  },
  {
    name: "http: silence is told of after the time asked for",
    run: (subject) =>
      withServer(
        subject,
        () => undefined,
        async ({ ask }) => {
          const outgoing = ask();
          outgoing.on("error", () => undefined);
          outgoing.setTimeout(100);
          await once(outgoing, "timeout");
          outgoing.destroy();
        },
      ),
  },
  {
    name: "http: an idle connection is closed by the server after its time",
    run: (subject) =>
      withServer(subject, answering(Buffer.from("x")), async (_, server) => {
        server.keepAliveTimeout = 100;
        // By hand: an agent would read how long, and close the connection itself.
        const near = subject.parent.dial();
        near.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
        assert.match((await collect(near)).toString(), /^HTTP\/1\.1 200 OK\r\n/u);
      }),
  },
];

async function holdsBack(subject: Subject): Promise<void> {
  const chunk = pattern(65_536, 11);
  let written = 0;
  let heldBack = false;
  let over = false;
  const write = (response: ServerResponse): void => {
    while (!over && written < MAX_IN_FLIGHT_BYTES) {
      written += chunk.length;
      if (!response.write(chunk)) break;
    }
    if (over || written >= MAX_IN_FLIGHT_BYTES) {
      response.end();
      return;
    }
    const timer = setTimeout(() => (heldBack = true), HELD_BACK_MS);
    response.once("drain", () => {
      clearTimeout(timer);
      write(response);
    });
  };
  await withServer(
    subject,
    (_, response) => {
      write(response);
    },
    async ({ ask }) => {
      const incoming = await answer(ask());
      incoming.pause();
      while (!heldBack) {
        assert.ok(written < MAX_IN_FLIGHT_BYTES, "the writer was never held back");
        await pause(20);
      }
      over = true;
      const bytes = await body(incoming);
      assert.equal(bytes.length, written);
      assert.ok(bytes.subarray(-chunk.length).equals(chunk));
    },
  );
}

async function withdrawn(
  subject: Subject,
  begin: (response: ServerResponse) => void,
): Promise<void> {
  const started = Promise.withResolvers<ServerResponse>();
  await withServer(
    subject,
    (_, response) => {
      begin(response);
      started.resolve(response);
    },
    async ({ ask }) => {
      const outgoing = ask();
      outgoing.on("error", () => undefined);
      outgoing.on("response", (incoming) => incoming.on("error", () => undefined).resume());
      const response = await started.promise;
      await pause(50);
      outgoing.destroy();
      await closed(response);
      assert.equal(response.writableFinished, false);
    },
  );
}

function answering(bytes: Uint8Array): Handler {
  return (incoming, response) => {
    incoming.resume();
    response.end(bytes);
  };
}

/** An HTTP server in the enclave, and a parent that asks it. */
async function withServer(
  subject: Subject,
  handler: Handler,
  use: (served: Served, server: Server) => Promise<void>,
): Promise<void> {
  const server = createServer(handler);
  server.timeout = 0;
  let accepted = 0;
  const listener = await subject.enclave.listen((connection) => {
    accepted++;
    server.emit("connection", connection);
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  agent.createConnection = () => subject.parent.dial();
  const ask = (options: RequestOptions = {}): ClientRequest => {
    const createConnection = (): Duplex => subject.parent.dial();
    const dialled = options.agent === undefined ? { createConnection } : {};
    const outgoing = request({ host: HOST, ...dialled, ...options });
    if (options.method === undefined) outgoing.end();
    return outgoing;
  };
  try {
    await use({ ask, agent, accepted: () => accepted }, server);
  } finally {
    agent.destroy();
    await listener.close();
  }
}

function answer(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.on("error", reject);
  });
}

/** The whole of a body. @throws where it breaks off. */
async function body(incoming: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece);
  return Buffer.concat(pieces);
}
