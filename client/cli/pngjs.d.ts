// pngjs brings no types of its own; these are the parts of it that we use.
declare module "pngjs" {
  import type { Buffer } from "node:buffer";

  export class PNG {
    readonly width: number;
    readonly height: number;
    /** RGBA, eight bits a channel, rows from the top. */
    data: Buffer;
    constructor(options: { readonly width: number; readonly height: number });
    static readonly sync: {
      read(bytes: Buffer, options?: { readonly checkCRC?: boolean }): PNG;
      write(image: PNG): Buffer;
    };
  }
}
