import { encodeUtf8 } from "@countersign/attestation";
import { encodeRequestPreamble, encodeResponsePreamble } from "@countersign/protocol";
import { describe, expect, it } from "vitest";

import { CommandError } from "../../../client/cli/exit.ts";
import { decodeOpening } from "../../../client/cli/opening.ts";
import { rejection } from "./rejection.ts";

const KC = new Uint8Array(32);
const REQUEST = encodeRequestPreamble({
  method: "POST",
  scheme: "https",
  authority: "",
  path: "/v2",
  headers: [["x-mine", "1"]],
});
const RESPONSE = encodeResponsePreamble(400, []);

describe("decodeOpening", () => {
  it("reads both messages", async () => {
    const request = [REQUEST, encodeUtf8("a"), encodeUtf8("b")];
    const opened = await decodeOpening({ kc: KC, request, response: [RESPONSE] });
    expect(opened.request).toEqual({
      method: "POST",
      path: "/v2",
      headers: [["x-mine", "1"]],
      content: encodeUtf8("ab"),
    });
    expect(opened.response).toMatchObject({ status: 400, content: new Uint8Array(0) });
  });

  it("reads a refusal that came before the request", async () => {
    const opened = await decodeOpening({ kc: KC, request: [], response: [RESPONSE] });
    expect(opened.request).toBeNull();
    expect(opened.response.status).toBe(400);
  });

  it("rejects leaves that are no messages", async () => {
    const opening = { kc: KC, request: [encodeUtf8("?")], response: [RESPONSE] };
    const error = await rejection(decodeOpening(opening), CommandError);
    expect(error.exitCode).toBe(1);
  });
});
