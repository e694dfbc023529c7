import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";

import { AWS_NITRO_ROOT, AWS_NITRO_ROOT_SHA256, encodeHex } from "@countersign/attestation";
import type { DevKms, DevKmsEntry, DevKmsOptions } from "@countersign/sealing";

import type { Call, Command } from "../command.ts";
import { nextSteps } from "../dev-kms-steps.ts";
import { CommandError, EXIT, UsageError } from "../exit.ts";
import { readUserFile } from "../files.ts";
import { userPath } from "../paths.ts";
import { bracketed, parseListen } from "../proxy/guard.ts";
import { untilSignal } from "../signals.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

const DEFAULT_LISTEN = "127.0.0.1:8443";
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu;

export const devKmsCommand: Command = {
  name: "dev-kms",
  summary: "a key service that speaks AWS KMS's protocol, to try sealed models without AWS",
  synopsis: "--dir DIR [--listen ADDR] [--attestation-root FILE]... [--alias NAME]...",
  details: `A development tool: its keys lie in files under DIR, so seal nothing real with it.

The AWS SDKs and the AWS CLI talk to it as they are. The first start makes DIR, with a key named
alias/countersign, access keys for an owner and for a node, and a certificate authority for TLS; later
starts use them. It prints what to set and what to run.

Each key has a policy in the language of AWS, DIR/policies/<key id>.json, which is read for each request:
an edit counts at once. A new key's policy lets its owner in, and no node. Attestation documents are judged
as everywhere in countersign; the roots that may sign them are AWS's, or those that you name.

examples:
  countersign dev-kms --dir kms
  countersign dev-kms --dir kms --attestation-root .countersign/simulated-vendor.pem`,
  options: [
    { name: "dir", value: "DIR", description: "keys, policies and credentials; made if need be" },
    { name: "listen", value: "ADDR", description: `where to serve (default ${DEFAULT_LISTEN})` },
    {
      name: "attestation-root",
      value: "FILE",
      description: "PEM of a root that may vouch for enclaves (default AWS's); repeatable",
      repeatable: true,
    },
    {
      name: "alias",
      value: "NAME",
      description: "another key, alias/NAME, for example to rotate to; repeatable",
      repeatable: true,
    },
    { name: "allow-remote", value: null, description: "lets other machines reach it" },
  ],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const directory = args.text("dir");
  if (directory === null) throw new UsageError("--dir is missing", "keys and policies lie there");
  const listen = parseListen(args.text("listen") ?? DEFAULT_LISTEN);
  const rootFiles = args.texts("attestation-root");
  const roots = await readRoots(rootFiles);
  const kms = await start({
    directory: userPath(directory),
    listen,
    allowRemote: args.flag("allow-remote"),
    attestationRoots: () => readRoots(rootFiles),
    aliases: args.texts("alias").map(aliasOf),
    log: (entry) => {
      if (!quiet) terminal.print(json ? jsonLine(entry) : renderEntry(entry, terminal));
    },
  });
  announce(kms, roots, terminal, json, quiet);
  for (const file of rootFiles.filter((one) => !existsSync(userPath(one)))) {
    terminal.note(`note: ${printable(file)} is not there yet, so no enclave is believed by it`);
  }
  if (rootFiles.length === 0) {
    terminal.note(
      "note: enclaves of AWS's root are believed; for simulated ones add --attestation-root .countersign/simulated-vendor.pem",
    );
  }
  await untilSignal();
  await kms.close();
  return EXIT.ok;
}

/** Loaded here: no other command needs what makes certificates and judges signatures. */
async function start(options: DevKmsOptions): Promise<DevKms> {
  const { SealingError, startDevKms } = await import("@countersign/sealing");
  try {
    return await startDevKms(options);
  } catch (error) {
    if (!(error instanceof SealingError)) throw error;
    const { host, port } = options.listen;
    const message = printable(error.message.slice(error.code.length + 2));
    switch (error.code) {
      case "dev-kms/remote":
        throw new CommandError(
          `${message}, and this is a development tool`,
          "--listen 127.0.0.1:8443, or --allow-remote if you mean it",
        );
      case "dev-kms/listen":
        throw new CommandError(
          `cannot serve at ${bracketed(host)}:${port}: ${message}`,
          "name another address with --listen, for example 127.0.0.1:8444",
        );
      default:
        throw new CommandError(message);
    }
  }
}

/**
 * DER of every certificate in `files`; the simulated vendor's lies beside its key.
 *
 * A file may be missing: the simulation makes its root with the first policy or node, and for that it
 * wants the key-services.json that we write.
 */
async function readRoots(files: readonly string[]): Promise<readonly Uint8Array[]> {
  if (files.length === 0) return [AWS_NITRO_ROOT.der];
  const roots: Uint8Array[] = [];
  for (const file of files) {
    const path = userPath(file);
    if (!existsSync(path)) continue;
    const text = Buffer.from(await readUserFile(path, "the attestation root")).toString("latin1");
    const found = text.match(CERTIFICATE) ?? [];
    if (found.length === 0) throw new CommandError(`there is no PEM certificate in ${file}`);
    for (const pem of found) roots.push(derOf(pem, file));
  }
  return roots;
}

function derOf(pem: string, file: string): Uint8Array {
  try {
    return new Uint8Array(new X509Certificate(pem).raw);
  } catch {
    throw new CommandError(`a certificate in ${file} cannot be read`);
  }
}

function aliasOf(name: string): string {
  return name.startsWith("alias/") ? name : `alias/${name}`;
}

function announce(
  kms: DevKms,
  roots: readonly Uint8Array[],
  terminal: Terminal,
  json: boolean,
  quiet: boolean,
): void {
  const attestationRoots = roots.map((der) => new X509Certificate(der).fingerprint256);
  const pins = attestationRoots.map((text) => text.replaceAll(":", "").toLowerCase());
  if (json) {
    const { url, region, caPath, keyServicesPath, keys } = kms;
    const [owner, node] = [kms.owner, kms.node].map(({ arn, credentialsPath }) => ({
      arn,
      credentials: credentialsPath,
    }));
    terminal.print(
      jsonLine({
        event: "listening",
        warning: "a development tool: no real secrets",
        url,
        region,
        ca: caPath,
        keyServices: keyServicesPath,
        owner,
        node,
        keys,
        attestationRoots: pins,
      }),
    );
    return;
  }
  const { paint } = terminal;
  terminal.print(
    paint.warn("A development tool: its keys lie in files. Seal nothing real with it."),
  );
  terminal.print(`Serving the protocol of AWS KMS at ${paint.bold(kms.url)}, region ${kms.region}`);
  for (const { alias, arn } of kms.keys) terminal.print(`  ${alias}  ${arn}`);
  for (const pin of pins) terminal.print(`  attestation root ${pin}${rootName(pin)}`);
  if (quiet) return;
  for (const line of nextSteps(kms)) terminal.print(line.startsWith("#") ? paint.dim(line) : line);
}

function rootName(pin: string): string {
  return pin === encodeHex(AWS_NITRO_ROOT_SHA256) ? " (AWS Nitro Enclaves)" : "";
}

function renderEntry(entry: DevKmsEntry, { paint }: Terminal): string {
  const { principal, action, key, pcr0, outcome, reason } = entry;
  const word = outcome === "ok" ? paint.good("ok") : paint.bad(outcome);
  const who = principal?.slice(principal.lastIndexOf("/") + 1) ?? "unknown";
  const parts = [
    `${action ?? "no action"} by ${who}`,
    key === null ? "" : `key ${key.slice(key.lastIndexOf("/") + 1)}`,
    pcr0 === null ? "" : `enclave ${pcr0.slice(0, 16)}`,
  ];
  const what = parts.filter((part) => part !== "").join("  ");
  return `${word}  ${printable(what)}  ${paint.dim(printable(reason ?? ""))}`.trimEnd();
}
