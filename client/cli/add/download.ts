/** One file over HTTP: resumed, tried again, and taken only with the size and hash that it must have. */
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";

import { CommandError } from "../exit.ts";
import { onDisk } from "./disk.ts";
import { hashFile } from "./file-hash.ts";
import type { OriginFile, StagedFile } from "./origin.ts";
import { showBytes } from "./progress.ts";
import { type Credential, send, shownUrl, type WebRequest, type WebResponse } from "./request.ts";
import { PassingError, withRetries } from "./retries.ts";
import type { Surroundings } from "./surroundings.ts";

/** A file and where it is. */
export interface Download {
  readonly file: OriginFile;
  readonly url: URL;
  readonly credential: Credential | null;
  /** Throws where the response is not what was asked for. */
  readonly requireResponse: (response: WebResponse) => void;
}

/** No file of a model is larger; without it a server could fill the disk. */
export const MAX_DOWNLOAD_BYTES: number = 64 * 1024 ** 3;
/** RFC 9110 §8.8.3: a weak one promises no equal bytes. */
const STRONG_ETAG = /^"[\x21\x23-\x7e\x80-\xff]{0,200}"$/u;
const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/u;

/**
 * Fetches a file to `staged.whole`. What has arrived stays in `staged.part` where it does not end well,
 * unless it is wrong.
 *
 * @throws CommandError, StatusError
 */
export async function downloadFile(
  around: Surroundings,
  download: Download,
  staged: StagedFile,
): Promise<void> {
  if (await isStillRight(around, download, staged)) {
    around.progress.at(download.file.path, await sizeOf(staged.whole));
    return;
  }
  const resumed = (await sizeOf(staged.part)) > 0;
  await fetchPart(around, download, staged);
  let wrong = await whatIsWrong(download.file, staged.part);
  if (wrong !== null && resumed) {
    // What lay here before may have been the fault.
    await discard(staged);
    await fetchPart(around, download, staged);
    wrong = await whatIsWrong(download.file, staged.part);
  }
  if (wrong !== null) {
    await discard(staged);
    throw new CommandError(
      `${shownUrl(download.url)} is not the file that it should be: ${wrong}`,
      "it was thrown away. Somebody changed it on the way, or the source is broken: try another",
    );
  }
  await onDisk(staged.whole, () => rename(staged.part, staged.whole));
}

/** Whether a file that an earlier run finished is still the one. */
async function isStillRight(
  around: Surroundings,
  { file, url, credential }: Download,
  staged: StagedFile,
): Promise<boolean> {
  if ((await sizeOf(staged.whole)) === 0) return false;
  if (file.hash !== null) {
    if ((await whatIsWrong(file, staged.whole)) === null) return true;
  } else {
    const etag = await readEtag(staged);
    const headers: Record<string, string> = etag === null ? {} : { "if-none-match": etag };
    const head: WebRequest = { method: "HEAD", url, headers, credential };
    const unchanged = async (): Promise<boolean> => {
      const response = await send(around, head);
      await response.drop();
      return response.status === 304;
    };
    if (etag !== null && (await withRetries(around, unchanged))) return true;
  }
  await onDisk(staged.whole, () => rm(staged.whole));
  return false;
}

/** Fetches until nothing is missing, over as many connections as that takes. */
async function fetchPart(
  around: Surroundings,
  download: Download,
  staged: StagedFile,
): Promise<void> {
  let most = await sizeOf(staged.part);
  const attempt = async (): Promise<void> => {
    const have = await sizeOf(staged.part);
    const { file, url, credential } = download;
    // Without a hash nobody can tell whether what lies here whole is still what is there.
    if (file.hash !== null && have > 0 && have === file.size) return;
    const headers = await rangeHeaders(file, have, staged);
    const response = await send(around, { method: "GET", url, headers, credential }).catch(
      async (error: unknown) => {
        // 416: what we have is no beginning of what is there.
        if (!isStatus(error, 416)) throw error;
        await discard(staged);
        throw new PassingError(`${shownUrl(url)} does not go on after ${have} bytes`);
      },
    );
    await receive(around, download, staged, have, response, (bytes) => {
      most = Math.max(most, bytes);
    });
  };
  await withRetries(around, attempt, () => most);
}

/** Asks for the rest, where it will be the rest of the same bytes. */
async function rangeHeaders(
  file: OriginFile,
  have: number,
  staged: StagedFile,
): Promise<Readonly<Record<string, string>>> {
  if (have === 0) return {};
  const etag = await readEtag(staged);
  if (etag !== null) return { range: `bytes=${have}-`, "if-range": etag };
  // Without an ETag only a hash shows whether the parts belong together.
  return file.hash === null ? {} : { range: `bytes=${have}-` };
}

/** Writes what a response brings behind the `have` bytes that are here, or in their place. */
async function receive(
  around: Surroundings,
  { file, url, requireResponse }: Download,
  staged: StagedFile,
  have: number,
  response: WebResponse,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const shown = shownUrl(url);
  let start: number;
  let handle: FileHandle;
  try {
    requireResponse(response);
    start = response.status === 206 ? rangeStart(response, have, shown) : 0;
    await keepEtag(staged, response);
    handle = await onDisk(staged.part, () => open(staged.part, start === 0 ? "w" : "a"));
  } catch (error) {
    await response.drop();
    if (error instanceof PassingError) await discard(staged);
    throw error;
  }
  const size = file.size ?? announcedSize(response, start);
  const limit = size ?? MAX_DOWNLOAD_BYTES;
  let bytes = start;
  try {
    for await (const chunk of response.read()) {
      bytes += chunk.length;
      if (bytes > limit) throw new CommandError(`${shown} is longer than ${limit} bytes`);
      await onDisk(staged.part, () => handle.writeFile(chunk));
      onBytes(bytes);
      around.progress.at(file.path, bytes);
    }
  } catch (error) {
    if (error instanceof CommandError && bytes > limit) await discard(staged);
    throw error;
  } finally {
    await handle.close();
  }
  if (size !== null && bytes < size) {
    throw new PassingError(`${shown} ended after ${showBytes(bytes)} of ${showBytes(size)}`);
  }
}

/** RFC 9110 §14.4. @throws PassingError where it is another part than was asked for. */
function rangeStart(response: WebResponse, have: number, shown: string): number {
  const range = CONTENT_RANGE.exec(response.headers.get("content-range") ?? "");
  const start = range === null ? null : Number(range[1]);
  if (start === have && have > 0) return start;
  throw new PassingError(`${shown} answered with another part than was asked for`);
}

/** How long the whole file is by the response's own word; null where it does not say. */
function announcedSize({ status, headers }: WebResponse, start: number): number | null {
  const length = headers.get("content-length") ?? "";
  const total = CONTENT_RANGE.exec(headers.get("content-range") ?? "")?.[3] ?? "";
  if (status === 206 && /^\d+$/u.test(total)) return Number(total);
  return /^\d{1,15}$/u.test(length) ? start + Number(length) : null;
}

/** What a file is not as it should be; null where nothing is wrong. */
async function whatIsWrong({ size, hash }: OriginFile, path: string): Promise<string | null> {
  const found = await sizeOf(path);
  if (size !== null && found !== size) return `it has ${found} bytes, want ${size}`;
  if (hash === null) return null;
  const hex = await onDisk(path, () => hashFile(path, hash.algorithm));
  const name = hash.algorithm === "sha256" ? "SHA-256" : "git hash";
  return hex === hash.hex ? null : `its ${name} is ${hex}, want ${hash.hex}`;
}

async function keepEtag(staged: StagedFile, { headers }: WebResponse): Promise<void> {
  const etag = headers.get("etag") ?? "";
  await onDisk(staged.etag, () =>
    STRONG_ETAG.test(etag) ? writeFile(staged.etag, etag) : rm(staged.etag, { force: true }),
  );
}

async function readEtag(staged: StagedFile): Promise<string | null> {
  const etag = await readFile(staged.etag, "utf8").catch(() => "");
  return STRONG_ETAG.test(etag) ? etag : null;
}

async function discard(staged: StagedFile): Promise<void> {
  await onDisk(staged.part, async () => {
    await rm(staged.part, { force: true });
    await rm(staged.etag, { force: true });
  });
}

/** Bytes of a file; 0 where there is none. */
async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function isStatus(error: unknown, status: number): boolean {
  return error instanceof Error && "status" in error && error.status === status;
}
