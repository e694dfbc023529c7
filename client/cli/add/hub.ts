import { CommandError } from "../exit.ts";
import { downloadFile } from "./download.ts";
import { parseHubListing } from "./hub-listing.ts";
import type { Origin } from "./origin.ts";
import { type Credential, send, shownUrl, StatusError, type WebResponse } from "./request.ts";
import { PassingError, withRetries } from "./retries.ts";
import { isFetchable, type ModelSource } from "./source.ts";
import type { Surroundings } from "./surroundings.ts";

type HubSource = Extract<ModelSource, { readonly kind: "hub" }>;

const PUBLIC_HUB = "https://huggingface.co";
const MAX_LISTING_BYTES = 16 * 1024 * 1024;
/** RFC 6750 §2.1: what a bearer token consists of. */
const TOKEN = /^[\w.~+/=-]{1,4096}$/u;

/** A hub: where it is, and who we are there. */
interface Hub {
  /** Without a slash at its end. */
  readonly base: string;
  readonly credential: Credential | null;
}

/**
 * One revision of a repository on the Hugging Face hub, or on a mirror of it (`HF_ENDPOINT`).
 *
 * The revision is turned into a commit once, and every file is fetched by that commit: a branch that
 * moves meanwhile changes nothing. Large files have a SHA-256 in the listing, small ones git's hash.
 */
export async function openHub(around: Surroundings, source: HubSource): Promise<Origin> {
  const hub = readHub(around.environment);
  const { repository, revision } = source;
  const url = new URL(
    `${hub.base}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`,
  );
  const text = await withRetries(around, () => readListing(around, hub, url)).catch(
    (error: unknown) => {
      throw refusal(error, hub, repository, revision);
    },
  );
  const { commit, licence, files } = parseHubListing(text);
  if (/^[0-9a-f]{40}$/u.test(revision) && commit !== revision) {
    throw new CommandError(`the hub answered with commit ${commit}, and not with ${revision}`);
  }
  return {
    name: `hf:${repository}`,
    revision: commit,
    licence,
    files,
    find: async (path) => await Promise.resolve(files.find((file) => file.path === path) ?? null),
    async fetch(file, staged) {
      const path = file.path.split("/").map(encodeURIComponent).join("/");
      const download = {
        file,
        url: new URL(`${hub.base}/${repository}/resolve/${commit}/${path}`),
        credential: hub.credential,
        requireResponse: (response: WebResponse) => {
          requireCommit(response, commit);
        },
      };
      await downloadFile(around, download, staged).catch((error: unknown) => {
        throw refusal(error, hub, repository, commit);
      });
    },
  };
}

function readHub(environment: Surroundings["environment"]): Hub {
  const given = environment["HF_ENDPOINT"] ?? "";
  const url = URL.parse(given === "" ? PUBLIC_HUB : given);
  if (url === null || !isFetchable(url) || url.search !== "" || url.username !== "") {
    throw new CommandError("HF_ENDPOINT is no address of a hub", `want for example ${PUBLIC_HUB}`);
  }
  const base = shownUrl(url).replace(/\/+$/u, "");
  const token = environment["HF_TOKEN"] ?? "";
  if (token === "") return { base, credential: null };
  if (!TOKEN.test(token)) throw new CommandError("HF_TOKEN is no token: it has other characters");
  return { base, credential: { origin: url.origin, token } };
}

async function readListing(around: Surroundings, hub: Hub, url: URL): Promise<string> {
  const { credential } = hub;
  const headers = { accept: "application/json" };
  const response = await send(around, { method: "GET", url, headers, credential });
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.read()) {
    size += part.length;
    if (size > MAX_LISTING_BYTES) {
      throw new CommandError(`the hub's listing is longer than ${MAX_LISTING_BYTES} bytes`);
    }
    parts.push(part);
  }
  const length = response.headers.get("content-length");
  if (length !== null && Number(length) !== size) {
    throw new PassingError(`the hub's listing ended after ${size} of ${length} bytes`);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

/** The hub names the commit that it serves a file of. A mirror need not. */
function requireCommit({ headers }: WebResponse, commit: string): void {
  const served = headers.get("x-repo-commit");
  if (served === null || served === commit) return;
  throw new CommandError(`the hub served a file of commit ${served}, and not of ${commit}`);
}

/** What the hub's refusals mean. It says 401 of what does not exist, too, to whom it does not know. */
function refusal(error: unknown, hub: Hub, repository: string, revision: string): unknown {
  if (!(error instanceof StatusError)) return error;
  const { status, reason } = error;
  const page = `${hub.base}/${repository}`;
  const known = hub.credential !== null;
  if (reason === "GatedRepo" || status === 403) {
    return new CommandError(
      `the hub does not give you ${repository} (${status}): it is gated`,
      `accept its licence at ${page}, then set HF_TOKEN to a token of yours that may read it`,
    );
  }
  if (reason === "RevisionNotFound") {
    const fix = `${page}/commits lists what there is`;
    return new CommandError(`${repository} has no revision ${revision}`, fix);
  }
  if (status === 401) {
    const fix = known
      ? "HF_TOKEN is not accepted: make a new one at the hub"
      : `look at ${page}; what is private or gated needs HF_TOKEN`;
    return new CommandError(`there is no ${repository} that the hub would show you (401)`, fix);
  }
  if (status === 404) {
    return new CommandError(`the hub has no ${repository} (404)`, `is the name right? ${page}`);
  }
  return new CommandError(`the hub refused ${repository}: it answered ${status}`);
}
