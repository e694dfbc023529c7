// Names of the browser's that onnxruntime-common's types mention. Nothing here is used.

declare global {
  interface HTMLImageElement {
    readonly browser: never;
  }
  interface ImageBitmap {
    readonly browser: never;
  }
  interface ImageData {
    readonly browser: never;
  }
  interface WebGLRenderingContext {
    readonly browser: never;
  }
  interface WebGLTexture {
    readonly browser: never;
  }
}

export {};
