/** Certificate chains: we and OpenSSL's command line. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { describedName, opensslOpinions, ourOpinion } from "./chain-opinions.ts";
import { CHAIN_RULES } from "./chain-rules.ts";
import { chainsOf, corpusDocuments, genuineDocuments, ownDocuments } from "./documents.ts";
import { Ledger } from "./ledger.ts";
import { noOpenssl, opensslVersion } from "./openssl.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-chains-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe.skipIf(noOpenssl())("chains", () => {
  it("are judged by us and OpenSSL alike, or the difference is explained", async () => {
    const subjects = chainsOf([
      ...(await ownDocuments()),
      ...genuineDocuments(),
      ...corpusDocuments(),
    ]);
    const openssl = await opensslOpinions(folder, subjects);
    const ledger = new Ledger(opensslVersion() ?? "openssl", CHAIN_RULES);
    const setAside = { accepted: 0, refused: 0 };
    for (const subject of subjects) {
      const [ours, theirs] = [await ourOpinion(subject), openssl(subject)];
      ledger.enter(describedName(subject), ours, theirs.opinion);
      if (theirs.setAside) setAside[ours.accepts ? "accepted" : "refused"]++;
    }
    console.log(
      `set aside: no key identifier in ${setAside.accepted} chains that we accept and ` +
        `${setAside.refused} that we refuse`,
    );
    console.log(ledger.report());
    expect(ledger.unexplained).toEqual([]);
    expect(ledger.stale).toEqual([]);
    expect(ledger.agreed.accepted).toBeGreaterThan(100);
    expect(ledger.agreed.refused).toBeGreaterThan(100);
    // AWS's leaves have no authority key identifier, so that OpenSSL's strict mode takes none of them.
    expect(setAside.accepted).toBeGreaterThan(0);
  });
});
