/**
 * The library in a browser: what is shipped, loaded from a server, judges as the sources do in Node.
 *
 * Verdicts are compared whole, words included: they must not depend on the engine.
 */
import * as attestation from "@countersign/attestation";
import { encodeHex } from "@countersign/attestation";
import * as client from "@countersign/client";
import {
  AEAD_AES_256_GCM,
  encodeKeyConfig,
  generateRecipientKey,
  importRecipientKey,
  KDF_HKDF_SHA256,
  KEM_BYTES,
  KEM_MLKEM768_X25519,
  type KeyConfig,
  openRequest,
  type RecipientKey,
  sealRequest,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as evidence from "../../attestation/evidence.ts";
import { BROWSER_ENTRIES, buildBundles } from "../../client/build.ts";
import { readCorpus } from "../corpus/files.ts";
import { missing, readVectorJson } from "../shared.ts";
import { createFakeNode, type FakeNode } from "../unit/client/fake-gateway.ts";
import {
  launchChromium,
  noChromium,
  openPage,
  requireNoTrouble,
  type WatchedPage,
} from "./chromium.ts";
import { genuineVectors } from "./genuine.ts";
import type * as pageModule from "./page.ts";
import { BAD_POINTS, GOOD_POINTS } from "./points.ts";
import { bytesOf, portableOf } from "./portable.ts";
import {
  type Answer,
  importAll,
  judgeAll,
  type SignatureGroup,
  type SignatureQuestion,
  verifyAll,
} from "./questions.ts";
import { startServer } from "./server.ts";

type Page = typeof pageModule;

/** No other origin, no evaluated text: what a careful site would allow a page with our library. */
const SECURITY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:";
const HTML = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Test</title></html>`;

const vectors = [...readCorpus(), ...genuineVectors()].map(portableOf);

describe.skipIf(noChromium())("in Chromium", () => {
  let node: FakeNode;
  let key: RecipientKey;
  let origin: string;
  let browser: Browser;
  let watched: WatchedPage;
  const ends: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "countersign-browser-"));
    ends.push(() => rm(folder, { recursive: true }));
    const page = { name: "page", path: join(import.meta.dirname, "page.ts"), maxGzipBytes: null };
    await buildBundles(folder, [...BROWSER_ENTRIES, page]);
    node = await createFakeNode("browser");
    key = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);
    const server = await startServer({ folders: [["/", `${folder}/`]], answer });
    origin = server.origin;
    ends.push(() => server.close());
    browser = await launchChromium();
    ends.push(() => browser.close());
  });

  afterAll(async () => {
    for (const end of ends.toReversed()) await end();
  });

  // A page for each test: what one leaves behind is no help to the next.
  beforeEach(async () => {
    watched = await openPage(browser, origin);
  });

  afterEach(async () => {
    await watched.page.close();
    requireNoTrouble(watched);
  });

  async function answer(request: Request): Promise<Response | null> {
    const { pathname } = new URL(request.url);
    if (pathname === "/") {
      const headers = { "content-type": "text/html", "content-security-policy": SECURITY };
      return new Response(HTML, { headers });
    }
    if (pathname === "/corpus.json") return Response.json(vectors);
    if (pathname === "/mirror") return await mirrored(new Uint8Array(await request.arrayBuffer()));
    if (pathname.startsWith("/.well-known/")) return await node.fetch(request);
    return null;
  }

  /** Answers an encrypted request with its own plaintext. */
  async function mirrored(body: Uint8Array): Promise<Response> {
    const opened = await openRequest(nativePrimitives, () => key, once(body));
    const plaintext = await joined(opened.plaintext);
    const sealer = await opened.sealResponse();
    return new Response(Buffer.concat([sealer.head, await sealer.finish(plaintext)]));
  }

  /** Calls a function of page.ts in the page. */
  async function inPage<Name extends keyof Page>(
    name: Name,
    ...words: Parameters<Page[Name]>
  ): Promise<Awaited<ReturnType<Page[Name]>>> {
    const call = `import("/page/page.js").then((page) => page.${name}(...${JSON.stringify(words)}))`;
    return await watched.page.evaluate<Awaited<ReturnType<Page[Name]>>>(call);
  }

  it("the bundles export what they do in Node", async () => {
    expect(await inPage("exportsOf", "client")).toEqual(Object.keys(client).toSorted());
    expect(await inPage("exportsOf", "verifier")).toEqual(Object.keys(evidence).toSorted());
    expect(await inPage("exportsOf", "proofs")).toEqual(Object.keys(attestation).toSorted());
  });

  it("every verdict is Node's, word for word", async () => {
    const inNode = await judgeAll(vectors, () => attestation);
    const inBrowser = await inPage("judgeCorpus");
    expect(inBrowser.map(({ id }) => id)).toEqual(vectors.map(({ id }) => id));
    const differing = inNode
      .map((ours, i): readonly [Answer, Answer | undefined] => [ours, inBrowser[i]])
      .filter(([ours, theirs]) => JSON.stringify(ours) !== JSON.stringify(theirs));
    expect(differing).toEqual([]);
    // Both may be wrong alike: what each must come to is in the vector.
    const results = inBrowser.map((one) =>
      "crash" in one ? one.crash : one.judgement.outcome.result,
    );
    expect(results).toEqual(vectors.map(({ expected }) => expected.outcome.result));
    expect(new Set(results)).toEqual(new Set(["verified", "rejected"]));
  });

  it("importPoint refuses what is no point of the curve, in the same words", async () => {
    const points = [...GOOD_POINTS, ...BAD_POINTS];
    const inBrowser = await inPage("importPoints", points);
    expect(inBrowser).toEqual(await importAll(attestation, points));
    const imported = GOOD_POINTS.map(({ curve, what }) => `${curve}, ${what}: imported`);
    expect(inBrowser.slice(0, GOOD_POINTS.length)).toEqual(imported);
    for (const refusal of inBrowser.slice(GOOD_POINTS.length)) {
      expect(refusal).toContain(": AttestationError: certificate/key: ");
    }
  });

  it.skipIf(missing("wycheproof"))("verifyEcdsa passes Wycheproof, P-384", async () => {
    const { testGroups, numberOfTests } = readVectorJson<Wycheproof>(
      "wycheproof/ecdsa_secp384r1_sha384_p1363_test.json",
    );
    const tests = testGroups.flatMap((group) => group.tests);
    expect(tests).toHaveLength(numberOfTests);
    const valid = tests.filter(({ result }) => result === "valid").map(({ tcId }) => tcId);
    expect(await inPage("verifySignatures", testGroups)).toEqual(valid);
    expect(await verifyAll(attestation, testGroups)).toEqual(valid);
  });

  // "picked" is the browser's own ML-KEM-768 where it has one; "fallback" is what others run.
  describe.each(["picked", "fallback"] as const)("with ML-KEM %s", (mlkem) => {
    it("encrypts to a key of Node's, and opens the answer", async () => {
      const config = encodeHex(encodeKeyConfig(configOf(key.publicKey)));
      const plaintext = encodeHex(nativePrimitives.random(100_000));
      expect(await inPage("askMirror", mlkem, config, plaintext)).toBe(plaintext);
    });

    it("opens what Node encrypted, and encrypts the answer", async () => {
      const p = nativePrimitives;
      const seed = p.random(KEM_BYTES[KEM_MLKEM768_X25519].privateKey);
      const { publicKey } = await importRecipientKey(p, KEM_MLKEM768_X25519, seed);
      const plaintext = p.random(1000);
      const sealed = await sealRequest(p, configOf(publicKey), [plaintext]);
      const request = encodeHex(await joined(sealed.body));
      const response = bytesOf(await inPage("mirror", mlkem, encodeHex(seed), request));
      expect(await joined(sealed.openResponse(once(response)))).toEqual(plaintext);
    });

    it("asks a node with the client, whose proof convinces Node", async () => {
      const loaded: string[] = [];
      watched.page.on("request", (request) => loaded.push(request.url()));
      const asked = await inPage("ask", mlkem, node.policyText, node.nowMs);
      expect(asked).toMatchObject({ status: 200, text: '{"hello":"world"}', result: "verified" });
      const at = { nowMs: node.nowMs };
      const { webHashes } = attestation;
      const proof = bytesOf(asked.proof);
      const { verdict } = await attestation.appraiseProof(proof, node.policy, at, webHashes);
      expect(verdict.result).toBe("verified");
      // ML-KEM in JavaScript is loaded on demand: a browser may or may not need it.
      const fallback = loaded.some((url) => url.includes("/client/fallback-"));
      expect(fallback || mlkem === "picked").toBe(true);
    });
  });

  it("the client refuses an answer that was changed", async () => {
    node.misdeeds.mangle = (bytes) => bytes.with(-1, (bytes.at(-1) ?? 0) ^ 1);
    const refusal = await inPage("askInVain", node.policyText, node.nowMs);
    node.misdeeds.mangle = null;
    expect(refusal).toMatch(/^VerdictError: .*tampered/u);
  });
});

interface Wycheproof {
  readonly numberOfTests: number;
  readonly testGroups: readonly WycheproofGroup[];
}

interface WycheproofGroup extends SignatureGroup {
  readonly tests: readonly (SignatureQuestion & { readonly result: "valid" | "invalid" })[];
}

function configOf(publicKey: Uint8Array): KeyConfig {
  const suite = { kem: KEM_MLKEM768_X25519, kdf: KDF_HKDF_SHA256, aead: AEAD_AES_256_GCM } as const;
  return { keyId: 1, publicKey, ...suite };
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return attestation.joinBytes(all);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}
