// A name of the page's that onnxruntime-common's types mention and a worker's library does not have.

declare global {
  interface HTMLImageElement {
    readonly browser: never;
  }
}

export {};
