/** The two examples of judging one document: the program, and the page. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BROWSER_ENTRIES, buildBundles } from "../../client/build.ts";
import { createAttester, makeEpoch, seededRandom } from "../fakes/attester.ts";
import { missing, readVector } from "../shared.ts";
import {
  launchChromium,
  noChromium,
  openPage,
  requireNoTrouble,
  type WatchedPage,
} from "./chromium.ts";
import { startServer } from "./server.ts";

const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");
const HOUR_MS = 3_600_000;

/** What somebody has who follows an example. */
interface Case {
  readonly document: Uint8Array;
  readonly policy: string;
  readonly mode: "live" | "archive";
}

/** By an Attester of our own, made a moment ago: the examples read the clock. */
async function labCase(): Promise<Case> {
  const nowMs = Math.floor(Date.now() / 1000) * 1000;
  const epoch = await makeEpoch(createAttester({ random: seededRandom("examples"), nowMs }));
  return { document: epoch.parts.evidence, policy: epoch.policyText, mode: "live" };
}

/** The last byte of the signature, changed. */
function tampered({ document, ...rest }: Case): Case {
  return { ...rest, document: document.with(-1, (document.at(-1) ?? 0) ^ 1) };
}

function genuineCase(mode: Case["mode"]): Case {
  const policy = JSON.stringify({
    version: 1,
    expires: new Date(Date.now() + HOUR_MS).toISOString(),
    platforms: {
      "aws-nitro": {
        roots: ["641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"],
        measurements: "unchecked",
        debug: false,
      },
    },
    models: "any",
    freshness: "unchecked",
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: { measurements: [], models: [], keysets: [] },
  });
  return { document: readVector("nitro/prod-2025-pcr16.cbor"), policy, mode };
}

describe("verify.ts", () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-examples-"));
  });

  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  /** Its exit status, and what it wrote. */
  async function run({ document, policy, mode }: Case): Promise<readonly [number, string]> {
    const [documentPath, policyPath] = [join(folder, "document.cbor"), join(folder, "policy.json")];
    await writeFile(documentPath, document);
    await writeFile(policyPath, policy);
    const words = [join(EXAMPLES, "verify.ts"), documentPath, policyPath, mode];
    return await new Promise((resolve) => {
      execFile(process.execPath, words, (error, stdout) => {
        resolve([typeof error?.code === "number" ? error.code : 0, stdout]);
      });
    });
  }

  it("accepts a document", async () => {
    const [status, text] = await run(await labCase());
    expect([status, text]).toEqual([0, expect.stringMatching(/\nverified, (?:live|archive)\n$/u)]);
    expect(text).toMatch(/^pass {2}policy {6}expires /u);
    expect(text).toContain("pass  signature   signed for i-");
  });

  it("refuses one that was changed, and says what to do", async () => {
    const [status, text] = await run(tampered(await labCase()));
    expect([status, text]).toEqual([1, expect.stringMatching(/\nrejected, (?:live|archive)\n$/u)]);
    expect(text).toMatch(/^fail {2}signature {3}.+; want .+\. \S.+\.$/mu);
  });

  it.skipIf(missing("nitro"))("accepts one of AWS's as a record only", async () => {
    expect(await run(genuineCase("archive"))).toEqual([
      0,
      expect.stringMatching(/^verified, archive$/mu),
    ]);
    expect(await run(genuineCase("live"))).toEqual([1, expect.stringMatching(/^fail {2}chain/mu)]);
  });
});

describe.skipIf(noChromium())("verify.html", () => {
  let origin: string;
  let browser: Browser;
  let watched: WatchedPage;
  const ends: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    const built = await mkdtemp(join(tmpdir(), "countersign-examples-page-"));
    ends.push(() => rm(built, { recursive: true }));
    await buildBundles(
      built,
      BROWSER_ENTRIES.filter(({ name }) => name === "verifier"),
    );
    const server = await startServer({
      // As it lies in the repository, so that the page's own path to the verifier is tested.
      folders: [
        ["/.build/browser/", built],
        ["/examples/", EXAMPLES],
      ],
      answer: () => Promise.resolve(null),
    });
    origin = server.origin;
    ends.push(() => server.close());
    browser = await launchChromium();
    ends.push(() => browser.close());
  });

  afterAll(async () => {
    for (const end of ends.toReversed()) await end();
  });

  beforeEach(async () => {
    watched = await openPage(browser, `${origin}/examples/verify.html`);
  });

  afterEach(async () => {
    await watched.page.close();
    requireNoTrouble(watched);
  });

  /** Fills the form in and sends it, as somebody would who finds things by what they are called. */
  async function verify({ document, policy, mode }: Case): Promise<string> {
    const { page } = watched;
    const file = (name: string, content: Uint8Array | string) => ({
      name,
      mimeType: "application/octet-stream",
      buffer: Buffer.from(content),
    });
    await page.getByLabel(/^Document/u).setInputFiles(file("document.cbor", document));
    await page.getByLabel(/^Policy/u).setInputFiles(file("policy.json", policy));
    await page.getByLabel(mode === "live" ? /^now/u : /^at its own time/u).check();
    await page.getByRole("button", { name: "Verify" }).click();
    const status = page.getByRole("status");
    await status.filter({ hasText: /\S/u }).waitFor();
    return await status.innerText();
  }

  it("accepts a document, and lists the checks in their order", async () => {
    expect(await verify(await labCase())).toBe("verified");
    const checks = await watched.page.locator("summary").allInnerTexts();
    expect(checks.slice(0, 5)).toEqual([
      "pass: policy",
      "pass: bundle",
      "pass: platform",
      "pass: signature",
      "pass: chain",
    ]);
    expect(checks).toHaveLength(16);
    expect(await watched.page.getByRole("region", { name: "Checks" }).innerText()).toContain(
      "test-build",
    );
  });

  it("refuses one that was changed, and says why and what to do", async () => {
    expect(await verify(tampered(await labCase()))).toBe("rejected: tampered");
    const { page } = watched;
    // Only the check that failed is open.
    const terms = await page.locator("details[open] dt").allInnerTexts();
    expect(terms).toEqual(["Found", "Wanted", "Why", "Fix", "Code"]);
    expect(await page.locator("details[open] summary").innerText()).toBe("fail: signature");
    expect(await page.locator("details[open]").innerText()).toContain("cose/signature");
  });

  it("forgets its verdict when another file is chosen", async () => {
    const { page } = watched;
    await verify(await labCase());
    const file = { name: "other.cbor", mimeType: "", buffer: Buffer.of(0) };
    await page.getByLabel(/^Document/u).setInputFiles(file);
    expect(await page.getByRole("status").innerText()).toBe("");
    expect(await page.locator("summary").count()).toBe(0);
  });

  it("gives no verdict without a policy that is one", async () => {
    const text = await verify({ ...(await labCase()), policy: "{}" });
    expect(text).toMatch(/^no verdict: policy\/syntax: /u);
  });

  it.skipIf(missing("nitro"))("accepts one of AWS's as a record only", async () => {
    expect(await verify(genuineCase("archive"))).toBe("verified");
    expect(await verify(genuineCase("live"))).toBe("rejected: expired");
  });
});
