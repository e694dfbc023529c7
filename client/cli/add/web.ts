import { CommandError } from "../exit.ts";
import { downloadFile } from "./download.ts";
import type { Origin, OriginFile } from "./origin.ts";
import { send, shownUrl, StatusError, type WebResponse } from "./request.ts";
import { withRetries } from "./retries.ts";
import { CANDIDATES } from "./selection.ts";
import { isGraphName, type ModelSource } from "./source.ts";
import type { Surroundings } from "./surroundings.ts";

type WebSource = Extract<ModelSource, { readonly kind: "web" }>;

/** A file may be missing; every other refusal ends the work. */
const MISSING: ReadonlySet<number> = new Set([403, 404, 410]);
/** Servers that do not know HEAD. */
const NO_HEAD: ReadonlySet<number> = new Set([405, 501]);

/**
 * A directory on a web server in the layout of an export, or one graph.
 *
 * It lists nothing, so each file that there may be is asked for; and nobody vouches for the bytes but
 * the connection, so that the digest that comes out is what there is to compare.
 */
export async function openWeb(around: Surroundings, { url }: WebSource): Promise<Origin> {
  const base = new URL(".", url);
  const find = async (path: string): Promise<OriginFile | null> =>
    await withRetries(around, () => probe(around, urlOf(base, path), path));
  const files: OriginFile[] = [];
  for (const path of isGraphName(url.pathname) ? [graphPath(url)] : CANDIDATES) {
    const file = await find(path);
    if (file !== null) files.push(file);
  }
  return {
    name: shownUrl(url),
    revision: null,
    licence: null,
    files,
    find,
    async fetch(file, staged) {
      const requireResponse = (_response: WebResponse): void => undefined;
      const download = { file, url: urlOf(base, file.path), credential: null, requireResponse };
      await downloadFile(around, download, staged).catch((error: unknown) => {
        throw refusal(error, urlOf(base, file.path));
      });
    },
  };
}

/** Whether there is a file, and how large it is. */
async function probe(around: Surroundings, url: URL, path: string): Promise<OriginFile | null> {
  const methods = ["HEAD", "GET"] as const;
  for (const method of methods) {
    try {
      const response = await send(around, { method, url, headers: {}, credential: null });
      await response.drop();
      const length = response.headers.get("content-length") ?? "";
      const size = /^\d{1,15}$/u.test(length) ? Number(length) : null;
      return { path, size, hash: null };
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (method === "HEAD" && NO_HEAD.has(error.status)) continue;
      if (MISSING.has(error.status)) return null;
      throw refusal(error, url);
    }
  }
  return null;
}

function refusal(error: unknown, url: URL): unknown {
  if (!(error instanceof StatusError)) return error;
  return new CommandError(`${shownUrl(url)} is refused: the server answered ${error.status}`);
}

function urlOf(base: URL, path: string): URL {
  return new URL(path.split("/").map(encodeURIComponent).join("/"), base);
}

function graphPath(url: URL): string {
  const name = url.pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(name);
  } catch {
    throw new CommandError(`${shownUrl(url)} names no file`);
  }
}
