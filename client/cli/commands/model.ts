import { basename, dirname } from "node:path";

import { encodeHex } from "@countersign/attestation";

import type { Call, Command } from "../command.ts";
import { CommandError, EXIT } from "../exit.ts";
import { hashModel, hashRepository, type HashedModel } from "../models.ts";
import { BUNDLED_MODELS, userPath } from "../paths.ts";
import { jsonLine, type Terminal } from "../terminal.ts";

/** The file that makes a directory a version of a model: its graph alone, or that of an export. */
const GRAPH = /^(?:model|onnx\/[^/]+)\.onnx$/u;

export const modelDigestCommand: Command = {
  name: "model digest",
  summary: "hash one version of a model: the digest that policies and receipts name",
  synopsis: "DIR",
  details: `DIR is one version's directory, <name>/<version>. The digest is the SHA-256 of the manifest: path,
size and SHA-256 of every file in it.

example:
  countersign model digest models/digits/1`,
  options: [],
  operands: [1, 1, "DIR"],
  run: digest,
};

export const modelListCommand: Command = {
  name: "model list",
  summary: "list the models of a repository with their digests",
  synopsis: "[--models DIR]",
  details: "",
  options: [
    { name: "models", value: "DIR", description: "model repository (default the bundled models)" },
  ],
  operands: [0, 0, ""],
  run: list,
};

async function digest({ args, terminal, json, quiet }: Call): Promise<number> {
  const directory = userPath(args.operands[0] ?? "");
  const model = await hashModel(directory, basename(dirname(directory)), basename(directory));
  // A directory above or below has a digest, too, and nothing runs that has it.
  if (!model.files.some(({ path }) => GRAPH.test(path))) {
    throw new CommandError(
      `${directory} has no model.onnx, and none in onnx/: it is no version of a model`,
      "name one version's directory, <name>/<version>; `countersign model list` finds them",
    );
  }
  if (json) {
    terminal.print(jsonLine(modelObject(model)));
    return EXIT.ok;
  }
  terminal.print(encodeHex(model.digest));
  if (quiet) return EXIT.ok;
  for (const { path, size, sha256 } of model.files) {
    terminal.print(terminal.paint.dim(`  ${encodeHex(sha256)}  ${size}  ${path}`));
  }
  return EXIT.ok;
}

async function list({ args, terminal, json }: Call): Promise<number> {
  const directory = args.text("models");
  const models = await hashRepository(directory === null ? BUNDLED_MODELS : userPath(directory));
  for (const model of models) printModel(terminal, model, json);
  return EXIT.ok;
}

function printModel(terminal: Terminal, model: HashedModel, json: boolean): void {
  if (json) {
    terminal.print(jsonLine(modelObject(model)));
    return;
  }
  terminal.print(`${encodeHex(model.digest)}  ${model.id}  version ${model.version}`);
}

function modelObject({
  id,
  version,
  digest: value,
  files,
}: HashedModel): Readonly<Record<string, unknown>> {
  const manifest = files.map(({ path, size, sha256 }) => ({
    path,
    size,
    sha256: encodeHex(sha256),
  }));
  return { id, version, digest: encodeHex(value), files: manifest };
}
