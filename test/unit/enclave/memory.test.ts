import { describe, expect, it } from "vitest";
import type { LogFields } from "../../../enclave/log.ts";
import { neededBytes, requireMemory, type ModelSize } from "../../../enclave/models/memory.ts";

const MIB = 1_048_576;
const tensors = (graph: number, other = 0): ModelSize => ({
  kind: "tensors",
  graphBytes: graph * MIB,
  otherBytes: other * MIB,
});
const text = (graph: number, other = 0): ModelSize => ({ ...tensors(graph, other), kind: "text" });

describe("the memory that models need", () => {
  /** What the process took at its peak beyond what it had before, in MiB; cache of 24 MiB for text. */
  it.each<[string, ModelSize, number]>([
    ["digits", tensors(0.19), 54],
    ["one graph of 256 MiB", tensors(256), 603],
    ["one graph of 1 GiB", tensors(1024), 2167],
    ["1 GiB beside a graph", tensors(0, 1024), 2166],
    ["1 GiB beside a graph, in four tensors", tensors(0, 1024), 2357],
    ["guide", text(5.01, 0.12), 105],
    ["a decoder of 515 MiB", text(515), 1795],
    ["a decoder of 259 MiB", text(259), 988],
    ["a decoder with 515 MiB beside it", text(0, 515), 1271],
  ])("is at least what was measured, and not half as much again: %s", (_, model, measured) => {
    const cache = model.kind === "text" ? 24 : 0;
    const needed = neededBytes([model], 24 * MIB) / MIB;
    expect(needed).toBeGreaterThanOrEqual(measured + cache - 24);
    expect(needed).toBeLessThanOrEqual(1.5 * measured + cache + 128);
  });

  it("counts every model as loaded, and the largest once more as being loaded", () => {
    const one = neededBytes([tensors(100)], 0);
    const two = neededBytes([tensors(100), tensors(100)], 0);
    expect(two - one).toBe(125 * MIB);
    expect(neededBytes([tensors(100), tensors(200)], 0) - two).toBe((125 + 100) * MIB);
    expect(neededBytes([], 0)).toBe(128 * MIB);
  });

  it("counts the cache of text where there is text", () => {
    expect(neededBytes([tensors(1)], 1e12)).toBe(neededBytes([tensors(1)], 0));
    expect(neededBytes([tensors(1), text(1)], 1e12)).toBeGreaterThan(1e12);
  });

  it("is compared with what is there, to the byte, and both numbers are logged", () => {
    const lines: [string, LogFields | undefined][] = [];
    const log = (event: string, fields?: LogFields): void => {
      lines.push([event, fields]);
    };
    requireMemory(100, 100, log);
    expect(() => {
      requireMemory(101, 100, log);
    }).toThrow("boot/memory: the models need 101 bytes, and 100 are there");
    expect(() => {
      requireMemory(Number.MAX_VALUE, 0, log);
    }).toThrow("boot/memory");
    expect(lines[1]).toEqual(["memory", { needBytes: 101, haveBytes: 100 }]);
    expect(lines.length).toBe(3);
  });
});
