/**
 * The story of docs/sealed-models.md, told of one key service: an owner seals, the enclave that he named
 * serves, and an operator tries what he can think of. Real programs, real sockets, real files.
 */
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { encodeHex } from "@countersign/attestation";
import { type Envelope, encodeSeal, parseEnvelope, parseSeal } from "@countersign/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyCheckout } from "../fakes/checkout.ts";
import { objectOf } from "../fakes/json-lines.ts";
import { childrenOf, findInMemory, isReadable } from "../fakes/process-memory.ts";
import { MODELS, type NodeOptions, type OpenedNode, SealedWorld } from "../fakes/sealed-world.ts";

/** Who gives keys. The owner runs it; an operator may run another. */
export interface KeyServiceActor {
  /** The file that names it, for `--key-services`. */
  readonly keyServices: string;
  /** For `model seal`. */
  readonly sealWords: readonly string[];
  readonly ownerEnvironment: Readonly<Record<string, string>>;
  readonly nodeEnvironment: Readonly<Record<string, string>>;
  /** The owner's own way to a data key. */
  unwrap(envelope: Envelope, modelDigest: Uint8Array): Promise<Uint8Array>;
  /** From now on, the enclaves of this client's policy open models, and no others. */
  allow(policy: string): Promise<void>;
  /** What it has printed. */
  said(): string;
  stop(): Promise<void>;
  /** After a stop, where it was. */
  restart(): Promise<void>;
}

/** Where the story stands. */
export interface Told<T extends KeyServiceActor> {
  readonly world: SealedWorld;
  readonly service: T;
  /** What the right node is started with. */
  readonly right: NodeOptions;
  readonly policy: string;
}

export interface Story<T extends KeyServiceActor> {
  readonly name: string;
  /** Starts a service in a folder of its own. */
  start(world: SealedWorld, folder: string): Promise<T>;
  /** What it prints of a document that its owner does not accept. */
  readonly refused: RegExp;
  /** Tests of this service alone, while it runs. */
  readonly more?: (told: () => Told<T>) => void;
}

/** A segment of 4 MiB with its tag: the large model has one and a part of another. */
const SEGMENT_ON_DISK = 4_194_304 + 16;
const LARGE = join("guide", "1", "onnx", "model.onnx.sealed");
const SEAL = "seal.cbor";
const RESTART_MS = 120_000;

export function tellStory<T extends KeyServiceActor>(story: Story<T>): void {
  const { name, refused } = story;
  let world: SealedWorld;
  let service: T;
  let node: OpenedNode;
  let right: NodeOptions;
  /** Of a client of the owner's. */
  let policy: string;
  /** What the owner published. */
  let digest: string;
  let secrets: ReadonlyMap<string, Buffer>;

  beforeAll(async () => {
    world = await SealedWorld.make();
    service = await story.start(world, "service");
    const sealed = world.path("sealed");
    const environment = service.ownerEnvironment;
    const words = ["model", "seal", world.plain, ...service.sealWords, "--out", sealed];
    await world.must(words, { environment });
    digest = (
      await world.must(["model", "digest", join(world.plain, "digits", "1"), "--quiet"])
    ).trim();
    secrets = new Map([...(await world.weights()), ...(await dataKeys(world, sealed, service))]);
    const { keyServices } = service;
    right = { models: sealed, keyServices, environment: service.nodeEnvironment };
    policy = await world.measure("policy.json", right);
    await service.allow(policy);
    node = await world.startNode({ ...right, record: world.path("record") });
  });

  afterAll(async () => {
    await world.close();
  });

  /** A node beside the right one, of the same vendor: it differs in what a test changes. */
  async function another(named: string): Promise<NodeOptions> {
    return { ...right, state: await world.sameVendor(named) };
  }

  function secretsIn(bytes: Buffer | string): readonly string[] {
    return [...secrets]
      .filter(([, secret]) => bytes.includes(secret.toString("latin1")))
      .map(([at]) => at);
  }

  describe(`a model sealed under ${name}`, () => {
    it("is served by the enclave that its owner named, and the receipt has the digest that he published", async () => {
      const asked = await world.ask(node.url, policy);
      expect([asked.code, asked.errors]).toEqual([0, ""]);
      const words = ["verify", "seven.proof", "--opening", "--policy", policy, "--json"];
      expect(objectOf(await world.must(words))).toMatchObject({
        result: "verified",
        claims: { model: { id: "digits", version: "1", digest }, outcome: { status: 200 } },
      });
    });

    it("goes through the host as ciphertext, and so does its key", async () => {
      const record = (await readFile(world.path("record"))).toString("latin1");
      // All of it is there: what the enclave asked, what it got, and the way to the key service.
      for (const told of ["GET /provisioning", "GET /models/guide/1/onnx/model.onnx", "CONNECT "]) {
        expect(record.includes(told), told).toBe(true);
      }
      const sealed = await readFile(join(right.models, LARGE));
      expect(record.includes(sealed.subarray(1000, 1048).toString("latin1"))).toBe(true);
      expect(record.includes(sealed.subarray(-48).toString("latin1"))).toBe(true);
      expect(secretsIn(record)).toEqual([]);
    });

    it("would be found there, were it not sealed", async () => {
      const record = world.path("plain-record");
      const plain = { ...(await another("plain")), models: world.plain, record };
      await (await world.startNode(plain)).program.stop();
      const weights = [...(await world.weights()).keys()];
      expect(secretsIn((await readFile(record)).toString("latin1"))).toEqual(weights);
    });

    it("is not in the host's memory", async (context) => {
      const [enclave] = await childrenOf(node.pid).catch(() => []);
      const mayRead = enclave !== undefined && (await isReadable(enclave));
      context.skip(!mayRead, "this machine shows no process another's memory");
      if (enclave === undefined) return;
      expect([...(await findInMemory(node.pid, secrets))]).toEqual([]);
      // Nothing protects the memory of a simulated enclave: the same search finds the weights there.
      const found = await findInMemory(enclave, secrets);
      expect([...(await world.weights()).keys()].some((at) => found.has(at))).toBe(true);
    });

    it("is in no log", () => {
      expect(node.program.out).toMatch(/"what":"key-released".*"id":"guide".*"kind":.*"ms":\d/u);
      expect(secretsIn(node.program.out + node.program.errors + service.said())).toEqual([]);
    });
  });

  describe(`an operator of a model sealed under ${name} gets nothing`, () => {
    it("by copying the files", async () => {
      for (const file of await readdir(right.models, { recursive: true, withFileTypes: true })) {
        if (!file.isFile()) continue;
        const bytes = await readFile(join(file.parentPath, file.name));
        expect([file.name, secretsIn(bytes.toString("latin1"))]).toEqual([file.name, []]);
      }
    });

    it("by one changed byte, by segments in each other's place, or by bytes of his own", async () => {
      for (const [named, change] of CHANGES) {
        const models = world.path(`changed-${named}`);
        await cp(right.models, models, { recursive: true });
        const bytes = await readFile(join(models, LARGE));
        const changed = change(bytes);
        expect(changed.length).toBe(bytes.length);
        await writeFile(join(models, LARGE), changed);
        const refusal = await world.refusalOf({ ...(await another(named)), models });
        expect([named, refusal]).toEqual([named, "model/sealed"]);
      }
    });

    it("by another model's envelope", async () => {
      const models = world.path("envelopes");
      await cp(right.models, models, { recursive: true });
      const [to, from] = MODELS.map((id) => join(models, id, "1", SEAL));
      if (to === undefined || from === undefined) throw new TypeError("two models");
      const { manifest } = parseSeal(await readFile(to));
      const { envelope } = parseSeal(await readFile(from));
      await writeFile(to, encodeSeal({ manifest, envelope }));
      const refusal = await world.refusalOf({ ...(await another("envelopes")), models });
      expect(refusal).toBe("key/refused");
    });

    it("by a debug enclave", async () => {
      const from = service.said().length;
      expect(await world.refusalOf({ ...(await another("debug")), debug: true })).toBe(
        "key/denied",
      );
      expect(service.said().slice(from)).toMatch(refused);
    });

    it("by one more byte in the list of key services, which is measured", async () => {
      const keyServices = world.path("longer.json");
      await writeFile(keyServices, `${await readFile(right.keyServices, "utf8")}\n`);
      expect(await world.refusalOf({ ...(await another("longer")), keyServices })).toBe(
        "key/denied",
      );
    });

    it("by a key service of his own: it lets any enclave in, and does not have the key", async () => {
      const own = await story.start(world, "own");
      const { keyServices, nodeEnvironment: environment } = own;
      const setting = { ...(await another("own")), keyServices, environment };
      await own.allow(await world.measure("own.json", setting));
      expect(await world.refusalOf(setting)).toBe("key/refused");
      await own.stop();
    });
  });

  story.more?.(() => ({ world, service, right, policy }));

  describe(`releases, and a model sealed under ${name}`, () => {
    let other: NodeOptions;
    let measured: string;
    let older: OpenedNode;

    it("other code opens nothing", async () => {
      const checkout = world.path("other-checkout");
      await copyCheckout(checkout);
      const file = join(checkout, "enclave", "models", "load.ts");
      await writeFile(file, `${await readFile(file, "utf8")}// and keeps a copy\n`);
      other = { ...(await another("other")), checkout };
      measured = await world.measure("other.json", other);
      const from = service.said().length;
      expect(await world.refusalOf(other)).toBe("key/denied");
      expect(service.said().slice(from)).toMatch(refused);
    });

    it("two releases open it while the owner changes over", async () => {
      const both = world.path("both.json");
      await writeFile(both, await unitedPolicy(policy, measured));
      await service.allow(both);
      older = await world.startNode(other);
      expect((await world.ask(older.url, measured)).code).toBe(0);
      const again = await world.startNode(await another("again"));
      expect((await world.ask(again.url, policy)).code).toBe(0);
    });

    it("a withdrawn release goes on where it runs, and opens nothing at its next boot", async () => {
      await service.allow(policy);
      expect((await world.ask(older.url, measured)).code).toBe(0);
      await older.program.stop();
      expect(await world.refusalOf(other)).toBe("key/denied");
    });

    it("a node that runs needs no key service, and one that boots says that there is none", async () => {
      await service.stop();
      expect((await world.ask(node.url, policy)).code).toBe(0);
      expect(await world.refusalOf(await another("nobody"))).toBe("key/unreachable");
    });

    it.skipIf(process.platform !== "linux")(
      "a node whose enclave ends meanwhile comes back by itself, once there is a key service",
      async () => {
        const [enclave = -1] = await childrenOf(node.pid);
        process.kill(enclave, "SIGKILL");
        await node.program.says(/"event":"enclave-exited".*"reason":"key\/unreachable"/u);
        await service.restart();
        await node.program.says(/"event":"enclave-restarted"/u);
        expect((await world.ask(node.url, policy)).code).toBe(0);
      },
      RESTART_MS,
    );
  });
}

/** Each leaves the file as long as it was: of another length, the host itself would not serve it. */
const CHANGES: readonly (readonly [name: string, change: (bytes: Buffer) => Uint8Array])[] = [
  [
    "byte",
    (bytes) => {
      bytes[SEGMENT_ON_DISK + 1000] = (bytes[SEGMENT_ON_DISK + 1000] ?? 0) ^ 1;
      return bytes;
    },
  ],
  [
    "swapped",
    (bytes) => Buffer.concat([bytes.subarray(SEGMENT_ON_DISK), bytes.subarray(0, SEGMENT_ON_DISK)]),
  ],
  ["zeros", (bytes) => bytes.fill(0, 0, SEGMENT_ON_DISK)],
];

/** Every data key, as it is and as text. */
async function dataKeys(
  world: SealedWorld,
  sealed: string,
  service: KeyServiceActor,
): Promise<ReadonlyMap<string, Buffer>> {
  const keys = new Map<string, Buffer>();
  for (const id of MODELS) {
    const { envelope } = parseSeal(await readFile(join(sealed, id, "1", SEAL)));
    const model = await world.must(["model", "digest", join(sealed, id, "1"), "--quiet"]);
    const modelDigest = new Uint8Array(Buffer.from(model.trim(), "hex"));
    const key = Buffer.from(await service.unwrap(parseEnvelope(envelope), modelDigest));
    keys.set(`data key of ${id}`, key);
    keys.set(`data key of ${id}, hex`, Buffer.from(encodeHex(key)));
    keys.set(`data key of ${id}, base64`, Buffer.from(key.toString("base64")));
  }
  return keys;
}

/** The first policy, which accepts the code of the second besides. */
async function unitedPolicy(first: string, second: string): Promise<string> {
  const text = await readFile(first, "utf8");
  const more = /"measurements": \[\s*(\{[^}]*\})/u.exec(await readFile(second, "utf8"))?.[1] ?? "";
  const older = more.replace('"development"', '"older"');
  return text.replace('"measurements": [', `"measurements": [ ${older},`);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || address === null) throw new TypeError("no port");
  return address.port;
}
