/** What stands between a fetched file and a served one: the commit, the room, nothing else in the tree. */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CommandError } from "../../../client/cli/exit.ts";
import { type FakeHub, REPOSITORY, repeated, startHub } from "../../fakes/hub.ts";
import { exportFiles, FULL } from "./model-add-files.ts";
import { createWorld, type World } from "./model-add-world.ts";
import { rejection } from "./rejection.ts";

const SOURCE = `hf:${REPOSITORY}`;
const DATA = "onnx/model.onnx_data";
/** More than any disk has, and still a size. */
const HUGE_BYTES = 2 ** 52;

let hub: FakeHub;
let world: World;

beforeEach(async () => {
  hub = await startHub(exportFiles());
  world = await createWorld(hub.url);
});

afterEach(async () => {
  await hub.close();
  await rm(world.repository, { recursive: true });
});

async function refused(): Promise<string> {
  return (await rejection(world.add(SOURCE), CommandError)).message;
}

describe("model add, on the way into its place", () => {
  it("refuses a file that the hub says is of another commit", async () => {
    hub.faults.set("/config.json", [{ kind: "other-commit" }]);
    expect(await refused()).toContain(`of commit ${"f".repeat(40)}, and not of ${hub.commit}`);
  });

  it("fetches nothing where the disk has no room for it", async () => {
    hub.mangle = (listing) => {
      const siblings: unknown = JSON.parse(JSON.stringify(listing["siblings"]), (key, value) =>
        key === "size" && value > 100_000 ? HUGE_BYTES : (value as unknown),
      );
      return { ...listing, siblings };
    };
    expect(await refused()).toContain("of the model are missing, and");
    expect(hub.seen.filter(({ path }) => path.includes("/resolve/"))).toEqual([]);
  });

  it("leaves out what an earlier run left in the tree", async () => {
    hub.faults.set(`${DATA}@cdn`, repeated(6, { kind: "status", status: 503 }));
    expect(await refused()).toContain("answered 503");
    const [staged = ""] = await readdir(world.repository);
    for (const name of ["stray.txt", ".hidden"]) {
      await writeFile(join(world.repository, staged, "tree", name), "x");
    }
    const { model } = await world.add(SOURCE);
    expect(model.files.map(({ path }) => path).toSorted()).toEqual(FULL);
  });
});
