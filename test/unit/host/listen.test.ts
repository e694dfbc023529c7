import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ListenAddress } from "../../../host/args.ts";
import { formatAddress, listenPublicly, type PublicServer } from "../../../host/listen.ts";
import { onTestEnd, refusalOf, scratch } from "./support.ts";

function listenAt(path: string): Promise<PublicServer> {
  return listenPublicly({ kind: "unix", path }, (_, outgoing) => outgoing.end(), 8);
}

/** What a process leaves that is killed while it listens. */
async function abandonSocket(path: string): Promise<void> {
  const program = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  await once(spawn(process.execPath, ["-e", program]), "exit");
  expect(lstatSync(path).isSocket()).toBe(true);
}

describe("a public Unix socket", () => {
  it("takes the place of one that was left behind, and goes with the node", async () => {
    const path = join(scratch(), "public");
    await abandonSocket(path);
    const server = await listenAt(path);
    expect(server.url).toBe(`unix:${path}`);
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it("never takes the place of a file, nor of what a link points to", async () => {
    const directory = scratch();
    const file = join(directory, "letter.txt");
    writeFileSync(file, "do not lose this");
    expect((await refusalOf(() => listenAt(file))).code).toBe("listen/taken");
    const link = join(directory, "link");
    symlinkSync(file, link);
    expect((await refusalOf(() => listenAt(link))).code).toBe("listen/taken");
    expect(readFileSync(link, "utf8")).toBe("do not lose this");
  });

  it("leaves one at which somebody answers", async () => {
    const path = join(scratch(), "public");
    const other = createServer().listen(path);
    await once(other, "listening");
    onTestEnd(() => {
      other.close();
    });
    expect((await refusalOf(() => listenAt(path))).code).toBe("listen/taken");
    expect(lstatSync(path).isSocket()).toBe(true);
  });
});

describe("an address that the system does not give", () => {
  it.each<[string, () => ListenAddress, string]>([
    ["no such directory", () => ({ kind: "unix", path: join(scratch(), "none", "s") }), "EACCES"],
    // RFC 5737: for documentation, so that no machine has it.
    ["another machine's", () => ({ kind: "tcp", host: "192.0.2.1", port: 0 }), "EADDRNOTAVAIL"],
  ])("is refused, and named: %s", async (_, address, found) => {
    const wanted = address();
    const refusal = await refusalOf(() => listenPublicly(wanted, (_in, out) => out.end(), 8));
    expect(refusal.code).toBe("listen/refused");
    expect(refusal.message).toContain(`cannot listen at ${formatAddress(wanted)} (${found})`);
  });
});
