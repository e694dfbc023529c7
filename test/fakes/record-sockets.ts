/**
 * Loaded into a host by `node --import`: writes every byte that crosses one of its sockets, either way,
 * to the file that COUNTERSIGN_RECORD names. What an operator who reads his own machine would see.
 *
 * The variable comes with NODE_OPTIONS to every process below; only the host's records. Its enclave has
 * an environment of its own and never loads this.
 */
import { openSync, writeSync } from "node:fs";
import { Server } from "node:http";
import { Socket } from "node:net";
import { Readable } from "node:stream";

const file = process.env["COUNTERSIGN_RECORD"];
if (file !== undefined && process.argv[1]?.endsWith("/host/main.ts") === true) record(file);

function record(path: string): void {
  const out = openSync(path, "a");
  const keep = (chunk: unknown, encoding: unknown): void => {
    if (chunk instanceof Uint8Array) writeSync(out, chunk);
    else if (typeof chunk === "string") {
      writeSync(
        out,
        Buffer.from(chunk, Buffer.isEncoding(String(encoding)) ? asEncoding(encoding) : "utf8"),
      );
    }
  };
  const sockets = Socket.prototype;
  // oxlint-disable-next-line unbound-method -- called with the socket below
  const { _write: write, _writev: writev } = sockets;
  sockets._write = function recordWrite(this: Socket, chunk, encoding, done) {
    keep(chunk, encoding);
    write.call(this, chunk, encoding, done);
  };
  if (writev !== undefined) {
    sockets._writev = function recordWrites(this: Socket, chunks, done) {
      for (const { chunk, encoding } of chunks) keep(chunk, encoding);
      writev.call(this, chunks, done);
    };
  }
  sockets.push = function recordRead(this: Socket, chunk: unknown, encoding?: BufferEncoding) {
    keep(chunk, encoding);
    return Readable.prototype.push.call(this, chunk, encoding);
  };
  // oxlint-disable-next-line unbound-method -- called with the server below
  const { emit } = Server.prototype;
  // An HTTP server's parser reads from the handle itself, past the socket, unless somebody else does.
  Server.prototype.emit = function recordAll(this: Server, event: string, ...rest: unknown[]) {
    const [socket] = rest;
    if (event === "connection" && socket instanceof Socket && "_handle" in socket) {
      const { _handle: handle } = socket;
      if (typeof handle === "object" && handle !== null) Object.assign(handle, { _consumed: true });
    }
    return Reflect.apply(emit, this, [event, ...rest]) === true;
  };
}

function asEncoding(encoding: unknown): BufferEncoding {
  // oxlint-disable-next-line no-unsafe-type-assertion -- Buffer.isEncoding has said so
  return encoding as BufferEncoding;
}
