import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { runCase, type Subject } from "../../conformance/subject.ts";
import { streamSubject, unixSubject } from "../../conformance/subjects.ts";
import { CASES } from "../../conformance/suite.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-transport-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

const SUBJECTS: readonly (readonly [string, () => Subject])[] = [
  ["Unix sockets of Node's own", () => unixSubject(folder)],
  ["streams of vsock/, by libuv's pipe", () => streamSubject("pipe")],
  ["streams of vsock/, by public calls", () => streamSubject("fallback")],
];

// The same cases over AF_VSOCK itself: test/conformance/guest.ts, in the emulated machine.
describe.each(SUBJECTS)("%s", (_, subject) => {
  // oxlint-disable-next-line vitest/expect-expect -- cases assert with node:assert
  test.each(CASES)("$name", async (each) => {
    await runCase(each, subject());
  });
});
