import {
  appraiseDocument,
  AttestationError,
  parsePolicy,
  type Verdict,
} from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { marksIn, requireDocument } from "../../fuzz/oracle/document.ts";
import { resignBundle, resignDocument, resignProof } from "../../fuzz/resign.ts";
import { ACCEPTED, type Input, type Run, requireHeld } from "../../fuzz/target.ts";
import { makeTarget as makeBundle } from "../../fuzz/targets/bundle.ts";
import { type Appraise, Judge } from "../../fuzz/targets/judging.ts";
import { makeTarget as makeProof } from "../../fuzz/targets/proof.ts";
import { runTwice } from "../../fuzz/targets/twice.ts";
import { fill, leaf, under, write } from "../../fuzz/tree/element.ts";
import { bundle, document, field, held, lab, proof, there, thorough, tree } from "./subjects.ts";

const genuine: Input = { bytes: document, stance: lab.strict, signed: marksIn(document) };

/** Runs `input` by a judge whose verifier is `appraise`. */
function run(appraise: Appraise, input: Input = genuine): Promise<Run> {
  const oracle = (bytes: Uint8Array, judged: Parameters<typeof requireDocument>[1]): void => {
    requireDocument(bytes, judged);
  };
  return new Judge(appraise, oracle, genuine.signed).run(input);
}

const honest: Appraise = async (bytes, policy, context) =>
  (await appraiseDocument(bytes, policy, context)).verdict;
const flipped = document.map((byte, i) => (i === 200 ? byte ^ 1 : byte));
/** What the honest verifier says of the genuine document. */
function verified(): Promise<Verdict> {
  const { policy, mode, nowMs } = lab.strict;
  return honest(document, parsePolicy(policy), { mode, nowMs, nonce: null });
}

describe("a verdict is judged", () => {
  it("with nothing against an honest verifier", async () => {
    expect(await run(honest)).toEqual({ outcome: ACCEPTED, breach: null });
    const { outcome, breach } = await run(honest, { ...genuine, bytes: flipped });
    expect([outcome === ACCEPTED, breach]).toEqual([false, null]);
  });

  it("and a verifier that takes everything is found", async () => {
    const { breach } = await run(() => verified(), { ...genuine, bytes: flipped });
    expect(breach).toMatch(/accepted|nobody|signed/u);
  });

  it("and so is one whose memory changes its verdict", async () => {
    const { breach } = await run(async (bytes, policy, context) =>
      context.cache === undefined
        ? honest(bytes, policy, context)
        : honest(flipped, policy, context),
    );
    expect(breach).toMatch(/^judged twice: accepted, and then, with a memory, /u);
  });

  it("and so is one that ends early, or goes on", async () => {
    const cut = async (): Promise<Verdict> => ({ ...(await verified()), result: "incomplete" });
    expect((await run(cut)).breach).toMatch(/ended before its last check/u);
    const open = async (): Promise<Verdict> => {
      const { checks, ...rest } = await verified();
      const [first, ...others] = checks.map((check) => ({ ...check }));
      if (first === undefined) throw new TypeError("a verdict without checks");
      return { ...rest, checks: [{ ...first, status: "fail" }, ...others] };
    };
    expect((await run(open)).breach).toMatch(/verified although a check failed/u);
  });

  it("and what else it throws goes on as a crash", async () => {
    const crash = (): Promise<Verdict> => Promise.reject(new RangeError("planted"));
    await expect(run(crash)).rejects.toThrow("planted");
  });
});

describe("a parser is run twice", () => {
  it("with its refusals told apart from crashes", async () => {
    const refuse = (): never => {
      throw new AttestationError("cbor/utf8", "planted");
    };
    expect(await runTwice(refuse, () => undefined)).toEqual({ outcome: "cbor/utf8", breach: null });
    const crash = (): never => {
      throw new RangeError("planted");
    };
    await expect(runTwice(crash, () => undefined)).rejects.toThrow("planted");
  });

  it("and found where its outcomes differ, or its oracle disagrees", async () => {
    let runs = 0;
    const { breach } = await runTwice(
      () => runs++,
      () => undefined,
    );
    expect(breach).toMatch(/^two outcomes/u);
    const wrong = await runTwice(
      () => 1,
      (value) => requireHeld(value !== 1, "planted"),
    );
    expect(wrong).toEqual({ outcome: ACCEPTED, breach: "planted" });
  });
});

describe("a repair lets a change through", () => {
  it("of a document, signed again", async () => {
    const root = tree(document);
    fill(field(root, "public_key"), Uint8Array.of(1));
    field(root, "public_key").type = 2;
    const before = await run(honest, { ...genuine, bytes: write(root) });
    expect(before.outcome).toBe("cose/signature");
    const signed = resignDocument(thorough, root, lab.keys);
    const after = await run(honest, { ...genuine, bytes: write(root), signed });
    expect(after).toEqual({ outcome: ACCEPTED, breach: null });
  });

  it("of a bundle, down to its measured models", async () => {
    const target = await makeBundle(1);
    const root = tree(bundle);
    const [model] = there(under(held(root, 6), 2)).children;
    fill(model?.children[2], new Uint8Array(32).fill(7));
    const stance = lab.lax;
    const before = await target.run({ bytes: write(root), stance, signed: [] });
    expect(before.outcome).toBe("binding/models");
    const signed = resignBundle(thorough, root, lab.keys);
    const after = await target.run({ bytes: write(root), stance, signed });
    expect(after).toEqual({ outcome: ACCEPTED, breach: null });
  });

  it("of a proof, leaves and all", async () => {
    const target = await makeProof(1);
    const root = tree(proof);
    there(under(under(root, 4), 2)).children.push(leaf(2, 0n, Uint8Array.of(1, 2, 3)));
    const stance = { ...lab.strict, mode: "archive" } as const;
    const before = await target.run({ bytes: write(root), stance, signed: [] });
    expect(before.outcome).toBe("transcript/request");
    const signed = resignProof(thorough, root, lab.keys);
    const after = await target.run({ bytes: write(root), stance, signed });
    expect(after).toEqual({ outcome: ACCEPTED, breach: null });
  });
});
