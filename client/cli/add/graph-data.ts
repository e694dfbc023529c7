import { open } from "node:fs/promises";

import { CommandError } from "../exit.ts";

/**
 * The names of the files that hold an ONNX graph's weights, where they lie outside it.
 *
 * A tensor names its file in an entry of `external_data`: a message of two strings, the first of them
 * "location" (onnx.proto, TensorProto field 13, StringStringEntryProto). The entries are found by their
 * bytes: whoever reads the graph for good does so in the enclave. A name that was missed, or found by
 * mistake, makes a model that is refused there or here, never another one.
 *
 * @throws CommandError where there are more than any export has.
 */
export async function externalFiles(graph: string): Promise<readonly string[]> {
  const names = new Set<string>();
  const handle = await open(graph);
  const window = Buffer.alloc(OVERLAP_BYTES + READ_BYTES);
  let kept = 0;
  try {
    for (;;) {
      const { bytesRead } = await handle.read(window, kept, READ_BYTES, null);
      const held = window.subarray(0, kept + bytesRead);
      collect(held, names);
      if (names.size > MAX_NAMES) throw new CommandError(`the graph names over ${MAX_NAMES} files`);
      if (bytesRead === 0) return [...names];
      const rest = held.subarray(Math.max(held.length - OVERLAP_BYTES, 0));
      kept = rest.length;
      rest.copy(window);
    }
  } finally {
    await handle.close();
  }
}

const READ_BYTES = 4 * 1024 * 1024;
/** An entry that the end of one read cuts is whole in the next: key, tags, length and name. */
const OVERLAP_BYTES = 512;
const MAX_NAMES = 256;
/** Field 1, a string of eight bytes, "location"; then the tag of field 2. */
const ENTRY: Buffer = Buffer.from("\u000a\u0008location\u0012", "latin1");
/** A longer name has a length of two bytes, which no export writes. */
const MAX_NAME_BYTES = 127;

function collect(bytes: Buffer, names: Set<string>): void {
  for (let at = bytes.indexOf(ENTRY); at !== -1; at = bytes.indexOf(ENTRY, at + 1)) {
    const start = at + ENTRY.length + 1;
    const length = bytes[start - 1];
    if (length === undefined || length > MAX_NAME_BYTES || start + length > bytes.length) continue;
    names.add(bytes.toString("utf8", start, start + length));
  }
}
