/** Debian's Chromium without a window, and a page in which nothing may go wrong unseen. */
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

/** Where distributions put it, unless the variable says where it is. */
const { CHROMIUM } = process.env;
const PLACES =
  CHROMIUM === undefined ? ["/usr/bin/chromium", "/usr/bin/chromium-browser"] : [CHROMIUM];

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // It reaches this machine, whatever a page or the environment asks for.
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

const EXECUTABLE = PLACES.find((path) => existsSync(path)) ?? null;

/** For `describe.skipIf`: whether there is no Chromium; says so when there is none. */
export function noChromium(): boolean {
  if (EXECUTABLE === null) {
    console.warn(`skipped: no Chromium at ${PLACES.join(" or ")}; the variable CHROMIUM names one`);
  }
  return EXECUTABLE === null;
}

/** A browser with an empty profile of its own, which goes when it is closed. */
export async function launchChromium(): Promise<Browser> {
  if (EXECUTABLE === null) throw new TypeError("there is no Chromium to launch");
  return await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGUMENTS });
}

export interface WatchedPage {
  readonly page: Page;
  /** Exceptions that nobody caught, errors on the console, requests that failed; in their order. */
  readonly troubles: readonly string[];
}

export async function openPage(browser: Browser, url: string): Promise<WatchedPage> {
  const page = await browser.newPage();
  const troubles: string[] = [];
  page.on("pageerror", (error) => troubles.push(`uncaught: ${String(error)}`));
  page.on("crash", () => troubles.push("the page crashed"));
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(`console: ${message.text()}`);
  });
  page.on("requestfailed", (request) => {
    troubles.push(`failed: ${request.url()}: ${request.failure()?.errorText ?? "no reason"}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) troubles.push(`${response.status()}: ${response.url()}`);
  });
  await page.goto(url);
  return { page, troubles };
}

/** @throws what went wrong in the page; for `afterEach`. */
export function requireNoTrouble({ troubles }: WatchedPage): void {
  if (troubles.length > 0) throw new Error(`in the page: ${troubles.join("; ")}`);
}
