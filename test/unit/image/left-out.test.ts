/** Packages that an image leaves out: what they are for is asked of nobody in an enclave. */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { encodeEnvelope, type Envelope } from "@countersign/protocol";
import { ENCLAVE_ENTRIES, enclaveTree, moduleGraph, writeDirectory } from "@countersign/image";
import { beforeAll, describe, expect, it } from "vitest";
import { CODE_ROOT } from "../../../enclave/simulation/measure.ts";
import { EnclaveContact } from "../../../host/contact.ts";
import { CredentialSource } from "../../../host/credentials.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import { Tunnels, TUNNEL_TIMING } from "../../../host/tunnel.ts";
import { LEFT_OUT } from "../../../image/graph.ts";
import { kmsEnvelope } from "../../fakes/recipient-envelope.ts";
import { CREDENTIALS, refusal, ScriptedKms } from "../../fakes/scripted-kms.ts";
import { CHOICE, memoryLog, oneModel, onTestEnd, until } from "../host/support.ts";
import { folderOf, manifest, newFolder } from "./checkouts.ts";

const NAMES = [
  "@aws-sdk/credential-provider-http",
  "@aws-sdk/credential-provider-ini",
  "@aws-sdk/credential-provider-process",
  "@aws-sdk/credential-provider-sso",
  "@aws-sdk/credential-provider-web-identity",
  "@smithy/credential-provider-imds",
  "bowser",
];
const ROWS = [...LEFT_OUT].flatMap(([asking, names]) => names.map((name) => ({ asking, name })));

describe("what an image leaves out", () => {
  const { packages, packageFiles } = moduleGraph(CODE_ROOT, ENCLAVE_ENTRIES);

  it("is seven packages, and none of them is in it", () => {
    expect(ROWS.map(({ name }) => name).toSorted()).toEqual(NAMES);
    expect(packages.filter((name) => NAMES.includes(name))).toEqual([]);
    const folders = packageFiles.filter((path) => NAMES.some((name) => path.includes(`/${name}/`)));
    expect(folders).toEqual([]);
  });

  it.each(ROWS)("$name would be in it, by $asking", ({ asking, name }) => {
    const files = packageFiles.filter((path) => path.includes(`node_modules/${asking}/`));
    expect(files).not.toEqual([]);
    const asks = new RegExp(String.raw`\b(?:require|import)\(\s*["']${name}["']\s*\)`, "u");
    const found = files.filter((path) => asks.test(readFileSync(join(CODE_ROOT, path), "utf8")));
    expect(found).not.toEqual([]);
  });

  it("is left out of the packages of the table only, and never of our own code", () => {
    const root = folderOf({
      "a/package.json": manifest({ type: "module" }),
      "a/main.ts": 'import "other";\nimport "@aws-sdk/core";\n',
      "b/package.json": manifest({ type: "module" }),
      "b/main.ts": 'import "bowser";\n',
    });
    const files = {
      "@aws-sdk/core/package.json": manifest({ main: "c.js", dependencies: { bowser: "1.0.0" } }),
      "@aws-sdk/core/c.js": 'require("bowser");\n',
      "other/package.json": manifest({ main: "o.js" }),
      "other/o.js": "",
      "bowser/package.json": manifest({ main: "b.js" }),
      "bowser/b.js": "",
    };
    folderOf(files, join(root, "node_modules"));
    expect(moduleGraph(root, ["a/main.ts"]).packages).toEqual(["@aws-sdk/core", "other"]);
    expect(moduleGraph(root, ["b/main.ts"]).packages).toEqual(["bowser"]);
    writeFileSync(join(root, "node_modules/other/o.js"), 'require("bowser");\n');
    expect(moduleGraph(root, ["a/main.ts"]).packages).toContain("bowser");
    writeFileSync(join(root, "node_modules/other/o.js"), "");
    // By a statement: what asks would not load without it.
    writeFileSync(join(root, "node_modules/@aws-sdk/core/c.mjs"), 'import "bowser";\n');
    writeFileSync(join(root, "a/main.ts"), 'import "@aws-sdk/core/c.mjs";\n');
    expect(moduleGraph(root, ["a/main.ts"]).packages).toEqual(["@aws-sdk/core", "bowser"]);
  });
});

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/0f6e1ab2-5d0f-4c1e-9d0a-6f5e4d3c2b1a";
const ENVELOPE: Envelope = { kind: "aws-kms", key: ARN, wrapped: randomBytes(184) };

/** A release of a key by the image's own files; says what it loaded, and the key. */
function program(app: string, host: string, kms: ScriptedKms): string {
  const { roots } = kms.context();
  const { key, wrapped } = ENVELOPE;
  return `import { createRequire } from "node:module";
import { connect } from "node:net";
const app = ${JSON.stringify(app)};
const { kmsRelease } = await import(app + "enclave/keys/kms.ts");
const { systemClock } = await import(app + "enclave/clock.ts");
const release = kmsRelease({
  nsm: { attest: ({ publicKey }) => publicKey },
  platform: "aws-nitro",
  transport: { dial: () => connect(${JSON.stringify(host)}) },
  clock: systemClock,
  log: () => undefined,
  service: ${JSON.stringify(kms.service)},
  roots: ${JSON.stringify(roots)},
});
const envelope = {
  kind: "aws-kms",
  key: ${JSON.stringify(key)},
  wrapped: Buffer.from("${Buffer.from(wrapped).toString("hex")}", "hex"),
};
const opened = await release.release(
  envelope,
  Buffer.from("${Buffer.from(encodeEnvelope(ENVELOPE)).toString("hex")}", "hex"),
  new Uint8Array(32),
);
const loaded = Object.keys(createRequire(app + "enclave/main.ts").cache);
console.log(JSON.stringify({
  key: Buffer.from(opened).toString("hex"),
  sdk: loaded.some((path) => path.includes("/@aws-sdk/client-kms/")),
  foreign: loaded.filter((path) => !path.startsWith(app)),
}));
`;
}

describe("an image without it", () => {
  const folder = join(newFolder(), "tree");

  beforeAll(async () => {
    const { platform, application } = await enclaveTree({
      root: CODE_ROOT,
      architecture: process.arch === "arm64" ? "arm64" : "x86_64",
      modules: [],
      libraries: ["/"],
      entries: ENCLAVE_ENTRIES,
      arguments: [],
      keyServices: null,
    });
    await writeDirectory(folder, [...platform, ...application]);
  });
  it("gets a key of AWS KMS by its host, after a refusal, with nothing but its own files", async () => {
    const dataKey = randomBytes(32);
    const kms = await ScriptedKms.start(({ publicKey }, number) => {
      if (number === 1) return refusal(400, "ThrottlingException");
      const identifier = createHash("sha256").update(publicKey).digest();
      const ciphertext = Buffer.from(kmsEnvelope(publicKey, identifier, dataKey));
      const body = { KeyId: ARN, CiphertextForRecipient: ciphertext.toString("base64") };
      return { status: 200, body };
    });
    onTestEnd(() => kms.close());
    const { log, lines } = memoryLog();
    const { accessKeyId = "", secretAccessKey = "", sessionToken = "" } = CREDENTIALS;
    const found = { accessKeyId, secretAccessKey, sessionToken };
    const path = join(newFolder(), "s");
    const host = await serveProvisioning(
      { kind: "unix", path },
      await oneModel(),
      CHOICE,
      new EnclaveContact(log),
      {
        tunnels: new Tunnels([kms.service], log, TUNNEL_TIMING),
        credentials: new CredentialSource(() => Promise.resolve(found), Date.now, log),
      },
    );
    onTestEnd(() => host.close());
    const file = join(newFolder(), "program.mjs");
    writeFileSync(file, program(`${folder}/app/`, path, kms));
    const loader = readdirSync(join(folder, "lib")).find((name) => name.startsWith("ld-"));
    const { stdout } = await promisify(execFile)(
      join(folder, "lib", loader ?? "none"),
      ["--library-path", join(folder, "lib"), join(folder, "bin/node"), file],
      { env: {} },
    );
    expect(JSON.parse(stdout)).toEqual({
      key: dataKey.toString("hex"),
      sdk: true,
      foreign: [],
    });
    expect(kms.asked.map(({ headers }) => headers["x-amz-security-token"])).toEqual([
      sessionToken,
      sessionToken,
    ]);
    await until("both are logged", () => lines.length === 2);
    expect(lines.map(({ event }) => event)).toEqual(["key-tunnel", "key-tunnel"]);
    expect(JSON.stringify(lines)).not.toContain(secretAccessKey);
  });
});
