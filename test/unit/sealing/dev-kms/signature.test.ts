/** Signature V4, with the SDK's own signer as the other side, and requests that nobody signed so. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KmsFailure } from "../../../../sealing/dev-kms/failure.ts";
import { type Principal, verifySignature } from "../../../../sealing/dev-kms/signature.ts";
import { NOW_MS } from "../../../fakes/attester.ts";
import { type Signing, signHeaders } from "../../../fakes/aws-signature.ts";
import { KmsWorld, kmsClientOf } from "../../../fakes/dev-kms.ts";

const SECOND_MS = 1000;
const SKEW_MS = 300 * SECOND_MS;
const BODY = Buffer.from('{"KeyId":"alias/countersign"}');
const OWNER: Principal = {
  arn: "arn:aws:iam::000000000000:role/owner",
  key: { accessKeyId: "AKIAOWNER", secretAccessKey: "owner's secret", sessionToken: null },
};
const NODE: Principal = {
  arn: "arn:aws:iam::000000000000:role/node",
  key: { accessKeyId: "ASIANODE", secretAccessKey: "node's secret", sessionToken: "token" },
};
const PRINCIPALS = [OWNER, NODE];

type Headers = Map<string, readonly string[]>;

async function signed(
  signing: Partial<Omit<Signing, "by">> & { readonly by?: Principal } = {},
): Promise<Headers> {
  const { by = OWNER, ...others } = signing;
  const headers = await signHeaders({ atMs: NOW_MS, body: BODY, ...others, by: by.key });
  return new Map([...headers].map(([name, value]) => [name, [value]]));
}

function verdict(headers: Headers, body: Uint8Array = BODY, nowMs: number = NOW_MS): string {
  try {
    return verifySignature({ headers, body }, PRINCIPALS, nowMs).arn;
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    return error.code;
  }
}

function changed(headers: Headers, name: string, change: (value: string) => string): Headers {
  const copy = new Map(headers);
  copy.set(name, (headers.get(name) ?? []).map(change));
  return copy;
}

describe("a signed request", () => {
  it("is its signer's, with a session token and without", async () => {
    expect(verdict(await signed())).toBe(OWNER.arn);
    expect(verdict(await signed({ by: NODE }))).toBe(NODE.arn);
  });

  it("may have spaces around and within a value, which the signature does not tell apart", async () => {
    const headers = await signed({ headers: { "x-amz-note": "  two   words " } });
    expect(verdict(headers)).toBe(OWNER.arn);
  });

  it("is good for five minutes before and after, and not a second more", async () => {
    const headers = await signed();
    for (const ms of [-SKEW_MS, SKEW_MS])
      expect(verdict(headers, BODY, NOW_MS + ms)).toBe(OWNER.arn);
    for (const ms of [-SKEW_MS - SECOND_MS, SKEW_MS + SECOND_MS]) {
      expect(verdict(headers, BODY, NOW_MS + ms)).toBe("InvalidSignatureException");
    }
  });

  it("does not survive a change of any character of the signature", async () => {
    const headers = await signed();
    for (let i = 1; i <= 64; i++) {
      const other = changed(headers, "authorization", (value) => {
        const at = value.length - i;
        return `${value.slice(0, at)}${value[at] === "0" ? "1" : "0"}${value.slice(at + 1)}`;
      });
      expect(verdict(other)).toBe("InvalidSignatureException");
    }
  });

  it("does not survive another body", async () => {
    const headers = await signed();
    expect(verdict(headers, Buffer.from(`${BODY.toString()} `))).toBe("InvalidSignatureException");
    expect(verdict(headers, new Uint8Array())).toBe("InvalidSignatureException");
  });

  it.each([
    ["host", "evil.example"],
    ["content-type", "text/plain"],
    ["x-amz-target", "TrentService.Decrypt"],
  ])("does not survive another %s", async (name, value) => {
    expect(verdict(changed(await signed(), name, () => value))).toBe("InvalidSignatureException");
  });

  it("is for one day, one region and one service", async () => {
    const invalid = "InvalidSignatureException";
    expect(verdict(await signed({ region: "us-east-1" }))).toBe(invalid);
    expect(verdict(await signed({ service: "s3" }))).toBe(invalid);
    const day = changed(await signed(), "authorization", (value) =>
      value.replace(/\/\d{8}\//u, "/20200101/"),
    );
    expect(verdict(day)).toBe(invalid);
    const scope = changed(await signed({ region: "us-east-1" }), "authorization", (value) =>
      value.replace("us-east-1", "dev-local-1"),
    );
    expect(verdict(scope)).toBe(invalid);
  });

  it("is by somebody we know, with the token that goes with the key", async () => {
    const unknown = "UnrecognizedClientException";
    const stranger = { ...OWNER, key: { ...OWNER.key, accessKeyId: "AKIASTRANGER" } };
    expect(verdict(await signed({ by: stranger }))).toBe(unknown);
    const other = { ...NODE, key: { ...NODE.key, sessionToken: "other" } };
    expect(verdict(await signed({ by: other }))).toBe(unknown);
    const none = { ...NODE, key: { ...NODE.key, sessionToken: null } };
    expect(verdict(await signed({ by: none }))).toBe(unknown);
    const surplus = { ...OWNER, key: { ...OWNER.key, sessionToken: "token" } };
    expect(verdict(await signed({ by: surplus }))).toBe(unknown);
    const secret = { ...OWNER, key: { ...OWNER.key, secretAccessKey: "a guess" } };
    expect(verdict(await signed({ by: secret }))).toBe("InvalidSignatureException");
  });
});

describe("a request that is not wholly signed", () => {
  it("is refused without any signature", async () => {
    const headers = await signed();
    headers.delete("authorization");
    expect(verdict(headers)).toBe("MissingAuthenticationTokenException");
  });

  it.each([
    ["another algorithm", (text: string) => text.replace("SHA256", "SHA1")],
    ["a part more", (text: string) => `${text}, Extra=1`],
    ["a part missing", (text: string) => text.replace(/, Signature=.*$/u, "")],
    ["a short signature", (text: string) => text.slice(0, -1)],
    ["a header listed twice", (text: string) => text.replace("Headers=", "Headers=content-type;")],
    ["headers out of order", (text: string) => text.replace(/Headers=/u, "Headers=z;")],
    ["a header that is not there", (text: string) => text.replace(/(Headers=[^,]+)/u, "$1;zz")],
    ["no host", (text: string) => text.replace(/host;/u, "")],
    ["no date", (text: string) => text.replace(/x-amz-date;/u, "")],
    ["no target", (text: string) => text.replace(/;x-amz-target/u, "")],
    ["no content type", (text: string) => text.replace(/content-type;/u, "")],
    ["nothing", () => ""],
  ])("is refused with %s", async (_, change) => {
    const headers = changed(await signed(), "authorization", change);
    expect(headers.get("authorization")).not.toEqual((await signed()).get("authorization"));
    expect(verdict(headers)).toBe("IncompleteSignatureException");
  });

  it("is refused with a header of AWS that was added later", async () => {
    const headers = await signed();
    headers.set("x-amz-added", ["later"]);
    expect(verdict(headers)).toBe("IncompleteSignatureException");
  });

  it.each(["authorization", "host", "x-amz-date", "x-amz-target"])(
    "is refused with %s twice",
    async (name) => {
      const headers = await signed();
      const [value = ""] = headers.get(name) ?? [];
      headers.set(name, [value, value]);
      expect(verdict(headers)).toBe("IncompleteSignatureException");
    },
  );

  it.each(["", "20261121", "20261321T000000Z", "2026-11-21T12:00:00Z", "20261121T120000"])(
    'is refused with the date "%s"',
    async (date) => {
      const headers = changed(await signed(), "x-amz-date", () => date);
      expect(verdict(headers)).toMatch(/^(?:Incomplete|Invalid)SignatureException$/u);
    },
  );
});

describe("the SDK", () => {
  let world: KmsWorld;
  beforeAll(async () => {
    world = await KmsWorld.start();
  });
  afterAll(async () => {
    await world.close();
  });

  async function name(call: Promise<unknown>): Promise<string> {
    return call.then(
      () => "answered",
      (error: unknown) => (error instanceof Error ? error.name : String(error)),
    );
  }

  it("with a wrong clock corrects it by our answer, and is let in", async () => {
    const systemClockOffset = -3_600_000;
    const request = { KeyId: "alias/countersign" };
    const once = kmsClientOf(world.kms, world.kms.owner, { systemClockOffset });
    expect(await name(once.describeKey(request))).toBe("InvalidSignatureException");
    const again = kmsClientOf(world.kms, world.kms.owner, { systemClockOffset, maxAttempts: 2 });
    expect(await name(again.describeKey(request))).toBe("answered");
    for (const client of [once, again]) client.destroy();
  });

  it("with credentials that are not ours is turned away", async () => {
    const { owner } = world.kms;
    const { accessKeyId } = owner.credentials;
    const guess = { ...owner, credentials: { accessKeyId, secretAccessKey: "a guess" } };
    const client = kmsClientOf(world.kms, guess);
    const failure = await name(client.describeKey({ KeyId: "alias/countersign" }));
    expect(failure).toBe("InvalidSignatureException");
    expect(world.entries.at(-1)).toMatchObject({ principal: null, key: null, outcome: failure });
    client.destroy();
  });
});
