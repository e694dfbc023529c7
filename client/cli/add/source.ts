import { basename } from "node:path";
import { fileURLToPath } from "node:url";

import { UsageError } from "../exit.ts";
import { userPath } from "../paths.ts";

/** Where a model is to come from. */
export type ModelSource =
  | {
      readonly kind: "hub";
      /** `OWNER/NAME`. */
      readonly repository: string;
      /** A branch, a tag or a commit. */
      readonly revision: string;
    }
  | {
      readonly kind: "web";
      /** Of a directory, with a slash at its end; or of one graph. */
      readonly url: URL;
    }
  | { readonly kind: "file"; readonly path: string };

/** A model's name in a repository; the host takes no other. */
export const MODEL_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;

const DEFAULT_REVISION = "main";
const HUB_REPOSITORY = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/u;
const REVISION = /^[A-Za-z0-9][\w./-]{0,199}$/u;
const GRAPH = /\.onnx$/u;
const FORMS = "want hf:OWNER/NAME[@REVISION], https://HOST/PATH/ or file:PATH";

/** Reads what a user named. @throws UsageError */
export function parseSource(text: string): ModelSource {
  if (text.startsWith("hf:")) return parseHub(text.slice(3));
  if (/^https?:/u.test(text)) return parseWeb(text);
  if (text.startsWith("file:")) return { kind: "file", path: parsePath(text) };
  throw new UsageError(`"${text}" is no source of models`, FORMS);
}

/** Whether a source is one graph, and no directory. */
export function isGraphName(path: string): boolean {
  return GRAPH.test(path);
}

/** The name that a model from `source` gets where the user gives none. @throws UsageError */
export function modelName(source: ModelSource, given: string | null): string {
  const name = given ?? ownName(source);
  if (MODEL_NAME.test(name)) return name;
  const wanted = "want 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first";
  throw new UsageError(`"${name}" is no name for a model`, `name it with --as NAME; ${wanted}`);
}

/** Whether an address is safe to fetch from: encrypted, or this machine itself. */
export function isFetchable(url: URL): boolean {
  return url.protocol === "https:" || isLoopback(url);
}

/** Plain HTTP to this machine, for a mirror that runs here. */
export function isLoopback({ protocol, hostname }: URL): boolean {
  return protocol === "http:" && /^(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])$/u.test(hostname);
}

function ownName(source: ModelSource): string {
  switch (source.kind) {
    case "hub":
      return source.repository.split("/")[1] ?? "";
    case "web":
      return source.url.pathname.replace(/\/$/u, "").split("/").at(-1)?.replace(GRAPH, "") ?? "";
    case "file":
      return basename(source.path).replace(GRAPH, "");
    default:
      return source satisfies never;
  }
}

function parseHub(text: string): ModelSource {
  const at = text.indexOf("@");
  const repository = at === -1 ? text : text.slice(0, at);
  const revision = at === -1 ? DEFAULT_REVISION : text.slice(at + 1);
  if (!HUB_REPOSITORY.test(repository) || /\.\./u.test(repository)) {
    throw new UsageError(
      `"${repository}" names no repository of the hub`,
      "want hf:OWNER/NAME, for example hf:onnx-community/SmolLM2-135M-Instruct",
    );
  }
  if (!REVISION.test(revision) || /\.\.|\/\/|\/$/u.test(revision)) {
    throw new UsageError(`"${revision}" is no revision`, "want a branch, a tag or a commit");
  }
  return { kind: "hub", repository, revision };
}

function parseWeb(text: string): ModelSource {
  const url = URL.parse(text);
  if (url === null) throw new UsageError(`"${text}" is no address`, FORMS);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    // Not the whole of it: what is too much may be a password.
    const plain = `${url.origin}${url.pathname}`;
    throw new UsageError("the address has more than a host and a path", `want ${plain}`);
  }
  if (!isFetchable(url)) {
    const why = "anybody on the way could change what arrives: want https";
    throw new UsageError(`${url.href} is not encrypted`, why);
  }
  if (!isGraphName(url.pathname) && !url.pathname.endsWith("/")) url.pathname += "/";
  return { kind: "web", url };
}

function parsePath(text: string): string {
  if (!text.startsWith("file://")) {
    const path = text.slice("file:".length);
    if (path === "") throw new UsageError("file: names no path", FORMS);
    return userPath(path);
  }
  try {
    return fileURLToPath(text);
  } catch {
    throw new UsageError(`"${text}" is no path of this machine`, FORMS);
  }
}
