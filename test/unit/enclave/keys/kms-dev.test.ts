/** The enclave's client, an enclave's document, and a KMS that judges it by a key policy. */
import { encodeEnvelope, type Envelope, parseKeyServices } from "@countersign/protocol";
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EnclaveError } from "../../../../enclave/errors.ts";
import { keyRelease } from "../../../../enclave/keys/choice.ts";
import { SimulatedNsm } from "../../../../enclave/simulation/nsm.ts";
import type { DevKmsFault } from "../../../../sealing/dev-kms/fault.ts";
import { KmsWorld } from "../../../fakes/dev-kms.ts";
import { IMAGE, newVendor } from "../../../fakes/ring.ts";
import { ScriptedKms } from "../../../fakes/scripted-kms.ts";

const vendor = newVendor();
const DIGEST = new Uint8Array(32).fill(5);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const CONDITION = {
  StringEqualsIgnoreCase: {
    "kms:RecipientAttestation:PCR0": hex(IMAGE.pcr0),
    "kms:RecipientAttestation:PCR1": hex(IMAGE.pcr1),
    "kms:RecipientAttestation:PCR2": hex(IMAGE.pcr2),
  },
};

let world: KmsWorld;
/** Relays, and gives out credentials. */
let host: ScriptedKms;
let envelope: Envelope;
let dataKey: Uint8Array;

beforeAll(async () => {
  world = await KmsWorld.start({ attestationRoots: [vendor.certificate] });
  const { KeyId, CiphertextBlob, Plaintext } = await world.owner.generateDataKey({
    KeyId: "alias/countersign",
    KeySpec: "AES_256",
    EncryptionContext: { "countersign-model-digest": hex(DIGEST) },
  });
  envelope = { kind: "aws-kms", key: KeyId ?? "", wrapped: CiphertextBlob ?? new Uint8Array() };
  dataKey = Plaintext ?? new Uint8Array();
});

afterAll(async () => {
  await world.close();
});

beforeEach(async () => {
  host = await ScriptedKms.start(() => "cut");
  host.credentials = { ...world.kms.node.credentials };
  await world.resetPolicy();
  await world.allow({ Action: "kms:Decrypt", Condition: CONDITION });
});

afterEach(async () => {
  world.kms.recover();
  await host.close();
});

interface Wish {
  readonly image?: typeof IMAGE;
  readonly asked?: Envelope;
  readonly digest?: Uint8Array;
}

async function released({ image = IMAGE, asked = envelope, digest = DIGEST }: Wish = {}) {
  const services = parseKeyServices(await readFile(world.kms.keyServicesPath));
  const nsm = new SimulatedNsm(vendor, image, Date.now);
  const keys = keyRelease(services, { ...host.context(), platform: "simulated", nsm });
  return keys.release(asked, encodeEnvelope(asked), digest).catch((error: unknown) => {
    if (error instanceof EnclaveError) return error.code;
    throw error;
  });
}

describe("an enclave", () => {
  it("that the policy names gets the key", async () => {
    expect(await released()).toEqual(Uint8Array.from(dataKey));
  });

  it.each(["pcr0", "pcr1", "pcr2"])("with another %s gets none", async (register) => {
    const image = { ...IMAGE, [register]: new Uint8Array(48).fill(9) };
    expect(await released({ image })).toBe("key/denied");
  });

  it("in debug mode gets none", async () => {
    const zero = new Uint8Array(48);
    const image = { pcr0: zero, pcr1: zero, pcr2: zero };
    expect(await released({ image })).toMatch(/^key\/(?:denied|refused)$/u);
  });

  it("whose policy was taken back gets none, and a key again when it is there again", async () => {
    await world.resetPolicy();
    expect(await released()).toBe("key/denied");
    await world.allow({ Action: "kms:Decrypt", Condition: CONDITION });
    expect(await released()).toEqual(Uint8Array.from(dataKey));
  });

  it("gets no key of another model, and none that was changed", async () => {
    expect(await released({ digest: new Uint8Array(32).fill(6) })).toBe("key/refused");
    const wrapped = envelope.wrapped.slice();
    wrapped[wrapped.length - 1] = (wrapped.at(-1) ?? 0) ^ 1;
    expect(await released({ asked: { ...envelope, wrapped } })).toBe("key/refused");
  });

  it("whose host gives wrong credentials gets none", async () => {
    host.credentials = { ...host.credentials, secretAccessKey: "another" };
    expect(await released()).toBe("key/credentials");
  });
});

describe("a KMS that", () => {
  const faults: readonly (readonly [kind: DevKmsFault["kind"], code: string])[] = [
    ["throttle", "key/throttled"],
    ["internal", "key/unreachable"],
    ["unavailable", "key/unreachable"],
    ["cut", "key/unreachable"],
    ["cut-answer", "key/unreachable"],
    ["deny", "key/denied"],
    ["garbage", "key/answer"],
    ["bad-envelope", "key/envelope"],
  ];
  it.each(faults)("has the fault %s", async (kind, code) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- those of the table have no more
    world.kms.inject({ kind } as DevKmsFault, 5);
    expect(await released()).toBe(code);
  });

  it("says another key's id", async () => {
    world.kms.inject({ kind: "other-key-id", keyId: `${envelope.key.slice(0, -1)}x` }, 1);
    expect(await released()).toBe("key/answer");
  });

  it("gives another key under the right id: nobody can tell, until no segment opens", async () => {
    world.kms.inject({ kind: "other-key" }, 1);
    const key = await released();
    expect(key).toBeInstanceOf(Uint8Array);
    expect(key).not.toEqual(Uint8Array.from(dataKey));
  });
});
