import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { getRequestListener } from "@hono/node-server";

import { POLICY_OPTION } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { connectNode } from "../connecting.ts";
import { CommandError, EXIT } from "../exit.ts";
import { systemCode } from "../files.ts";
import { DEFAULT_NODE, DEFAULT_PROXY_LISTEN, userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import { createProxyApp, type ProxyEntry } from "../proxy/app.ts";
import { bracketed, isLoopback, type ListenAddress, parseListen } from "../proxy/guard.ts";
import { createProofStore } from "../proxy/proofs.ts";
import { simulationNotice } from "../rendering.ts";
import { untilSignal } from "../signals.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

const MIB = 1024 * 1024;
const MAX_HELD_BYTES = 64 * MIB;
const MAX_PROOF_BYTES = 256 * MIB;

export const proxyCommand: Command = {
  name: "proxy",
  summary: "serve a node's API on this machine, encrypted and verified behind",
  synopsis: "[--node URL] [--listen ADDR] [--policy FILE]",
  details: `Point any OpenAI client (base URL http://${DEFAULT_PROXY_LISTEN}/v1, any key), KServe client, or curl, at
it: it encrypts each request to the enclave, verifies the answer, and refuses, with a problem document
(RFC 9457), whatever does not verify.
Answers carry countersign-verdict and countersign-proof; GET /proofs/<id> returns the proof.

An answer is held back until it is verified, up to ${MAX_HELD_BYTES / MIB} MiB. Event streams pass as they come, since each
event is authentic by itself; one that turns out incomplete ends with a broken connection.

The way between your client and the proxy is plain HTTP, so it listens on this machine only, unless
--listen says otherwise.

example:
  countersign proxy --node http://127.0.0.1:8480
  curl ${DEFAULT_PROXY_LISTEN}/v2/models/digits
  curl ${DEFAULT_PROXY_LISTEN}/v1/models`,
  options: [
    { name: "node", value: "URL", description: `the node behind (default ${DEFAULT_NODE})` },
    {
      name: "listen",
      value: "ADDR",
      description: `where to serve (default ${DEFAULT_PROXY_LISTEN})`,
    },
    {
      name: "proofs",
      value: "DIR",
      description: "keeps every proof there (default: the last ones, in memory)",
    },
    POLICY_OPTION,
  ],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const asked = parseListen(args.text("listen") ?? DEFAULT_PROXY_LISTEN);
  const policy = await loadPolicy(args.text("policy"));
  const node = await connectNode(args.text("node") ?? DEFAULT_NODE, policy);
  const directory = args.text("proofs");
  let bound: ListenAddress = asked;
  const app = createProxyApp({
    fetch: node.fetch,
    listen: () => bound,
    proofs: createProofStore(directory === null ? null : userPath(directory), MAX_PROOF_BYTES),
    maxHeldBytes: MAX_HELD_BYTES,
    log: (entry) => {
      if (!quiet) terminal.print(json ? jsonLine(entry) : renderEntry(entry, terminal));
    },
  });
  const answer = getRequestListener((request) => app.fetch(request));
  const server = createServer((incoming, outgoing) => {
    void answer(incoming, outgoing);
  });
  bound = await listen(server, asked);
  announce(
    terminal,
    `http://${bracketed(bound.host)}:${bound.port}`,
    node.url,
    node.verdict.platform,
    json,
  );
  if (!isLoopback(bound.host)) {
    terminal.note(
      "warning: other machines can reach this proxy, and what they send it is not encrypted",
    );
  }
  await untilSignal();
  server.close();
  server.closeAllConnections();
  return EXIT.ok;
}

async function listen(
  server: ReturnType<typeof createServer>,
  { host, port }: ListenAddress,
): Promise<ListenAddress> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (error) {
    const code = systemCode(error);
    const reason = code === "EADDRINUSE" ? "the port is taken" : code;
    throw new CommandError(
      `cannot serve at ${bracketed(host)}:${port}: ${reason}`,
      "name another address with --listen, for example 127.0.0.1:8482",
    );
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has such an address
  return { host, port: (server.address() as AddressInfo).port };
}

function announce(
  terminal: Terminal,
  url: string,
  node: string,
  platform: string | null,
  json: boolean,
): void {
  if (json) {
    terminal.print(jsonLine({ event: "listening", url, node, platform }));
    return;
  }
  terminal.print(`The node ${node} is verified. Serving its API at ${terminal.paint.bold(url)}`);
  const notice = simulationNotice(platform);
  if (notice !== null) terminal.print(terminal.paint.warn(notice));
}

function renderEntry(entry: ProxyEntry, { paint }: Terminal): string {
  const { method, path, status, outcome, exchange, detail } = entry;
  const word = outcome === "refused" ? paint.bad(outcome) : paint.good(outcome);
  const rest = detail ?? (exchange === null ? "" : `/proofs/${exchange}`);
  return `${printable(`${method} ${path}`)}  ${status}  ${word}  ${paint.dim(printable(rest))}`;
}
