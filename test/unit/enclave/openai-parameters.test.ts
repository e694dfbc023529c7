/** The digest of the parameters as resolved: what a client has to make to compare. */
import { decodeCbor, DETERMINISTIC, encodeHex } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { encodeParameters, type TextParameters } from "../../../enclave/api/openai/parameters.ts";
import { openAiApp } from "../../fakes/openai-app.ts";
import { sha256 } from "../../fakes/served.ts";
import { createFakeText } from "../../fakes/text-model.ts";

const utf8 = new TextEncoder();

const PARAMETERS: TextParameters = {
  endpoint: "chat",
  choices: 2,
  seed: 7,
  maxTokens: 100,
  stop: ["END"],
  sampling: {
    temperature: 0.1,
    topP: 1,
    topK: 40,
    minP: 1e-7,
    frequencyPenalty: -0.5,
    presencePenalty: -0,
    repetitionPenalty: 1.05,
    logitBias: [
      [9, -1.5],
      [3, 100],
    ],
    topLogprobs: null,
  },
  constraintDigest: null,
  toolChoice: "auto",
  parallelToolCalls: true,
  template: { enable_thinking: false, a: "x" },
};

describe("the parameters", () => {
  it("are the map that is documented", () => {
    expect(decodeCbor(encodeParameters(PARAMETERS), DETERMINISTIC)).toEqual(
      new Map<string, unknown>([
        ["seed", 7],
        ["stop", ["END"]],
        ["tag", "countersign/parameters/v1"],
        ["topK", 40],
        ["topP", "1"],
        ["minP", "1e-7"],
        ["choices", 2],
        ["endpoint", "chat"],
        [
          "template",
          [
            ["a", '"x"'],
            ["enable_thinking", "false"],
          ],
        ],
        [
          "logitBias",
          [
            [3, "100"],
            [9, "-1.5"],
          ],
        ],
        ["maxTokens", 100],
        ["constraint", null],
        ["toolChoice", "auto"],
        ["temperature", "0.1"],
        ["topLogprobs", null],
        ["presencePenalty", "0"],
        ["frequencyPenalty", "-0.5"],
        ["parallelToolCalls", true],
        ["repetitionPenalty", "1.05"],
      ]),
    );
  });

  it("have these bytes for ever", () => {
    const embeddings = {
      endpoint: "embeddings",
      dimensions: 384,
      encodingFormat: "float",
    } as const;
    expect(encodeHex(sha256(encodeParameters(PARAMETERS)))).toMatchInlineSnapshot(
      `"a68214c67b4cba010470302bf59a82a94a553335d6cf891d7c3cf024063a07d9"`,
    );
    expect(encodeHex(sha256(encodeParameters(embeddings)))).toMatchInlineSnapshot(
      `"1dc0b81e00c76a1ee60989383c2d3bf8a845c62aee05eecc1fa16628ee023166"`,
    );
  });

  it("differ wherever anything does", () => {
    const { sampling } = PARAMETERS;
    const others: TextParameters[] = [
      { ...PARAMETERS, endpoint: "completions" },
      { ...PARAMETERS, choices: 1 },
      { ...PARAMETERS, seed: 8 },
      { ...PARAMETERS, maxTokens: 101 },
      { ...PARAMETERS, stop: [] },
      { ...PARAMETERS, constraintDigest: new Uint8Array(32) },
      { ...PARAMETERS, toolChoice: "none" },
      { ...PARAMETERS, parallelToolCalls: false },
      { ...PARAMETERS, template: {} },
      { ...PARAMETERS, sampling: { ...sampling, topLogprobs: 0 } },
      { ...PARAMETERS, sampling: { ...sampling, logitBias: [] } },
      ...(
        [
          "temperature",
          "topP",
          "topK",
          "minP",
          "frequencyPenalty",
          "presencePenalty",
          "repetitionPenalty",
        ] as const
      ).map((name) => ({ ...PARAMETERS, sampling: { ...sampling, [name]: sampling[name] + 1 } })),
    ];
    const digests = [PARAMETERS, ...others].map((each) => encodeHex(encodeParameters(each)));
    expect(new Set(digests).size).toBe(others.length + 1);
  });

  it("are in the receipt as the request and the model's defaults have them", async () => {
    const app = openAiApp([createFakeText({ script: () => [{ pieces: ["{}"] }] }).model]);
    const schema = { type: "object", properties: {}, additionalProperties: false };
    await app.client.chat.completions.create({
      model: "fake",
      messages: [{ role: "user", content: "x" }],
      seed: 5,
      max_tokens: 9,
      stop: "a",
      temperature: 0.25,
      response_format: { type: "json_schema", json_schema: { name: "n", schema } },
    });
    const constraint = [{ kind: "json-schema", schema }];
    const expected = encodeParameters({
      endpoint: "chat",
      choices: 1,
      seed: 5,
      maxTokens: 9,
      stop: ["a"],
      sampling: {
        temperature: 0.25,
        topP: 0.9,
        topK: 40,
        minP: 0,
        frequencyPenalty: 0,
        presencePenalty: 0,
        repetitionPenalty: 1,
        logitBias: [],
        topLogprobs: null,
      },
      constraintDigest: sha256(utf8.encode(JSON.stringify(constraint))),
      toolChoice: "none",
      parallelToolCalls: true,
      template: {},
    });
    expect(app.exchange().outcome.parameters).toEqual(sha256(expected));
  });
});
