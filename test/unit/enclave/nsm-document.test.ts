import { encodeCbor } from "@countersign/attestation/attester";
import { parseEvidence } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { parseOwnDocument } from "../../../enclave/nsm/document.ts";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import { IMAGE, newVendor } from "../../fakes/ring.ts";
import { listVectors, missing, readVector } from "../../shared.ts";

const GROUP = "qemu-nsm";
const NONE = { userData: null, nonce: null, publicKey: null };

describe.skipIf(missing(GROUP))("documents of a device", () => {
  const names = missing(GROUP)
    ? []
    : listVectors(GROUP).filter((name) => name.includes("-doc-") && !name.includes("toolong"));

  it.each(names)("%s is read as the verifier reads it, signed or not", (name) => {
    const bytes = readVector(`${GROUP}/${name}`);
    const own = parseOwnDocument(bytes);
    expect(own.timestampMs).toBeGreaterThan(Date.UTC(2026, 0));
    if (!name.startsWith("signed")) return;
    const evidence = parseEvidence(bytes);
    expect(own).toEqual({ payload: evidence.payload, timestampMs: evidence.timestampMs });
  });
});

describe("a document of our own module", () => {
  const NOW = Date.now();
  const document = new SimulatedNsm(newVendor(), IMAGE, () => NOW).attest(NONE);

  it("has the module's time, tagged or not", () => {
    expect(parseOwnDocument(document).timestampMs).toBe(NOW);
    expect(parseOwnDocument(Uint8Array.of(0xd2, ...document)).timestampMs).toBe(NOW);
  });

  it("is refused cut short, and with a byte more", () => {
    for (let length = 0; length < document.length; length += 97) {
      expect(() => parseOwnDocument(document.subarray(0, length))).toThrow("nsm/malformed");
    }
    expect(() => parseOwnDocument(Uint8Array.of(...document, 0))).toThrow("nsm/malformed");
  });

  it.each([
    ["no map", encodeCbor(1)],
    ["no time", encodeCbor(new Map([["module_id", "i-0"]]))],
    ["a time that is text", encodeCbor(new Map([["timestamp", "now"]]))],
    ["a time before 1970", encodeCbor(new Map([["timestamp", -1]]))],
  ])("is refused with a payload of %s", (_, payload) => {
    const envelope = encodeCbor([new Uint8Array(0), new Map(), payload, new Uint8Array(96)]);
    expect(() => parseOwnDocument(envelope)).toThrow("nsm/malformed");
    const short = encodeCbor([new Uint8Array(0), new Map(), payload]);
    expect(() => parseOwnDocument(short)).toThrow("nsm/malformed");
  });
});
