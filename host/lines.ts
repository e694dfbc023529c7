/**
 * Splits a stream of bytes into lines of at most `maxBytes`.
 *
 * A longer line is dropped whole and told to `dropped`, so that a writer without line ends costs
 * no memory.
 */
export function splitLines(
  maxBytes: number,
  line: (text: string) => void,
  dropped: () => void,
): (chunk: Uint8Array) => void {
  let pending = Buffer.alloc(0);
  let dropping = false;
  const take = (part: Uint8Array, ended: boolean): void => {
    if (!dropping && pending.length + part.length > maxBytes) {
      dropping = true;
      pending = Buffer.alloc(0);
      dropped();
    }
    if (!dropping) pending = Buffer.concat([pending, part]);
    if (!ended) return;
    if (!dropping) line(pending.toString("utf8"));
    pending = Buffer.alloc(0);
    dropping = false;
  };
  return (chunk) => {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end === -1) break;
      take(chunk.subarray(start, end), true);
      start = end + 1;
    }
    if (start < chunk.length) take(chunk.subarray(start), false);
  };
}
