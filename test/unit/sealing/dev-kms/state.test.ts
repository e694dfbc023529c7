/** The state directory: made whole, kept, private, and refused where it is not as it was made. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseKeyServices, parseKmsKeyArn } from "@countersign/protocol";
import { type DevKms, type DevKmsOptions, SealingError, startDevKms } from "@countersign/sealing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createAuthority } from "../../../../sealing/dev-kms/certificates.ts";
import { openState } from "../../../../sealing/dev-kms/state.ts";
import { NOW_MS } from "../../../fakes/attester.ts";
import { kmsClientOf } from "../../../fakes/dev-kms.ts";

const YEAR_MS = 366 * 86_400_000;

let folder: string;
let directory: string;
const running: DevKms[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-dev-kms-"));
  directory = join(folder, "a", "kms");
});
afterEach(async () => {
  for (const kms of running.splice(0)) await kms.close();
  await rm(folder, { recursive: true });
});

async function start(options: Partial<DevKmsOptions> = {}): Promise<DevKms> {
  const kms = await startDevKms({
    directory,
    listen: { host: "127.0.0.1", port: 0 },
    allowRemote: false,
    attestationRoots: [],
    ...options,
  });
  running.push(kms);
  return kms;
}

async function refusal(run: Promise<unknown>): Promise<string> {
  const error: unknown = await run.then(
    () => null,
    (failure: unknown) => failure,
  );
  if (!(error instanceof SealingError)) throw new TypeError("it went through");
  return error.message;
}

async function filesOf(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
}

describe("the first start", () => {
  it("makes all of it, for its owner's eyes alone, and leaves nothing unfinished", async () => {
    const kms = await start();
    const [key] = kms.keys;
    const { keyId } = parseKmsKeyArn(key.arn);
    const names = (await filesOf(directory)).map((path) => path.slice(directory.length + 1));
    expect(names.toSorted()).toEqual([
      "authority.pem",
      "ca.pem",
      "key-services.json",
      `keys/${keyId}.json`,
      "node.credentials",
      "owner.credentials",
      `policies/${keyId}.json`,
    ]);
    for (const path of await filesOf(directory))
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it("writes a key-services.json that names this KMS and pins its authority", async () => {
    const kms = await start();
    const services = parseKeyServices(await readFile(kms.keyServicesPath));
    expect(services.services).toHaveLength(1);
    expect(services.services[0]).toMatchObject({
      kind: "aws-kms",
      region: "dev-local-1",
      endpoint: kms.url,
    });
    expect(services.rootCertificates).toEqual([kms.caPem]);
  });

  it("that fails leaves a directory that the next one can use", async () => {
    const port = Number(new URL((await start()).url).port);
    const other = join(folder, "other");
    const taken = start({ directory: other, listen: { host: "127.0.0.1", port } });
    expect(await refusal(taken)).toMatch(/^dev-kms\/listen: .*EADDRINUSE/u);
    expect((await start({ directory: other })).keys).toHaveLength(1);
  });
});

describe("a later start", () => {
  it("has the same keys, credentials, policies and authority", async () => {
    const first = await start();
    const client = kmsClientOf(first, first.owner);
    const made = await client.generateDataKey({ KeyId: "alias/countersign", KeySpec: "AES_256" });
    client.destroy();
    await first.close();
    const second = await start();
    expect(second.keys).toEqual(first.keys);
    expect(second.owner).toEqual(first.owner);
    expect(second.node).toEqual(first.node);
    expect(second.caPem).toBe(first.caPem);
    const later = kmsClientOf(second, first.owner);
    const opened = await later.decrypt({ CiphertextBlob: made.CiphertextBlob });
    expect(opened.Plaintext).toEqual(made.Plaintext);
    later.destroy();
  });

  it("leaves an edited policy alone, and replaces one that is gone", async () => {
    const [key] = (await start()).keys;
    const initial = await readFile(key.policyPath, "utf8");
    await writeFile(key.policyPath, "edited");
    await start();
    expect(await readFile(key.policyPath, "utf8")).toBe("edited");
    await rm(key.policyPath);
    await start();
    expect(await readFile(key.policyPath, "utf8")).toBe(initial);
  });

  it("adds keys for aliases that are new, and no second one for a known alias", async () => {
    await start({ aliases: ["alias/second"] });
    const kms = await start({ aliases: ["alias/second", "alias/third"] });
    expect(kms.keys.map(({ alias }) => alias).toSorted()).toEqual([
      "alias/countersign",
      "alias/second",
      "alias/third",
    ]);
    expect(kms.keys[0].alias).toBe("alias/countersign");
  });
});

describe("more keys than there may be", () => {
  it("are not made, so that the directory opens again", async () => {
    const aliases = Array.from({ length: 65 }, (_, i) => `alias/a${i}`);
    await expect(openState(directory, aliases, NOW_MS)).rejects.toThrow("want at most 64");
    expect((await openState(directory, aliases.slice(1), NOW_MS)).keys).toHaveLength(64);
    expect((await openState(directory, aliases.slice(1), NOW_MS)).keys).toHaveLength(64);
  });
});

describe("two starts at the same time", () => {
  it("read the same credentials and the same authority", async () => {
    const both = await Promise.all([
      openState(directory, [], NOW_MS),
      openState(directory, [], NOW_MS),
    ]);
    const [a, b] = both;
    expect(b.authority).toEqual(a.authority);
    expect(b.owner).toEqual(a.owner);
    expect(b.node).toEqual(a.node);
  });

  it("make one key for each alias", async () => {
    const aliases = ["alias/one", "alias/two"];
    // With the rest in place, both are at their keys together.
    await openState(directory, [], NOW_MS);
    const both = await Promise.all([
      openState(directory, aliases, NOW_MS),
      openState(directory, aliases, NOW_MS),
    ]);
    const [keys, others] = both.map((state) =>
      state.keys.toSorted((one, other) => (one.alias < other.alias ? -1 : 1)),
    );
    expect(keys?.map(({ alias }) => alias)).toEqual(aliases);
    expect(others).toEqual(keys);
    expect(await readdir(join(directory, "keys"))).toHaveLength(2);
  });
});

describe("what is not as it was made", () => {
  it("is refused: a directory that is open to others", async () => {
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o750);
    expect(await refusal(start())).toMatch(/^dev-kms\/state: .*chmod 700/u);
  });

  it("is refused: a file where a directory should be", async () => {
    await writeFile(join(folder, "file"), "");
    const run = start({ directory: join(folder, "file") });
    expect(await refusal(run)).toMatch(/^dev-kms\/state: cannot use .*E/u);
  });

  it.each([
    ["no JSON", "{"],
    ["no material", '{"alias":"alias/countersign","createdMs":1}'],
    ["short material", '{"alias":"alias/countersign","createdMs":1,"material":"AAAA"}'],
    ["no alias", `{"alias":"x","createdMs":1,"material":"${"A".repeat(43)}="}`],
    ["a member more", `{"alias":"alias/a","createdMs":1,"material":"${"A".repeat(43)}=","x":1}`],
    ["too much", " ".repeat(65_537)],
  ])("is refused: a key of %s", async (_, text) => {
    await start();
    const [path = ""] = await filesOf(join(directory, "keys"));
    await writeFile(path, text);
    expect(await refusal(start())).toMatch(/^dev-kms\/state: /u);
  });

  it("is refused: a key under another name", async () => {
    await start();
    const [path = ""] = await filesOf(join(directory, "keys"));
    await writeFile(join(directory, "keys", "key.json"), await readFile(path));
    expect(await refusal(start())).toMatch(/^dev-kms\/state: .*key\.json is no key/u);
  });

  it.each(["owner", "node"])(
    "is refused: credentials of the %s that we did not write",
    async (who) => {
      await start();
      const path = join(directory, `${who}.credentials`);
      await writeFile(path, "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n");
      expect(await refusal(start())).toMatch(/^dev-kms\/state: .*remove it/u);
    },
  );

  it("is refused: an authority without a certificate, without sense, or of another key", async () => {
    await start();
    const path = join(directory, "authority.pem");
    const nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const { certificate } = await createAuthority(NOW_MS);
    const { key } = await createAuthority(NOW_MS);
    for (const text of ["none", `key\n${nonsense}`, key + certificate]) {
      await writeFile(path, text);
      expect(await refusal(start())).toMatch(/^dev-kms\/state: /u);
    }
  });

  it("is refused: an authority that has expired", async () => {
    await start();
    const clock = () => Date.now() + 11 * YEAR_MS;
    expect(await refusal(start({ clock }))).toMatch(/^dev-kms\/state: .*expired/u);
  });

  it.each(["alias/aws/mine", "second", "alias/", "alias/with space"])(
    'is refused: the alias "%s"',
    async (alias) => {
      expect(await refusal(start({ aliases: [alias] }))).toMatch(/^dev-kms\/state: .*no alias/u);
    },
  );
});

describe("other machines", () => {
  it.each(["0.0.0.0", "::", "192.0.2.1", "kms.example", "::ffff:127.0.0.1", "127.0.0.1.example"])(
    "cannot reach it at %s, unless that is asked for",
    async (host) => {
      const run = start({ listen: { host, port: 0 } });
      expect(await refusal(run)).toMatch(/^dev-kms\/remote: /u);
      await expect(stat(directory)).rejects.toThrow("ENOENT");
    },
  );

  it("can, where it is, by its host name", async () => {
    const kms = await start({ listen: { host: "0.0.0.0", port: 0 }, allowRemote: true });
    const { port } = new URL(kms.url);
    expect(new URL(kms.url).hostname).not.toBe("0.0.0.0");
    const client = kmsClientOf({ ...kms, url: `https://127.0.0.1:${port}` }, kms.owner);
    const described = await client.describeKey({ KeyId: "alias/countersign" });
    expect(described.KeyMetadata?.Arn).toBe(kms.keys[0].arn);
    client.destroy();
  });
});
