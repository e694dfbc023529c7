import { concatBytes, encodeUtf8 } from "@countersign/attestation/attester";
import type { Tensor } from "../engine/datatypes.ts";
import type { ServedModel } from "../models/served.ts";
import { encodeBinaryData } from "./binary-data.ts";
import { JSON_LENGTH_HEADER } from "./body.ts";
import type { InferRequest } from "./infer-request.ts";
import { encodeJsonData } from "./json-data.ts";
import { JSON_TYPE } from "./refusals.ts";

/**
 * The inference response JSON object, followed by the outputs that were asked for as binary data.
 *
 * The JSON is put together by hand: elements are the bulk of it, and 64-bit integers among them.
 *
 * @param tensors - one for each wanted output, in that order.
 * @throws {@link EnclaveError} `output/binary-only`.
 */
export function inferResponse(
  model: ServedModel,
  request: InferRequest,
  tensors: readonly Tensor[],
): Response {
  const outputs: string[] = [];
  const binary: Uint8Array[] = [];
  request.outputs.forEach(({ info, binary: asBinary }, i) => {
    const tensor = tensors[i];
    if (tensor === undefined) throw new TypeError("a wanted output is missing");
    const head = `{"name":${JSON.stringify(info.name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape.join(",")}],`;
    if (asBinary) {
      const bytes = encodeBinaryData(tensor);
      binary.push(bytes);
      outputs.push(`${head}"parameters":{"binary_data_size":${bytes.length}}}`);
    } else {
      outputs.push(`${head}"data":${encodeJsonData(info, tensor)}}`);
    }
  });
  const { id, version } = model.ref;
  const echo = request.id === null ? "" : `"id":${JSON.stringify(request.id)},`;
  const json = `{${echo}"model_name":${JSON.stringify(id)},"model_version":"${version}","outputs":[${outputs.join(",")}]}`;
  if (!request.outputs.some((output) => output.binary)) {
    return new Response(json, { headers: { "content-type": JSON_TYPE } });
  }
  const header = encodeUtf8(json);
  return new Response(concatBytes(header, ...binary), {
    headers: {
      "content-type": "application/octet-stream",
      [JSON_LENGTH_HEADER]: String(header.length),
    },
  });
}
