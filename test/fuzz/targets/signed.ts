/** What the targets that hold a signed document share: how their inputs are changed. */
import { certificatePem } from "../../fakes/x509.ts";
import { mutateBytes } from "../bytes.ts";
import type { Lab } from "../lab.ts";
import { digest, hexOf } from "../oracle/x509.ts";
import type { Random } from "../random.ts";
import { adopt, certificatesOf, isOurs } from "../resign.ts";
import { twin } from "../signer.ts";
import type { Input, Seed, Stance, Target } from "../target.ts";
import { type Element, fill, inside, leaf, MAJOR, write } from "../tree/element.ts";
import { mutateTree } from "../tree/mutation.ts";
import { readCbor, unfold } from "../tree/reading.ts";
import { type Appraise, Judge, type Oracle } from "./judging.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const SHIFTS_MS = [-2 * YEAR_MS, -3 * HOUR_MS, -60_001, -1, 1, 60_001, 3 * HOUR_MS, 2 * YEAR_MS];
/** Marks that go with an input, so that a replay knows what was signed: those of its last parents. */
const MAX_MARKS = 16;
const ES384_BYTES = 96;
const TAG = 18n;

export interface SignedSpec {
  readonly name: string;
  readonly batch: number;
  readonly lab: Lab;
  readonly seeds: readonly Seed[];
  readonly appraise: Appraise;
  readonly oracle: Oracle;
  /** Puts right what mutation made wrong; marks of what it signed. */
  resign(random: Random, root: Element): readonly string[];
  /** The attestation document in an input. */
  document(root: Element): Element | undefined;
}

export function signedTarget(spec: SignedSpec): Target {
  const { name, batch, seeds, appraise, oracle } = spec;
  const judge = new Judge(
    appraise,
    oracle,
    seeds.flatMap(({ signed }) => signed),
  );
  return {
    name,
    batch,
    seeds,
    mutate(random, parent, other) {
      const input = mutated(spec, random, parent, other);
      judge.know(input.signed);
      return input;
    },
    run: (input) => judge.run(input),
  };
}

function mutated(spec: SignedSpec, random: Random, parent: Input, other: Input): Input {
  const stance = mutateStance(random, parent.stance, spec.lab);
  const { signed } = parent;
  const root = random.once(3) ? null : readCbor(parent.bytes);
  if (root === null) {
    return { bytes: mutateBytes(random, parent.bytes, other.bytes), stance, signed };
  }
  unfold(root);
  if (random.once(8)) {
    rewrap(random, spec.document(root));
    return { bytes: write(root), stance, signed };
  }
  const adopting = !isOurs(spec.document(root), spec.lab.keys) && !random.once(4);
  if (adopting) adopt(spec.document(root), donor(random.pick(spec.lab.documents)));
  mutateTree(random, root, donor(other.bytes));
  if (random.once(4)) return { bytes: write(root), stance, signed };
  const marks = spec.resign(random, root);
  const [rootCertificate] = certificatesOf(spec.document(root));
  const trusting = adopting ? adopted(stance, spec.lab.lax) : stance;
  return {
    bytes: write(root),
    stance: marks.length === 0 ? stance : pinning(random, trusting, inside(rootCertificate)),
    signed: [...new Set([...marks, ...signed])].slice(0, MAX_MARKS),
  };
}

/** By the lab's policy, at the lab's time: the certificates are the lab's now. */
function adopted(stance: Stance | null, lax: Stance): Stance {
  return stance === null ? lax : { ...lax, mode: stance.mode, nonce: stance.nonce };
}

/** The two things about an envelope that may differ: its tag, and which of two signatures it has. */
function rewrap(random: Random, document: Element | undefined): void {
  const tagged = document?.type === MAJOR.tag;
  const body = tagged ? document.children[0] : document;
  const item = body?.children[3];
  const signature = inside(item);
  if (document === undefined || body === undefined) return;
  if (signature.length === ES384_BYTES && random.once(2)) fill(item, twin("P-384", signature));
  if (random.once(2)) return;
  const wrapped = tagged ? body : { ...leaf(MAJOR.tag, TAG), children: [{ ...document }] };
  Object.assign(document, wrapped);
}

function donor(bytes: Uint8Array): Element {
  const root = readCbor(bytes);
  return root === null ? leaf(MAJOR.bytes, 0n, bytes) : unfold(root);
}

/** At another time, with another nonce, in the other mode, by the lab's other policy. */
function mutateStance(random: Random, stance: Stance | null, lab: Lab): Stance | null {
  if (stance === null) return null;
  switch (random.below(16)) {
    case 0:
      return { ...stance, nowMs: Math.max(0, stance.nowMs + random.pick(SHIFTS_MS)) };
    case 1:
      return { ...stance, nowMs: random.pick([0, 1, 2 ** 53, 1e300]) };
    case 2:
      return { ...stance, nonce: random.pick([null, "00".repeat(16), lab.challenge]) };
    case 3:
      return { ...stance, mode: stance.mode === "live" ? "archive" : "live" };
    case 4:
      return stance.policy === lab.strict.policy ? lab.lax : stance;
    default:
      return stance;
  }
}

/** Three times out of four, a root that was changed is the one that the policy trusts. */
function pinning(random: Random, stance: Stance | null, der: Uint8Array): Stance | null {
  const pinned = hexOf(digest("sha256", der));
  if (stance === null || stance.policy.includes(pinned) || random.once(4)) return stance;
  const policy: unknown = JSON.parse(stance.policy, (key, value: unknown) => {
    if (key === "roots") return [pinned];
    return key === "rootCertificates" ? [certificatePem(der)] : value;
  });
  return { ...stance, policy: JSON.stringify(policy) };
}
