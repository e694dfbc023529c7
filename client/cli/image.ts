import { Buffer } from "node:buffer";

import { PNG } from "pngjs";

import { CommandError } from "./exit.ts";
import type { Tensor } from "./tensor.ts";

/** How an image becomes a model's input; `metadata.json` of the model says so, never this client. */
export interface ImageMapping {
  readonly layout: "NCHW" | "NHWC";
  readonly channels: "gray" | "rgb";
  /** `contain` keeps the aspect and pads; `fill` stretches. */
  readonly fit: "contain" | "fill";
  /** The value, 0 to 255, of what an image does not cover. */
  readonly background: number;
  /** Whether to turn dark on light into light on dark; `auto` looks at the border. */
  readonly invert: boolean | "auto";
  /** The model's value is `v * scale + offset` for a `v` of 0 to 255. */
  readonly scale: number;
  readonly offset: number;
}

/** One plane of values, 0 to 255, row-major. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly values: Float64Array;
}

/** Pixels beyond which an image is refused before it is decoded: 64 megapixels. */
const MAX_PIXELS = 64 * 1024 * 1024;
const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** PNG §11.2.1: width and height are the first two fields of IHDR, which is the first chunk. */
const PNG_WIDTH_OFFSET = 16;
/** Rec. 601 luma, in thousandths. */
const LUMA = [299, 587, 114] as const;
const MIDDLE = 127;

/** Whether `bytes` begin like a PNG. */
export function looksLikePng(bytes: Uint8Array): boolean {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** The input tensor that `mapping` makes of a PNG. @throws CommandError where it cannot. */
export function tensorFromPng(
  bytes: Uint8Array,
  input: { readonly name: string; readonly datatype: string; readonly shape: readonly number[] },
  mapping: ImageMapping,
): Tensor {
  const { width, height } = requireImageShape(input, mapping);
  const planes = decodePlanes(bytes, mapping.channels);
  const inverted = isInverted(planes, mapping.invert);
  const fitted = planes.map((plane) => {
    const source = inverted ? invertPlane(plane) : plane;
    return fitPlane(source, width, height, mapping.fit, mapping.background);
  });
  const values = interleave(fitted, mapping.layout).map((v) => v * mapping.scale + mapping.offset);
  const rounded = input.datatype.startsWith("FP") ? values : values.map(Math.round);
  const shape =
    mapping.layout === "NCHW"
      ? [1, planes.length, height, width]
      : [1, height, width, planes.length];
  return { name: input.name, datatype: input.datatype, shape, data: rounded };
}

/** Gray or red, green and blue planes of a PNG, over white. @throws CommandError unless it is one. */
export function decodePlanes(bytes: Uint8Array, channels: "gray" | "rgb"): readonly Plane[] {
  const { width, height, data } = decodePng(bytes);
  const rgb = [0, 1, 2].map((channel) => {
    const values = new Float64Array(width * height);
    for (let i = 0; i < values.length; i++) {
      const alpha = (data[4 * i + 3] ?? 0) / 255;
      values[i] = (data[4 * i + channel] ?? 0) * alpha + 255 * (1 - alpha);
    }
    return { width, height, values };
  });
  if (channels === "rgb") return rgb;
  const values = new Float64Array(width * height);
  for (let i = 0; i < values.length; i++) {
    let sum = 0;
    for (const [channel, weight] of LUMA.entries()) sum += weight * (rgb[channel]?.values[i] ?? 0);
    values[i] = sum / 1000;
  }
  return [{ width, height, values }];
}

/** `plane` resized by area averaging into `width` × `height`. */
export function fitPlane(
  plane: Plane,
  width: number,
  height: number,
  fit: "contain" | "fill",
  background: number,
): Plane {
  const ratio = Math.min(width / plane.width, height / plane.height);
  const innerWidth = fit === "fill" ? width : Math.max(1, Math.round(plane.width * ratio));
  const innerHeight = fit === "fill" ? height : Math.max(1, Math.round(plane.height * ratio));
  const inner = averageArea(plane, innerWidth, innerHeight);
  const left = Math.floor((width - innerWidth) / 2);
  const top = Math.floor((height - innerHeight) / 2);
  const values = new Float64Array(width * height).fill(background);
  for (let y = 0; y < innerHeight; y++) {
    const row = inner.values.subarray(y * innerWidth, (y + 1) * innerWidth);
    values.set(row, (y + top) * width + left);
  }
  return { width, height, values };
}

/** Whether the picture is dark on light, where `invert` leaves that to the picture. */
export function isInverted(planes: readonly Plane[], invert: boolean | "auto"): boolean {
  if (invert !== "auto") return invert;
  let sum = 0;
  let count = 0;
  for (const { width, height, values } of planes) {
    for (let i = 0; i < values.length; i++) {
      const x = i % width;
      const y = (i - x) / width;
      if (x > 0 && x < width - 1 && y > 0 && y < height - 1) continue;
      sum += values[i] ?? 0;
      count += 1;
    }
  }
  return sum / count > MIDDLE;
}

function decodePng(bytes: Uint8Array): PNG {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < PNG_WIDTH_OFFSET + 8) throw new CommandError("the PNG is cut short");
  const pixels = view.getUint32(PNG_WIDTH_OFFSET) * view.getUint32(PNG_WIDTH_OFFSET + 4);
  if (pixels > MAX_PIXELS) {
    throw new CommandError(`the image has ${pixels} pixels, at most ${MAX_PIXELS} are read`);
  }
  try {
    return PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(`the PNG cannot be read: ${reason}`);
  }
}

function requireImageShape(
  input: { readonly name: string; readonly shape: readonly number[] },
  { layout, channels }: ImageMapping,
): { readonly width: number; readonly height: number } {
  const [c, h, w] = layout === "NCHW" ? [1, 2, 3] : [3, 1, 2];
  const height = input.shape[h] ?? -1;
  const width = input.shape[w] ?? -1;
  const planes = input.shape[c] ?? -1;
  const wanted = channels === "gray" ? 1 : 3;
  if (input.shape.length !== 4 || height < 1 || width < 1 || (planes !== wanted && planes !== -1)) {
    throw new CommandError(
      `the model's input "${input.name}" has shape [${input.shape.join(", ")}], which is no ${channels} ${layout} image`,
      "the model's metadata.json does not fit its file; send JSON tensors instead",
    );
  }
  return { width, height };
}

function invertPlane({ width, height, values }: Plane): Plane {
  return { width, height, values: values.map((v) => 255 - v) };
}

/** Each target pixel is the mean of the source area that it covers, edges counted by their share. */
function averageArea(plane: Plane, width: number, height: number): Plane {
  const rows = averageRows(plane, width);
  const turned = averageRows(transpose(rows), height);
  return transpose(turned);
}

function averageRows({ width, height, values }: Plane, target: number): Plane {
  const averaged = new Float64Array(target * height);
  const step = width / target;
  for (let x = 0; x < target; x++) {
    const from = x * step;
    const to = Math.min(width, (x + 1) * step);
    for (let source = Math.floor(from); source < to; source++) {
      const share = Math.min(source + 1, to) - Math.max(source, from);
      for (let y = 0; y < height; y++) {
        const before = averaged[y * target + x] ?? 0;
        averaged[y * target + x] =
          before + ((values[y * width + source] ?? 0) * share) / (to - from);
      }
    }
  }
  return { width: target, height, values: averaged };
}

function transpose({ width, height, values }: Plane): Plane {
  const turned = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const x = i % width;
    turned[x * height + (i - x) / width] = values[i] ?? 0;
  }
  return { width: height, height: width, values: turned };
}

function interleave(planes: readonly Plane[], layout: "NCHW" | "NHWC"): number[] {
  if (layout === "NCHW") return planes.flatMap((plane) => [...plane.values]);
  const pixels = planes[0]?.values.length ?? 0;
  const values: number[] = [];
  for (let i = 0; i < pixels; i++) for (const plane of planes) values.push(plane.values[i] ?? 0);
  return values;
}
