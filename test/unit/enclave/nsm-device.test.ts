import { encodeUtf8 } from "@countersign/attestation";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { encodeNsmRequest, type NsmRequest } from "../../../enclave/nsm/codec.ts";
import { NsmDevice, openNsmDevice } from "../../../enclave/nsm/device.ts";
import { openNsmFile } from "../../../enclave/nsm/ioctl.ts";
import { answerOf, recordedIoctl } from "../../fakes/nsm-ioctl.ts";
import { missing, readVector } from "../../shared.ts";

const GROUP = "qemu-nsm";
const NONE = { userData: null, nonce: null, publicKey: null };
const folder = mkdtempSync(join(tmpdir(), "nsm-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Every call, and the request that it makes. */
const CALLS: readonly (readonly [(nsm: NsmDevice) => unknown, NsmRequest])[] = [
  [(nsm) => nsm.describe(), { name: "DescribeNSM" }],
  [(nsm) => nsm.describePcr(3), { name: "DescribePCR", index: 3 }],
  [
    (nsm) => nsm.extendPcr(16, encodeUtf8("hello")),
    { name: "ExtendPCR", index: 16, data: encodeUtf8("hello") },
  ],
  [
    (nsm) => {
      nsm.lockPcr(16);
    },
    { name: "LockPCR", index: 16 },
  ],
  [(nsm) => nsm.random(), { name: "GetRandom" }],
  [(nsm) => nsm.attest(NONE), { name: "Attestation", ...NONE }],
];

describe.skipIf(missing(GROUP))("the device, with answers that were recorded from one", () => {
  const recorded = (name: string): Uint8Array => readVector(`${GROUP}/nsm-response-${name}.bin`);
  const device = (name: string): NsmDevice => new NsmDevice(recordedIoctl([recorded(name)]).ioctl);

  it("describes the module and its registers", () => {
    expect(device("DescribeNSM").describe()).toMatchObject({ versionMajor: 1, maxPcrs: 32 });
    const untouched = device("DescribePCR31").describePcr(31);
    expect(untouched).toEqual({ locked: false, value: new Uint8Array(48) });
    expect(device("DescribePCR0").describePcr(0).locked).toBe(true);
  });

  it("extends, locks, gives random bytes and documents", () => {
    expect(device("ExtendPCR16").extendPcr(16, encodeUtf8("hello")).length).toBe(48);
    device("LockPCR16").lockPcr(16);
    expect(device("GetRandom").random().length).toBe(256);
    const document = device("Attestation_max").attest(NONE);
    expect(document).toEqual(readVector(`${GROUP}/attestation-doc-max.bin`));
  });

  it("gives a refusal its own name", () => {
    expect(() => device("DescribePCR32").describePcr(32)).toThrow(
      "nsm/refused: DescribePCR: InvalidIndex",
    );
    expect(() => device("ExtendPCR0").extendPcr(0, encodeUtf8("x"))).toThrow(
      "nsm/refused: ExtendPCR: ReadOnlyIndex",
    );
  });

  it("takes no answer to another question", () => {
    expect(() => device("GetRandom").describePcr(0)).toThrow("nsm/malformed");
    expect(() => device("LockPCR16").random()).toThrow("nsm/malformed");
    expect(() => device("DescribePCR0").extendPcr(16, encodeUtf8("x"))).toThrow("nsm/malformed");
  });
});

describe("the device", () => {
  it.each(CALLS)("asks once, in the module's own words: %s", (call, request) => {
    const { ioctl, asked } = recordedIoctl([answerOf("Error", "InternalError")]);
    expect(() => call(new NsmDevice(ioctl))).toThrow(`nsm/refused: ${request.name}: InternalError`);
    expect(asked).toEqual([encodeNsmRequest(request)]);
  });

  it.each([
    "InvalidArgument",
    "InvalidIndex",
    "InvalidResponse",
    "ReadOnlyIndex",
    "InvalidOperation",
    "BufferTooSmall",
    "InputTooLarge",
    "InternalError",
  ])("tells a refusal with %s", (refusal) => {
    const nsm = new NsmDevice(recordedIoctl([answerOf("Error", refusal)]).ioctl);
    expect(() => nsm.random()).toThrow(`nsm/refused: GetRandom: ${refusal}`);
  });

  it.each([
    ["EACCES", "nsm/permission"],
    ["EPERM", "nsm/permission"],
    ["ETIMEDOUT", "nsm/timeout"],
    ["EMSGSIZE", "nsm/device"],
    ["ENODEV", "nsm/device"],
    ["errno 4095", "nsm/device"],
  ])("tells %s as %s, and does not ask again", (errno, code) => {
    for (const [call] of CALLS) {
      const { ioctl, asked } = recordedIoctl([errno]);
      expect(() => call(new NsmDevice(ioctl))).toThrow(code);
      expect(asked.length).toBe(1);
    }
  });

  it("asks again after an interruption, where that changes nothing, and not for ever", () => {
    for (const [call, { name }] of CALLS) {
      const { ioctl, asked } = recordedIoctl(["EINTR"]);
      expect(() => call(new NsmDevice(ioctl))).toThrow("nsm/device");
      expect(asked.length).toBe(name === "ExtendPCR" || name === "LockPCR" ? 1 : 9);
    }
    const random = answerOf("GetRandom", new Map([["random", new Uint8Array(256).fill(7)]]));
    const nsm = new NsmDevice(recordedIoctl(["EINTR", "EINTR", random]).ioctl);
    expect(nsm.random()).toEqual(new Uint8Array(256).fill(7));
  });

  it("takes answers of exactly the length that the driver tells", () => {
    const answer = answerOf("GetRandom", new Map([["random", new Uint8Array(256).fill(7)]]));
    for (const length of [0, 1, answer.length - 1, answer.length + 1, 0x3000, 0x3001, 2 ** 40]) {
      const nsm = new NsmDevice((_, response) => {
        response.set(answer);
        return { kind: "answer", length };
      });
      expect(() => nsm.random()).toThrow("nsm/malformed");
    }
  });

  it("keeps what it was given, whatever becomes of the buffer", () => {
    const held: Uint8Array[] = [];
    const answer = answerOf("GetRandom", new Map([["random", new Uint8Array(256).fill(7)]]));
    const nsm = new NsmDevice((_, response) => {
      // Nothing of an earlier answer is there.
      expect(response.every((byte) => byte === 0)).toBe(true);
      held.push(response);
      response.set(answer);
      return { kind: "answer", length: answer.length };
    });
    const random = nsm.random();
    held[0]?.fill(1);
    expect(random).toEqual(new Uint8Array(256).fill(7));
    nsm.random();
    expect(held.length).toBe(2);
  });

  it("refuses what no request may hold before it asks", () => {
    const { ioctl, asked } = recordedIoctl([answerOf("Error", "InternalError")]);
    const nsm = new NsmDevice(ioctl);
    const request = { ...NONE, userData: new Uint8Array(513) };
    expect(() => nsm.attest(request)).toThrow("nsm/refused");
    expect(() => nsm.extendPcr(16, new Uint8Array(4096))).toThrow("nsm/refused");
    expect(asked).toEqual([]);
  });
});

describe.skipIf(process.platform !== "linux")("the file of the device", () => {
  it("is there, and is a device", () => {
    expect(() => openNsmDevice(join(folder, "none"))).toThrow("nsm/device");
    expect(() => openNsmDevice(folder)).toThrow("nsm/device");
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(() => openNsmDevice(file)).toThrow("nsm/device");
  });

  it("may be opened by us", () => {
    const file = join(folder, "private");
    writeFileSync(file, "");
    chmodSync(file, 0o000);
    expect(() => asNobody(() => openNsmDevice(file))).toThrow("nsm/permission");
  });

  it("is asked by a real ioctl: another device has no such call", () => {
    const nsm = openNsmDevice("/dev/null");
    expect(() => nsm.describe()).toThrow("nsm/device: DescribeNSM: ENOTTY");
    const { ioctl, close } = openNsmFile("/dev/null");
    expect(() => ioctl(new Uint8Array(1), new Uint8Array(16))).toThrow(TypeError);
    expect(ioctl(new Uint8Array(1), new Uint8Array(0x3000))).toEqual({
      kind: "error",
      error: "ENOTTY",
    });
    close();
  });
});

/** Root may open anything: where we are root, not for the time of this call. */
function asNobody<T>(call: () => T): T {
  if (process.geteuid?.() !== 0) return call();
  chmodSync(folder, 0o755);
  process.seteuid?.(65_532);
  try {
    return call();
  } finally {
    process.seteuid?.(0);
  }
}
