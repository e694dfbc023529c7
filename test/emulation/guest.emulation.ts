/** Inside a guest: the device class on a real driver, and the conformance suite on AF_VSOCK's loopback. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { buildGuest, imagePath } from "./image.ts";
import { rootCertificate, startMachine } from "./machine.ts";
import { Packages } from "./packages.ts";

const NSM = "test/emulation/nsm-cases.ts";
const VSOCK = "test/conformance/guest.ts";

const cache = inject("emulation");
let folder: string;
let said = "";
let ended: string | null;

beforeAll(async () => {
  if (cache === null) return;
  const packages = new Packages(cache);
  folder = await mkdtemp(join(tmpdir(), "countersign-guest-"));
  const image = await buildGuest(packages, imagePath(folder, "guest"), [NSM, VSOCK]);
  await rootCertificate(packages, folder);
  const machine = await startMachine(packages, {
    image: image.file,
    cpus: 2,
    memoryMib: 768,
    cid: 16,
    folder,
    nitroQemu: null,
    console: (chunk) => {
      said += Buffer.from(chunk).toString("utf8");
    },
  });
  ended = await machine.ended;
});

afterAll(async () => {
  if (cache !== null) await rm(folder, { recursive: true });
});

describe.skipIf(cache === null)("in a guest", () => {
  it("the programs run to their end", () => {
    expect(ended).toBeNull();
  });

  it.each([NSM, VSOCK])("%s passes", (program) => {
    const end = said.indexOf(`ended ${program} `);
    const before = program === NSM ? 0 : said.indexOf(`ended ${NSM} `);
    const part = said.slice(before, end);
    expect([...part.matchAll(/^FAIL .*$/gmu)].map(([line]) => line)).toEqual([]);
    const [, passed] = /(\d+) passed, 0 failed/u.exec(part) ?? [];
    expect(Number(passed)).toBe([...part.matchAll(/^ok {3}/gmu)].length);
    expect(Number(passed)).toBeGreaterThan(0);
    expect(said.slice(end).split(/\r?\n/u, 1)).toEqual([`ended ${program} 0`]);
  });
});
