/**
 * The enclave's own device class on a real /dev/nsm, in a guest: `node test/emulation/nsm-cases.ts`.
 *
 * Prints a line a case and `N passed, M failed`. Registers keep what is done to them, so the cases
 * run in this order, once a guest.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseEvidence } from "@countersign/attestation";
import { EnclaveError, type EnclaveErrorCode } from "../../enclave/errors.ts";
import { openNsmDevice } from "../../enclave/nsm/device.ts";

const PCR_BYTES = 48;
const REGISTER = 16;
const MODELS_DIGEST = createHash("sha256").update("models").digest();
const nsm = openNsmDevice();

const CASES: Readonly<Record<string, () => void>> = {
  "describes itself, with the image's registers locked": () => {
    const { moduleId, maxPcrs, lockedPcrs, versionMajor } = nsm.describe();
    assert.match(moduleId, /^i-[0-9a-f]{17}-enc[0-9a-f]{16}$/u);
    assert.equal(maxPcrs, 32);
    assert.equal(versionMajor, 1);
    const locked = Array.from({ length: REGISTER }, (_, index) => index);
    assert.deepEqual(lockedPcrs, locked);
  },
  "gives 256 random bytes, others each time": () => {
    const [first, second] = [nsm.random(), nsm.random()];
    assert.equal(first.length, 256);
    assert.notDeepEqual(first, second);
  },
  "extends a register from zero, by SHA-384 of what was and what comes": () => {
    assert.deepEqual(nsm.describePcr(REGISTER), {
      locked: false,
      value: new Uint8Array(PCR_BYTES),
    });
    const wanted = sha384(Buffer.alloc(PCR_BYTES), MODELS_DIGEST);
    assert.deepEqual(nsm.extendPcr(REGISTER, MODELS_DIGEST), wanted);
    const twice = sha384(wanted, MODELS_DIGEST);
    assert.deepEqual(nsm.extendPcr(REGISTER, MODELS_DIGEST), twice);
    assert.deepEqual(nsm.describePcr(REGISTER), { locked: false, value: twice });
  },
  "locks it for good": () => {
    nsm.lockPcr(REGISTER);
    assert.equal(nsm.describePcr(REGISTER).locked, true);
    refuses("nsm/refused", /ReadOnlyIndex/u, () => nsm.extendPcr(REGISTER, MODELS_DIGEST));
    refuses("nsm/refused", /ReadOnlyIndex/u, () => {
      nsm.lockPcr(REGISTER);
    });
  },
  "refuses the image's own registers, and one that is not there": () => {
    refuses("nsm/refused", /ReadOnlyIndex/u, () => nsm.extendPcr(0, MODELS_DIGEST));
    refuses("nsm/refused", /InvalidIndex/u, () => nsm.describePcr(32));
  },
  "puts fields of the largest sizes into a document, with every locked register": () => {
    const request = {
      userData: new Uint8Array(512).fill(1),
      nonce: new Uint8Array(512).fill(2),
      publicKey: new Uint8Array(1024).fill(3),
    };
    const claims = parseEvidence(nsm.attest(request));
    assert.deepEqual(claims.userData, request.userData);
    assert.deepEqual(claims.nonce, request.nonce);
    assert.deepEqual(claims.publicKey, request.publicKey);
    assert.deepEqual(claims.pcrs.get(REGISTER), nsm.describePcr(REGISTER).value);
    assert.equal(claims.pcrs.size, REGISTER + 1);
  },
  "refuses a field that is a byte too long": () => {
    const userData = new Uint8Array(513);
    refuses("nsm/refused", /513/u, () => nsm.attest({ userData, nonce: null, publicKey: null }));
  },
};

let [passed, failed] = [0, 0];
for (const [name, run] of Object.entries(CASES)) {
  try {
    run();
    passed++;
    console.log(`ok   nsm: ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL nsm: ${name}: ${String(error)}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function sha384(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha384");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

function refuses(code: EnclaveErrorCode, message: RegExp, run: () => unknown): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof EnclaveError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}
