/** What opened sealed models is not there any more when they are served. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { KeyRelease } from "../../../enclave/keys/release.ts";
import { loadModels } from "../../../enclave/models/load.ts";
import type { ServedModels } from "../../../enclave/models/served.ts";
import { heldKeys } from "../../fakes/key-services.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";
import { sealModels } from "../../fakes/sealed-files.ts";
import { fetchFrom, TEST_OPTIONS } from "../../fakes/served.ts";

setFlagsFromString("--expose-gc");
const collect: unknown = runInNewContext("gc");

/** Whether somebody holds what `weak` is of, when all else has gone. */
async function isHeld(weak: WeakRef<object>): Promise<boolean> {
  if (typeof collect !== "function") throw new TypeError("no garbage collector to call");
  // What was looked at in one turn is held until the next (ECMA-262 §9.9).
  await new Promise((resolve) => setTimeout(resolve, 0));
  Reflect.apply(collect, undefined, []);
  return weak.deref() !== undefined;
}

/** Serves a sealed model; of who gave its key, nothing is held here. */
async function served(): Promise<{
  readonly models: ServedModels;
  readonly keys: WeakRef<KeyRelease>;
}> {
  const key = new Uint8Array(32).fill(5);
  const { provisioning, stored } = sealModels(
    [{ id: "s", files: { "model.onnx": identityModel("FP32", [2]) } }],
    key,
  );
  const keys = heldKeys(() => key);
  const models = await loadModels(provisioning, fetchFrom(stored), { ...TEST_OPTIONS, keys });
  return { models, keys: new WeakRef(keys) };
}

it("an engine that runs holds nothing of what gave the keys: no key to ask with, no credentials", async () => {
  const { models, keys } = await served();
  try {
    expect(await isHeld(keys)).toBe(false);
    expect(models.refs).toHaveLength(1);
  } finally {
    await models.close();
  }
});

it("what is held would be found", async () => {
  const { models, keys } = await served();
  const held = keys.deref();
  await models.close();
  expect(await isHeld(keys)).toBe(true);
  expect(held).toBeDefined();
});
