/** Opening the envelope in which a KMS answers, beside the one RSA operation that it cannot do without. */
import { constants, privateDecrypt, randomBytes } from "node:crypto";
import { openRecipientEnvelope, parseRecipientEnvelope } from "../enclave/keys/cms.ts";
import { makeRecipientKey } from "../enclave/keys/recipient.ts";
import { kmsEnvelope } from "../test/fakes/recipient-envelope.ts";
import type { Settings } from "./settings.ts";
import { median } from "./statistics.ts";
import { asRatio, asUs, bounded, type Findings } from "./table.ts";
import { ratioOf, takeTurns } from "./turns.ts";

const MAX_RATIO = 1.5;

export async function measureEnvelopes({ rounds, calls }: Settings): Promise<Findings> {
  const recipient = await makeRecipientKey();
  const { identifier, privateKey, spki } = recipient;
  const dataKey = randomBytes(32);
  const envelope = kmsEnvelope(spki, identifier, dataKey);
  const { encryptedKey } = parseRecipientEnvelope(envelope, identifier);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const timesOf = await takeTurns(
    {
      opening: () => {
        const opened = openRecipientEnvelope(envelope, recipient);
        if (!dataKey.equals(opened)) throw new TypeError("opened to another key");
      },
      decryption: () =>
        privateDecrypt({ key: privateKey, padding, oaepHash: "sha256" }, encryptedKey),
    },
    { rounds: 2 * rounds, calls: 5 * calls },
  );
  const [opening, decryption] = [timesOf("opening"), timesOf("decryption")];
  const ratio = ratioOf(opening.wallUs, decryption.wallUs);
  return {
    rows: [bounded("opening a key envelope ÷ one RSA decryption", ratio, "≤", MAX_RATIO, asRatio)],
    parts: [
      `Key envelope: ${envelope.length} bytes for a key of 2048 bits. Opening takes ` +
        `${asUs(median(opening.wallUs))}, one RSA decryption ${asUs(median(decryption.wallUs))}.`,
    ],
  };
}
