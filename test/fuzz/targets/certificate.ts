/** Certificates and chains by their form alone: no signature is verified. */
import { parseCertificate } from "../../../attestation/certificate.ts";
import { parseChain } from "../../../attestation/chain.ts";
import { FAKE_NOW_MS } from "../../fakes/nitro.ts";
import { mutateBytes } from "../bytes.ts";
import { makeLab } from "../lab.ts";
import { commonNames, digest, equal, readCertificate, requireLinks } from "../oracle/x509.ts";
import type { Random } from "../random.ts";
import { certificatesOf } from "../resign.ts";
import { awsDocuments, vectors } from "../seeds.ts";
import { type Input, type Seed, type Target, requireHeld } from "../target.ts";
import { type Element, inside, leaf, MAJOR, write } from "../tree/element.ts";
import { mutateTree } from "../tree/mutation.ts";
import { readCbor, unfold } from "../tree/reading.ts";
import { runTwice } from "./twice.ts";

/** KEY_USAGE of the verifier, and the first byte of the named bits: bit 0 is the highest one. */
const USAGE_BITS = 8;

/** An input is a CBOR array of certificates, root first; or, where it is none, one certificate. */
export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const own = lab.chains.map((ders) => input(ders, true));
  const others = [...awsDocuments(), ...vectors("document", "document.cbor")].flatMap(
    (document) => {
      const root = readCbor(document.bytes);
      const ders = root === null ? [] : certificatesOf(unfold(root)).map(inside);
      return ders.length === 0 ? [] : [input(ders, false)];
    },
  );
  return {
    name: "certificate",
    batch: 32,
    seeds: [...own, ...others],
    mutate,
    async run({ bytes }) {
      const ders = certificatesIn(bytes);
      for (const der of ders) {
        const run = await runTwice(
          () => parseCertificate(der),
          (parsed) => requireSame(parsed, der),
        );
        if (run.breach !== null) return run;
      }
      const roots = [digest("sha256", ders[0] ?? new Uint8Array())];
      return runTwice(
        () => parseChain(ders, roots, FAKE_NOW_MS),
        () => void requireLinks(ders, FAKE_NOW_MS),
      );
    },
  };
}

/** OpenSSL and our own reading take the same out of it. */
function requireSame(parsed: ReturnType<typeof parseCertificate>, der: Uint8Array): void {
  const read = readCertificate(der);
  const names = commonNames(read);
  const same = [
    equal(parsed.signed, write(read.tbs)),
    equal(parsed.issuer, read.issuer),
    equal(parsed.subject, read.subject),
    parsed.notBeforeMs === read.notBeforeMs,
    parsed.notAfterMs === read.notAfterMs,
    parsed.constraints.authority === read.authority,
    parsed.constraints.pathLength === read.pathLength,
    (parsed.constraints.keyUsage & 0xff) === reversed(read.usage),
    parsed.commonName === (names.length === 1 ? names[0] : null),
  ];
  requireHeld(!same.includes(false), `the verifier read other facts: ${same.join()}`);
}

function mutate(random: Random, parent: Input, other: Input): Input {
  const root = readCbor(parent.bytes);
  if (root === null || random.once(3)) {
    return { bytes: mutateBytes(random, parent.bytes, other.bytes), stance: null, signed: [] };
  }
  const donor = readCbor(other.bytes) ?? root;
  mutateTree(random, unfold(root), unfold(donor));
  return { bytes: write(root), stance: null, signed: [] };
}

function input(ders: readonly Uint8Array[], genuine: boolean): Seed {
  const children: Element[] = ders.map((der) => leaf(MAJOR.bytes, 0n, der));
  const bytes = write({ ...leaf(MAJOR.array, 0n), children });
  return { bytes, stance: null, signed: [], genuine };
}

function certificatesIn(bytes: Uint8Array): readonly Uint8Array[] {
  const root = readCbor(bytes);
  return root?.type === MAJOR.array && root.children.length > 0
    ? root.children.map(inside)
    : [bytes];
}

/** Bit n of the named bits, counted from the highest, at place n. */
function reversed(byte: number): number {
  let bits = 0;
  for (let n = 0; n < USAGE_BITS; n++) if ((byte & (0x80 >> n)) !== 0) bits |= 1 << n;
  return bits;
}
