/** Mutation of structures: lengths around a change stay right, so that what is deeper is judged. */
import { encodeUtf8 } from "@countersign/attestation";
import { mutateBytes } from "../bytes.ts";
import type { Random } from "../random.ts";
import { all, copy, type Element, leaf, MAJOR } from "./element.ts";

const MAX_ARGUMENT = (1n << 64n) - 1n;
/** Where the widths of heads, and the kinds of numbers, change. */
const VALUES = [
  0n,
  1n,
  23n,
  24n,
  0xffn,
  0x100n,
  0xffffn,
  0x1_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  (1n << 53n) - 1n,
  1n << 53n,
  MAX_ARGUMENT,
];
/** Around the lengths that the verifier knows: registers, coordinates, digests, fields, names. */
const LENGTHS = [0, 1, 2, 16, 31, 32, 33, 47, 48, 49, 64, 96, 97, 128, 129, 512, 513, 1024, 1025];
/** Identifier octets of certificates, and some that no certificate has. */
const IDENTIFIERS = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1f, 0x30, 0x31,
  0x80, 0x81, 0x82, 0xa0, 0xa1, 0xa2, 0xa3,
];
/** Names of fields and phases, what is not ASCII, and a byte order mark, which is text in CBOR. */
const TEXTS = words("nitrotpm_pcrs pcrs SHA384 SHA256 final checkpoint aborted a é \u{feff}a");
/** Ends of common names: of a region of AWS's, of what looks like one, of none. */
const DOMAINS = [
  "",
  ".",
  ".aws",
  ".eu-1.aws",
  ".EU.aws",
  ".a.b.aws",
  ".aws.a",
  `.${"a".repeat(33)}`,
];
/** Object identifiers: extensions we know and some we do not, a country, another curve and hash. */
const OIDS = [
  ...words("551d0e 551d0f 551d13 551d1e 551d1f 551d20 551d23 551d25 550403 550406"),
  ...words("2a8648ce3d030107 2a8648ce3d040302 2a8648ce3d040303 2b81040022 2a864886f70d01010b"),
];
/** RFC 5280 §4.1.2.5: at the ends of both forms, and past them. */
const TIMES = ["500101000000Z", "491231235959Z", "20500101000000Z", "99991231235959Z", "0Z"];
const MOST_CHANGES = 3;

/** Changes one or more elements of `root`, which stays the same object. Parts come from `other`. */
export function mutateTree(random: Random, root: Element, other: Element): void {
  const times = random.once(2) ? 1 : 1 + random.below(MOST_CHANGES);
  for (let i = 0; i < times; i++) mutateElement(random, random.pick(all(root)), other);
}

function mutateElement(random: Random, element: Element, other: Element): void {
  const { children } = element;
  if (children.length > 0 && random.once(3)) {
    mutateChildren(random, element, other);
    return;
  }
  switch (random.below(7)) {
    case 0:
      element.type = element.format === "der" ? random.pick(IDENTIFIERS) : random.below(8);
      return;
    case 1:
      element.width = element.format === "cbor" && random.once(3) ? "indefinite" : width(random);
      return;
    case 2:
      element.value = value(random, element.value);
      if (children.length === 0) element.content = content(random, element);
      return;
    case 3:
      Object.assign(element, copy(random.pick(all(other))));
      return;
    case 4:
      element.children = [copy(element)];
      element.content = new Uint8Array();
      return;
    default:
      if (children.length > 0) mutateChildren(random, element, other);
      else element.content = content(random, element);
  }
}

/** Keys and values of a map go together, two times out of three. */
function mutateChildren(random: Random, element: Element, other: Element): void {
  const { children } = element;
  const pairs = element.format === "cbor" && element.type === MAJOR.map && !random.once(3);
  const step = pairs ? 2 : 1;
  const at = step * random.below(Math.ceil(children.length / step));
  const to = step * random.below(Math.ceil(children.length / step) + 1);
  const taken = children.slice(at, at + step);
  switch (random.below(6)) {
    case 0:
      children.splice(at, step);
      return;
    case 1:
      children.splice(to, 0, ...taken.map(copy));
      return;
    case 2:
      children.splice(at, step);
      children.splice(to, 0, ...taken);
      return;
    case 3:
      children.splice(at, step, ...taken.map(() => copy(random.pick(all(other)))));
      return;
    case 4:
      children.splice(to, 0, ...taken.map(() => fresh(random, element.format)));
      return;
    default:
      children.length = at;
  }
}

function fresh(random: Random, format: Element["format"]): Element {
  if (format === "der") {
    const made = { format, type: random.pick(IDENTIFIERS), value: 0n, width: 0, children: [] };
    return { ...made, content: random.bytes(random.below(4)) };
  }
  switch (random.below(4)) {
    case 0:
      return leaf(MAJOR.simple, random.pick([20n, 21n, 22n, 23n]));
    case 1:
      return leaf(MAJOR.text, 0n, encodeUtf8(random.pick(TEXTS)));
    case 2:
      return leaf(MAJOR.bytes, 0n, random.bytes(random.pick(LENGTHS)));
    default:
      return leaf(random.below(2), random.pick(VALUES));
  }
}

function value(random: Random, old: bigint): bigint {
  if (random.once(2)) return random.pick(VALUES);
  const near = old + (random.once(2) ? 1n : -1n);
  return near < 0n ? 0n : near & MAX_ARGUMENT;
}

function width(random: Random): number {
  return random.pick([0, 1, 2, 4, 8]);
}

function content(random: Random, element: Element): Uint8Array {
  const old = element.content;
  if (random.once(3)) return resized(old, random.pick(LENGTHS));
  if (element.format === "der" && element.type === 0x06 && random.once(2)) {
    return new Uint8Array(Buffer.from(random.pick(OIDS), "hex"));
  }
  if (element.format === "der" && (element.type === 0x17 || element.type === 0x18)) {
    if (random.once(2)) return encodeUtf8(random.pick(TIMES));
  }
  if (element.format === "der" && (element.type === 0x0c || element.type === 0x13)) {
    const [first = ""] = Buffer.from(old).toString("utf8").split(".", 1);
    if (random.once(2)) return encodeUtf8(first + random.pick(DOMAINS));
  }
  if (element.format === "cbor" && element.type === MAJOR.text && random.once(2)) {
    return encodeUtf8(random.pick(TEXTS));
  }
  return mutateBytes(random, old, old).subarray(0, old.length + 8);
}

function words(text: string): readonly string[] {
  return ["", ...text.split(" ")];
}

/** Cut, or filled up with its last byte. */
function resized(bytes: Uint8Array, length: number): Uint8Array {
  const changed = new Uint8Array(length).fill(bytes.at(-1) ?? 0);
  changed.set(bytes.subarray(0, length));
  return changed;
}
