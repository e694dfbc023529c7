import { encodeUtf8, parsePolicy } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { marksIn, requireDocument } from "../../fuzz/oracle/document.ts";
import { requireBundle, requireProof, requireReceipt } from "../../fuzz/oracle/epoch.ts";
import { requirePolicy } from "../../fuzz/oracle/policy.ts";
import { requireLinks } from "../../fuzz/oracle/x509.ts";
import { resignDocument, resignReceipt } from "../../fuzz/resign.ts";
import { twin } from "../../fuzz/signer.ts";
import { type Element, fill, inside, leaf, MAJOR, under, write } from "../../fuzz/tree/element.ts";
import {
  booleanTrue,
  breachOf,
  bundle,
  changed,
  document,
  field,
  held,
  inCertificate,
  judged,
  lab,
  payloadOf,
  proof,
  receipt,
  there,
  thorough,
  tree,
} from "./subjects.ts";

type Change = (root: Element) => void;
type Row = readonly [what: string, change: Change, breach: RegExp];

const YEAR_MS = 365 * 86_400_000;
const SIGNATURE = 3;
/** Positions in a certificate: extension i of the TBSCertificate, and what its value holds. */
const extension = (i: number): readonly number[] => [0, 7, 0, i];
const constraints = [...extension(0), 2, 0];
/** Of an authority; the leaf's is not critical, and so has no BOOLEAN. */
const usage = [...extension(1), 2, 0];
const leafUsage = [...extension(1), 1, 0];

describe("the oracle of documents", () => {
  it("has nothing against the lab's own", () => {
    expect(breachOf(() => requireDocument(document, judged(document)))).toBeNull();
    const policy = parsePolicy(lab.lax.policy);
    for (const bytes of lab.documents) {
      expect(breachOf(() => requireDocument(bytes, judged(bytes, { policy })))).toBeNull();
    }
  });

  it("has nothing against the two differences that an envelope may have", () => {
    const other = changed(document, ({ children }) => {
      fill(children[SIGNATURE], twin("P-384", inside(children[SIGNATURE])));
    });
    for (const bytes of [Uint8Array.of(0xd2, ...document), other]) {
      expect(bytes).not.toEqual(document);
      expect(breachOf(() => requireDocument(bytes, judged(document)))).toBeNull();
    }
  });

  const envelopes: readonly Row[] = [
    ["payload", (root) => field(root, "timestamp").value++, /nobody signed/u],
    [
      "r",
      ({ children }) => fill(children[SIGNATURE], new Uint8Array(96).fill(1)),
      /nobody signed/u,
    ],
    [
      "header",
      ({ children }) => fill(children[0], Uint8Array.of(0xa0)),
      /another protected header/u,
    ],
    ["a long head", (root) => (root.width = 1), /shortest form/u],
    ["a fifth item", ({ children }) => children.push(leaf(MAJOR.simple, 22n)), /four items/u],
    [
      "an unprotected header",
      ({ children }) => {
        const header = [leaf(MAJOR.uint, 4n), leaf(MAJOR.uint, 1n)];
        children[1] = { ...leaf(MAJOR.map, 0n), children: header };
      },
      /an unprotected header/u,
    ],
  ];
  it.each(envelopes)("sees a change of the envelope: %s", (_, change, breach) => {
    const bytes = changed(document, change);
    expect(breachOf(() => requireDocument(bytes, judged(document)))).toMatch(breach);
  });

  it("asks OpenSSL, whatever the marks say", () => {
    const forged = [
      changed(document, (root) => field(root, "timestamp").value++),
      changed(document, ({ children }) => {
        const signature = new Uint8Array(inside(children[SIGNATURE]));
        signature[95] = (signature[95] ?? 0) ^ 1;
        fill(children[SIGNATURE], signature);
      }),
    ];
    for (const bytes of forged) {
      expect(breachOf(() => requireDocument(bytes, judged(bytes)))).toMatch(/not signed/u);
    }
  });

  it("judges time, root, challenge, debug mode and code", () => {
    const { strict, documents } = lab;
    const others = parsePolicy(strict.policy.replaceAll(/"roots":\["../gu, '"roots":["00'));
    const [, , debug = document, unlisted = document] = documents;
    const cases = [
      [document, { atMs: strict.nowMs - 2 * YEAR_MS }, /not valid at/u],
      [document, { atMs: strict.nowMs + 2 * YEAR_MS }, /not valid at/u],
      [document, { policy: others }, /a root that nobody pins/u],
      [document, { nonce: new Uint8Array(32) }, /another challenge/u],
      [debug, {}, /debug mode/u],
      [unlisted, {}, /does not list/u],
    ] as const;
    for (const [bytes, changes, breach] of cases) {
      expect(breachOf(() => requireDocument(bytes, judged(bytes, changes)))).toMatch(breach);
    }
  });

  const signed: readonly Row[] = [
    [
      "an unknown field",
      (root) => payloadOf(root).children.push(leaf(MAJOR.text, 0n, encodeUtf8("a")), leaf(0, 0n)),
      /accepted key a/u,
    ],
    [
      "a field twice",
      (root) => payloadOf(root).children.push(...payloadOf(root).children.slice(0, 2)),
      /twice/u,
    ],
    ["a long head", (root) => (field(root, "digest").width = 1), /shortest form/u],
    ["another module", (root) => fill(field(root, "module_id"), encodeUtf8("i-1")), /module/u],
    [
      "a leaf of another platform",
      (root) => {
        const { content } = inCertificate(root, -1, 0, 5, 1, 0, 1);
        const name = Buffer.from(content).toString("utf8").replace("fuzz.countersign", "eu.aws");
        fill(inCertificate(root, -1, 0, 5, 1, 0, 1), encodeUtf8(name));
      },
      /another module's: .*\.eu\.aws$/u,
    ],
    [
      "a leaf of another issuer",
      (root) => fill(inCertificate(root, -1, 0, 3, 1, 0, 1), encodeUtf8("nobody")),
      /another issuer/u,
    ],
    [
      "a critical extension",
      (root) => inCertificate(root, -1, ...extension(2)).children.splice(1, 0, booleanTrue()),
      /critical and was accepted/u,
    ],
    [
      "an extension twice",
      (root) => {
        const { children } = inCertificate(root, -1, 0, 7, 0);
        children.push(...children.slice(0, 1));
      },
      /twice and was accepted/u,
    ],
    [
      "a leaf that is an authority",
      (root) => inCertificate(root, -1, ...constraints).children.push(booleanTrue()),
      /wrong authority/u,
    ],
    [
      "a leaf that may sign others",
      (root) => fill(inCertificate(root, -1, ...leafUsage), Uint8Array.of(2, 0x84)),
      /may sign others/u,
    ],
    [
      "an authority that may not sign",
      (root) => fill(inCertificate(root, 1, ...usage), Uint8Array.of(7, 0x80)),
      /may not sign/u,
    ],
  ];
  it.each(signed)("sees what was signed and is wrong: %s", (_, change, breach) => {
    const root = tree(document);
    change(root);
    expect(resignDocument(thorough, root, lab.keys)).toHaveLength(1);
    const bytes = write(root);
    expect(breachOf(() => requireDocument(bytes, judged(bytes)))).toMatch(breach);
  });

  it("sees a chain whose path is too long", () => {
    const [, , longest = []] = lab.chains;
    const { nowMs } = lab.strict;
    expect(breachOf(() => requireLinks(longest, nowMs))).toBeNull();
    expect(breachOf(() => requireLinks(longest.slice(0, 1), nowMs))).toMatch(/wrong length/u);
    // The authority above the leaf allows none below it: with itself twice there is one.
    const again = [...longest.slice(0, -2), ...longest.slice(-2, -1), ...longest.slice(-2)];
    expect(breachOf(() => requireLinks(again.slice(1), nowMs))).toMatch(/issuer|path/u);
  });
});

describe("the oracles of bundles, proofs and receipts", () => {
  it("have nothing against the lab's own", () => {
    for (const bytes of lab.bundles) {
      expect(breachOf(() => requireBundle(bytes, judged(bytes)))).toBeNull();
    }
    for (const bytes of lab.proofs) {
      expect(breachOf(() => requireProof(bytes, judged(bytes)))).toBeNull();
    }
    for (const { bytes, point } of lab.receipts) {
      const known = new Set(marksIn(bytes));
      expect(breachOf(() => requireReceipt(bytes, point, known))).toBeNull();
    }
  });

  const parts: readonly Row[] = [
    ["binding", (root) => there(under(held(root, 4), 5)).value++, /another binding/u],
    ["keyset", (root) => held(root, 5).children.reverse(), /preimage 5/u],
    ["models", (root) => fill(held(root, 6).children[1], encodeUtf8("a")), /preimage 6/u],
    ["config", (root) => fill(under(held(root, 7), 2), encodeUtf8("a")), /preimage 7/u],
    ["surplus", (root) => root.children.push(leaf(0, 9n), leaf(0, 0n)), /other keys/u],
    ["order", (root) => root.children.reverse(), /not in order/u],
  ];
  it.each(parts)("see another part of a bundle: %s", (_, change, breach) => {
    const bytes = changed(bundle, change);
    expect(breachOf(() => requireBundle(bytes, judged(bundle)))).toMatch(breach);
  });

  it("see models that were never measured", () => {
    const bytes = changed(bundle, (root) => {
      const evidence = held(root, 3);
      fill(under(field(evidence, "pcrs"), 16), new Uint8Array(48));
      resignDocument(thorough, evidence, lab.keys);
    });
    expect(breachOf(() => requireBundle(bytes, judged(bytes)))).toMatch(/unmeasured models/u);
  });

  const claims = (root: Element): Element => payloadOf(there(held(root, 2).children[0]));
  const proofs: readonly Row[] = [
    [
      "a request leaf",
      (root) => fill(held(there(under(root, 4)), 2), Uint8Array.of(1)),
      /direction 0/u,
    ],
    [
      "a response leaf",
      (root) => fill(held(there(under(root, 4)), 3), Uint8Array.of(1)),
      /direction 1/u,
    ],
    ["Kc", (root) => fill(under(under(root, 4), 1), new Uint8Array(32)), /direction 0/u],
    ["phase", (root) => fill(under(claims(root), -70003), encodeUtf8("aborted")), /phase aborted/u],
    ["keyset", (root) => fill(held(claims(root), -70001), new Uint8Array(32)), /another keyset/u],
    [
      "document",
      (root) => fill(under(claims(root), -70001)?.children[1], new Uint8Array(32)),
      /another document/u,
    ],
  ];
  it.each(proofs)("see what a signed receipt does not fit: %s", (_, change, breach) => {
    const bytes = changed(proof, (root) => {
      change(root);
      resignReceipt(held(root, 2), lab.keys.get(Buffer.from(receipt.point).toString("hex")));
    });
    expect(breachOf(() => requireProof(bytes, judged(bytes)))).toMatch(breach);
  });

  it("see a receipt of another key, without its tag, with high s, or that nobody signed", () => {
    const { bytes, point } = receipt;
    const known = new Set(marksIn(bytes));
    const other = lab.receipts.at(-1)?.point ?? point;
    const high = changed(bytes, ({ children: [array] }) => {
      fill(array?.children[3], twin("P-256", inside(array?.children[3])));
    });
    const cases = [
      [bytes, other, known, /not signed/u],
      [bytes.slice(1), point, known, /without its tag/u],
      [high, point, known, /high s/u],
      [bytes, point, new Set<string>(), /nobody signed/u],
    ] as const;
    for (const [given, by, marks, breach] of cases) {
      expect(breachOf(() => requireReceipt(given, by, marks))).toMatch(breach);
    }
  });
});

describe("the oracle of policies", () => {
  const text = lab.strict.policy;
  const policy = parsePolicy(text);

  it("has nothing against a policy that is what its file says, however it is written", () => {
    expect(breachOf(() => requirePolicy(policy, text))).toBeNull();
    const spaced = JSON.stringify(JSON.parse(text), null, 2);
    expect(breachOf(() => requirePolicy(policy, spaced))).toBeNull();
    const lax = parsePolicy(lab.lax.policy);
    expect(breachOf(() => requirePolicy(lax, lab.lax.policy))).toBeNull();
  });

  it.each([
    ["no JSON", text.slice(1), /no JSON/u],
    ["a member twice", text.replace("{", '{"version":1,'), /member twice/u],
    ["an unknown member", text.replace("{", '{"more":1,'), /published schema/u],
    ["another time", text.replace(/"expires":"20../u, '"expires":"2099'), /another policy/u],
    ["another digest", text.replace(/"digest":"../u, '"digest":"00'), /another policy/u],
    ["another age", text.replace(":7200", ":7201"), /another policy/u],
  ])("sees %s", (_, file, breach) => {
    expect(breachOf(() => requirePolicy(policy, file))).toMatch(breach);
  });
});
