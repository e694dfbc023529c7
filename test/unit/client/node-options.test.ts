import { describe, expect, it } from "vitest";

import { parseArguments as parseWords } from "../../../client/cli/arguments.ts";
import { NODE_OPTIONS, nodeCommand, nodeWords } from "../../../client/cli/commands/node.ts";
import { parseArguments, USAGE } from "../../../host/args.ts";

const MEMORY_BYTES = 8 * 1024 ** 3;
/** Made for tests of clients, which must refuse it. */
const NOT_OFFERED: readonly string[] = ["simulate-debug", "help"];

describe("the options of a node", () => {
  it("are all that the host has", () => {
    const hosts = [...USAGE.matchAll(/^ {2}--([a-z-]+)/gmu)].map(([, name = ""]) => name);
    const ours = nodeCommand.options.map(({ name }) => name);
    expect(hosts.length).toBeGreaterThan(NOT_OFFERED.length);
    expect(ours.toSorted()).toEqual(hosts.filter((name) => !NOT_OFFERED.includes(name)).toSorted());
  });

  it("reach the host", () => {
    const given = ["--epoch-seconds", "60", "--max-body", "4096", "--max-inflight", "3"];
    const text = ["--cache-mib", "7", "--batch", "5"];
    const args = parseWords([...given, ...text], NODE_OPTIONS, [0, 0, ""]);
    const invocation = parseArguments(nodeWords(args), "/", MEMORY_BYTES);
    expect(invocation).toMatchObject({
      options: {
        epochSeconds: 60,
        maxBodyBytes: 4096,
        maxInFlight: 3,
        cacheBytes: 7 * 1024 ** 2,
        maxSequences: 5,
      },
    });
  });
});
