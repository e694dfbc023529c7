import { describe, expect, it } from "vitest";
import { modelOfPath } from "@countersign/attestation";

describe("the model that a path names", () => {
  it.each([
    ["/v2/models/digits/infer", { id: "digits", version: null }],
    ["/v2/models/digits/infer?trace=1", { id: "digits", version: null }],
    ["/v2/models/digits/versions/3/infer", { id: "digits", version: "3" }],
    ["/v2/models/a%2Eb/versions/%33/infer", { id: "a.b", version: "3" }],
    ["/v2/models/%zz/infer", { id: "%zz", version: null }],
    ["/v2/models/digits", null],
    ["/v2/models/digits/versions/3/ready", null],
    ["/v2", null],
  ])("%s", (path, asked) => {
    expect(modelOfPath(path)).toEqual(asked);
  });
});
