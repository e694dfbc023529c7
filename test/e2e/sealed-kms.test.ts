/** The story with AWS KMS: its protocol, its SDK and its policies, and dev-kms in its place. */
import { existsSync } from "node:fs";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { kmsClient, kmsProvider } from "@countersign/sealing";
import { describe, expect, it } from "vitest";
import { freePort, type KeyServiceActor, tellStory, type Told } from "./sealed-story.ts";
import type { SealedWorld } from "../fakes/sealed-world.ts";

const ALIAS = "alias/countersign";
const NEXT_ALIAS = "alias/next";
const ACCOUNT = "000000000000";
const REGION = "dev-local-1";
const LARGE = join("guide", "1", "onnx", "model.onnx");
const role = (name: string): string => `arn:aws:iam::${ACCOUNT}:role/countersign-${name}`;

interface KmsActor extends KeyServiceActor {
  /** For the owner's commands: where it is. */
  readonly reach: readonly string[];
  /** `model policy`, into the file that dev-kms reads. */
  putPolicy(alias: string, words: readonly string[]): Promise<void>;
}

async function startKms(world: SealedWorld, folder: string): Promise<KmsActor> {
  const port = await freePort();
  const directory = world.path(folder);
  const root = world.path("state", "simulated-vendor.pem");
  const words = ["--dir", directory, "--attestation-root", root, "--listen", `127.0.0.1:${port}`];
  const run = () => world.start(["dev-kms", ...words, "--alias", NEXT_ALIAS]);
  let kms = run();
  const keyOf = async (alias: string): Promise<string> => {
    const [, id = ""] = await kms.says(
      new RegExp(`${alias}  arn:\\S+:key/([0-9a-f-]{36})\\n`, "u"),
    );
    return id;
  };
  const ids = new Map([
    [ALIAS, await keyOf(ALIAS)],
    [NEXT_ALIAS, await keyOf(NEXT_ALIAS)],
  ]);
  const environment = (name: string): Readonly<Record<string, string>> => ({
    AWS_SHARED_CREDENTIALS_FILE: join(directory, `${name}.credentials`),
  });
  const endpoint = `https://localhost:${port}`;
  const ca = join(directory, "ca.pem");
  const reach = ["--kms-endpoint", endpoint, "--kms-ca", ca];
  const putPolicy: KmsActor["putPolicy"] = async (alias, named) => {
    const roles = ["--node-role", role("node"), "--owner-role", role("owner")];
    const printed = await world.must(["model", "policy", "--account", ACCOUNT, ...roles, ...named]);
    await writeFile(join(directory, "policies", `${ids.get(alias)}.json`), printed);
  };
  return {
    keyServices: join(directory, "key-services.json"),
    reach,
    sealWords: ["--kms-key", ALIAS, "--region", REGION, ...reach],
    ownerEnvironment: environment("owner"),
    nodeEnvironment: environment("node"),
    async unwrap(envelope, modelDigest) {
      Object.assign(process.env, environment("owner"));
      const client = await kmsClient({ region: REGION, endpoint, ca: await readFile(ca, "utf8") });
      return await kmsProvider(client, ALIAS).unwrap(envelope, modelDigest);
    },
    putPolicy,
    allow: async (policy) => {
      await putPolicy(ALIAS, ["--policy", policy]);
    },
    said: () => kms.errors + kms.out,
    async stop() {
      await kms.stop();
    },
    async restart() {
      kms = run();
      await kms.says(/Serving the protocol/u);
    },
  };
}

function onlyKms(told: () => Told<KmsActor>): void {
  describe("credentials of AWS", () => {
    it("are worth nothing without an enclave: not the node's, and not the owner's unless the policy says so", async () => {
      const { world, service, right, policy } = told();
      const { nodeEnvironment, ownerEnvironment, reach } = service;
      const unseal = async (to: string, environment: Readonly<Record<string, string>>) => {
        const words = ["model", "unseal", right.models, "--out", world.path(to), ...reach];
        return await world.run(words, { environment });
      };
      for (const environment of [nodeEnvironment, ownerEnvironment]) {
        const { code, errors } = await unseal("stolen", environment);
        expect([code, existsSync(world.path("stolen"))]).toEqual([2, false]);
        expect(errors).toMatch(/KMS denies kms:Decrypt .* explicit deny/u);
      }
      expect((await unseal("stolen", {})).errors).toContain("AWS credentials are missing");
      await service.putPolicy(ALIAS, ["--policy", policy, "--allow-unseal"]);
      expect((await unseal("stolen", nodeEnvironment)).errors).toMatch(/explicit deny/u);
      expect((await unseal("unsealed", ownerEnvironment)).code).toBe(0);
      const clear = await readFile(world.path("unsealed", LARGE));
      expect(clear.equals(await readFile(join(world.plain, LARGE)))).toBe(true);
    });

    it("open the models that the policy names, and no other", async () => {
      const { world, service, right, policy } = told();
      const words = ["model", "digest", join(right.models, "digits", "1"), "--quiet"];
      const digest = (await world.must(words)).trim();
      await service.putPolicy(ALIAS, ["--policy", policy, "--model", digest]);
      const state = await world.sameVendor("one-model");
      expect(await world.refusalOf({ ...right, state })).toBe("key/denied");
      const models = world.path("one-model");
      await cp(join(right.models, "digits"), join(models, "digits"), { recursive: true });
      const node = await world.startNode({ ...right, state, models });
      expect((await world.ask(node.url, policy)).code).toBe(0);
    });
  });

  describe("another key of AWS KMS", () => {
    it("takes over the data key, and no segment is touched", async () => {
      const { world, service, right, policy } = told();
      const models = world.path("resealed");
      await cp(right.models, models, { recursive: true });
      const key = ["--kms-key", NEXT_ALIAS, "--region", REGION, ...service.reach];
      const words = ["model", "reseal", models, ...key];
      await world.must(words, { environment: service.ownerEnvironment });
      expect(service.said()).toContain("ReEncrypt");
      for (const name of await readdir(right.models, { recursive: true })) {
        if (!name.endsWith(".sealed")) continue;
        const before = await readFile(join(right.models, name));
        expect([name, before.equals(await readFile(join(models, name)))]).toEqual([name, true]);
      }
      // The former key opens nothing for anybody any more; the new one for the same enclave.
      await service.putPolicy(ALIAS, ["--policy", policy, "--model", "0".repeat(64)]);
      await service.putPolicy(NEXT_ALIAS, ["--policy", policy]);
      const state = await world.sameVendor("resealed");
      const node = await world.startNode({ ...right, state, models });
      expect((await world.ask(node.url, policy)).code).toBe(0);
      await service.allow(policy);
    });
  });
}

tellStory({
  name: "a key of AWS KMS",
  start: startKms,
  refused: /AccessDenied/u,
  more: onlyKms,
});
