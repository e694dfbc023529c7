import { describe, expect, it } from "vitest";
import { EnclaveAccount, type EnclaveLine, EnclaveLogReader } from "../../../host/enclave-log.ts";
import { LOG_BURST_LINES, LOG_LINES_PER_SECOND, MAX_LOG_LINE_BYTES } from "../../../host/limits.ts";
import { memoryLog, type Recorded } from "./support.ts";

interface Reading {
  readonly lines: Recorded[];
  readonly read: EnclaveLine[];
  readonly reader: EnclaveLogReader;
  readonly clock: { nowMs: number };
}

function reading(): Reading {
  const { log, lines } = memoryLog();
  const read: EnclaveLine[] = [];
  const clock = { nowMs: 0 };
  const take = (line: EnclaveLine): void => {
    read.push(line);
  };
  const reader = new EnclaveLogReader("enclave", log, take, () => clock.nowMs);
  return { lines, read, reader, clock };
}

function bytes(...lines: readonly (object | string)[]): Uint8Array {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line)));
  return Buffer.from(text.map((line) => `${line}\n`).join(""));
}

describe("an enclave's log", () => {
  it("is read as lines, however its bytes come", () => {
    const { reader, lines } = reading();
    const take = reader.stream();
    for (const byte of bytes({ event: "phase", phase: "boot" }, { event: "closed", code: "a/b" })) {
      take(Uint8Array.of(byte));
    }
    expect(lines).toEqual([
      { event: "enclave", fields: { what: "phase", phase: "boot" } },
      { event: "enclave", fields: { what: "closed", code: "a/b" } },
    ]);
  });

  it("says of a key how it was asked for", () => {
    const { reader, lines } = reading();
    const failed = { attempt: 2, code: "key/throttled" };
    const released = { id: "m", version: "1", kind: "aws-kms", ms: 5 };
    reader.stream()(
      bytes({ event: "key-attempt-failed", ...failed }, { event: "key-released", ...released }),
    );
    expect(lines.map(({ fields }) => fields)).toEqual([
      { what: "key-attempt-failed", ...failed },
      { what: "key-released", ...released },
    ]);
  });

  it("is passed on by words and numbers, and no others", () => {
    const { reader, lines } = reading();
    const pcr0 = "ab".repeat(48);
    const numbers = { needBytes: 2, haveBytes: 1, lines: 3 };
    reader.stream()(
      bytes(
        { event: "memory", ...numbers, secret: "s", prompt: 1 },
        { event: "module", id: "i-1-enc2", pcr0, pcr1: `${pcr0}0`, pcr2: "a b" },
        { event: "phase", phase: { nested: "x" }, models: [1] },
        { event: "two words", phase: "boot" },
        { phase: "boot" },
        "[]",
        "null",
        '"text"',
        "not JSON",
        "",
      ),
    );
    expect(lines).toEqual([
      { event: "enclave", fields: { what: "memory", ...numbers } },
      { event: "enclave", fields: { what: "module", id: "i-1-enc2", pcr0 } },
      { event: "enclave", fields: { what: "phase" } },
    ]);
  });

  it("keeps exchanges apart, with their receipts", () => {
    const { reader, lines } = reading();
    const receipt = `${"A".repeat(2048)}==`;
    reader.stream()(
      bytes(
        { event: "aborted", index: 1, receipt },
        { event: "aborted", index: 2, receipt: `A${receipt}` },
      ),
    );
    expect(lines.map(({ event, fields }) => [event, fields["index"], fields["receipt"]])).toEqual([
      ["enclave-exchange", 1, receipt],
      ["enclave-exchange", 2, undefined],
    ]);
  });

  it("has lines of a bounded length, and goes on after one that is longer", () => {
    const { reader, lines } = reading();
    const take = reader.stream();
    const line = (length: number): string => {
      const empty = JSON.stringify({ event: "phase", x: "" });
      return JSON.stringify({ event: "phase", x: "x".repeat(length - empty.length) });
    };
    take(bytes(line(MAX_LOG_LINE_BYTES)));
    take(bytes(line(MAX_LOG_LINE_BYTES + 1)));
    take(bytes({ event: "phase", phase: "boot" }));
    expect(lines.map(({ event, fields }) => [event, fields["phase"]])).toEqual([
      ["enclave", undefined],
      ["enclave-line-dropped", undefined],
      ["enclave", "boot"],
    ]);
  });

  it("drops a flood unread, counts it, and reads on when it is over", () => {
    const { reader, lines, read, clock } = reading();
    const take = reader.stream();
    const flood = bytes({ event: "phase", phase: "boot" });
    for (let i = 0; i < LOG_BURST_LINES + 500; i++) take(flood);
    expect([lines.length, read.length]).toEqual([LOG_BURST_LINES, LOG_BURST_LINES]);
    clock.nowMs = 10;
    take(flood);
    expect(lines.slice(LOG_BURST_LINES)).toEqual([
      { event: "enclave-lines-dropped", fields: { lines: 500 } },
      { event: "enclave", fields: { what: "phase", phase: "boot" } },
    ]);
    // Ten milliseconds are worth ten lines.
    for (let i = 0; i < 20; i++) take(flood);
    expect(read.length).toBe(LOG_BURST_LINES + (10 * LOG_LINES_PER_SECOND) / 1000);
    reader.flush();
    reader.flush();
    const counted = lines.filter(({ event }) => event === "enclave-lines-dropped");
    expect(counted.map(({ fields }) => fields["lines"])).toEqual([500, 11]);
  });

  it("counts lines that are too long as lines", () => {
    const { reader, lines } = reading();
    const take = reader.stream();
    const long = Buffer.concat([Buffer.alloc(MAX_LOG_LINE_BYTES + 1, "x"), Buffer.from("\n")]);
    for (let i = 0; i < LOG_BURST_LINES + 3; i++) take(long);
    reader.flush();
    expect(lines.length).toBe(LOG_BURST_LINES + 1);
    expect(lines.at(-1)).toEqual({ event: "enclave-lines-dropped", fields: { lines: 3 } });
  });
});

describe("what an enclave tells of itself", () => {
  const line = (value: object): EnclaveLine => new Map(Object.entries(value));

  it("is that it serves", async () => {
    const account = new EnclaveAccount();
    let serving = false;
    void account.serving.then(() => {
      serving = true;
    });
    account.read(line({ event: "phase", phase: "boot" }));
    account.read(line({ event: "other", phase: "serving" }));
    await Promise.resolve();
    expect(serving).toBe(false);
    account.read(line({ event: "phase", phase: "serving" }));
    await account.serving;
  });

  it("is what it needs of memory, in numbers", () => {
    const account = new EnclaveAccount();
    for (const needBytes of ["1", -1, 1.5, 1e300, null]) {
      account.read(line({ event: "memory", needBytes, haveBytes: 1 }));
    }
    account.read(line({ event: "other", needBytes: 1, haveBytes: 1 }));
    expect(account.memory).toBe(null);
    account.read(line({ event: "memory", needBytes: 2, haveBytes: 1 }));
    expect(account.memory).toEqual({ needBytes: 2, haveBytes: 1 });
  });

  it("is why it closed, and which model it refused", () => {
    const account = new EnclaveAccount();
    expect([account.reason, account.model]).toEqual([null, null]);
    account.read(line({ event: "model-refused", id: "digits", version: "1" }));
    account.read(line({ event: "closed", code: "model/hash" }));
    account.read(line({ event: "closed", code: "a code with spaces" }));
    expect([account.reason, account.model]).toEqual(["model/hash", "digits/1"]);
  });
});
