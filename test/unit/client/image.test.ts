import { crc32, deflateSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import {
  decodePlanes,
  fitPlane,
  type ImageMapping,
  isInverted,
  type Plane,
  tensorFromPng,
} from "../../../client/cli/image.ts";

const GRAY: ImageMapping = {
  layout: "NCHW",
  channels: "gray",
  fit: "contain",
  background: 0,
  invert: false,
  scale: 1,
  offset: 0,
};

/** A PNG of eight bits a channel with alpha, every row unfiltered (PNG §5, §11.2). */
function png(width: number, height: number, pixel: (x: number, y: number) => number[]): Uint8Array {
  const rows: number[] = [];
  for (let y = 0; y < height; y++) {
    rows.push(0);
    for (let x = 0; x < width; x++) {
      const [r = 0, g = 0, b = 0, a = 255] = pixel(x, y);
      rows.push(r, g, b, a);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  const chunks = [
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.from(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ];
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return new Uint8Array(Buffer.concat([signature, ...chunks]));
}

function chunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(content.length, 0);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

function gray(width: number, height: number, values: readonly number[]): Uint8Array {
  return png(width, height, (x, y) => {
    const v = values[y * width + x] ?? 0;
    return [v, v, v, 255];
  });
}

function input(
  shape: readonly number[],
  datatype = "FP32",
): { name: string; datatype: string; shape: readonly number[] } {
  return { name: "image", datatype, shape };
}

function plane(width: number, height: number, values: readonly number[]): Plane {
  return { width, height, values: Float64Array.from(values) };
}

describe("decodePlanes", () => {
  it("weighs colours as Rec. 601", () => {
    const bytes = png(
      3,
      1,
      (x) =>
        [
          [255, 0, 0],
          [0, 255, 0],
          [0, 0, 255],
        ][x] ?? [],
    );
    const [plane0] = decodePlanes(bytes, "gray");
    expect([...(plane0?.values ?? [])].map((v) => Math.round(v * 1000) / 1000)).toEqual([
      76.245, 149.685, 29.07,
    ]);
  });

  it("puts transparent pixels on white", () => {
    const bytes = png(2, 1, (x) => (x === 0 ? [0, 0, 0, 0] : [0, 0, 0, 51]));
    expect([...(decodePlanes(bytes, "gray")[0]?.values ?? [])]).toEqual([255, 204]);
  });

  it("keeps the three colours apart", () => {
    const planes = decodePlanes(
      png(1, 1, () => [1, 2, 3]),
      "rgb",
    );
    expect(planes.map(({ values }) => [...values])).toEqual([[1], [2], [3]]);
  });

  it("refuses what is no PNG, or a cut one", () => {
    const bytes = gray(4, 4, []);
    expect(() => decodePlanes(bytes.slice(0, 40), "gray")).toThrow(/PNG/u);
    expect(() => decodePlanes(bytes.slice(0, 10), "gray")).toThrow("cut short");
  });

  it("refuses a picture too large to decode, before it decodes it", () => {
    const bytes = gray(1, 1, [0]);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(16, 100_000);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(20, 100_000);
    expect(() => decodePlanes(bytes, "gray")).toThrow("pixels");
  });
});

describe("fitPlane", () => {
  it("leaves a plane of the right size as it is", () => {
    const values = [1, 2, 3, 4];
    expect([...fitPlane(plane(2, 2, values), 2, 2, "contain", 9).values]).toEqual(values);
  });

  it("averages areas when it shrinks", () => {
    const source = plane(4, 2, [0, 10, 20, 30, 40, 50, 60, 70]);
    expect([...fitPlane(source, 2, 1, "contain", 0).values]).toEqual([25, 45]);
  });

  it("counts pixels on an edge by their share", () => {
    // Three pixels onto two: each target covers one and a half.
    expect([...fitPlane(plane(3, 1, [0, 30, 60]), 2, 1, "fill", 0).values]).toEqual([10, 50]);
  });

  it("repeats pixels when it grows", () => {
    expect([...fitPlane(plane(1, 1, [7]), 2, 2, "contain", 0).values]).toEqual([7, 7, 7, 7]);
  });

  it("keeps the aspect, centred, on the background", () => {
    const wide = fitPlane(
      plane(
        4,
        2,
        Array.from({ length: 8 }, () => 5),
      ),
      4,
      4,
      "contain",
      1,
    );
    expect([...wide.values]).toEqual([1, 1, 1, 1, 5, 5, 5, 5, 5, 5, 5, 5, 1, 1, 1, 1]);
    const tall = fitPlane(plane(1, 4, [5, 5, 5, 5]), 4, 4, "contain", 1);
    expect([...tall.values]).toEqual([1, 5, 1, 1, 1, 5, 1, 1, 1, 5, 1, 1, 1, 5, 1, 1]);
  });

  it("stretches where it is to fill", () => {
    expect([...fitPlane(plane(1, 2, [1, 3]), 2, 2, "fill", 0).values]).toEqual([1, 1, 3, 3]);
  });
});

describe("isInverted", () => {
  it("looks at the border alone", () => {
    const lightBorder = plane(3, 3, [255, 255, 255, 255, 0, 255, 255, 255, 255]);
    const darkBorder = plane(3, 3, [0, 0, 0, 0, 255, 0, 0, 0, 0]);
    expect(isInverted([lightBorder], "auto")).toBe(true);
    expect(isInverted([darkBorder], "auto")).toBe(false);
    expect(isInverted([lightBorder], false)).toBe(false);
    expect(isInverted([darkBorder], true)).toBe(true);
  });

  it("needs a mean above the middle", () => {
    expect(isInverted([plane(1, 1, [127])], "auto")).toBe(false);
    expect(isInverted([plane(1, 1, [127.5])], "auto")).toBe(true);
  });
});

describe("tensorFromPng", () => {
  it("scales as the model says", () => {
    const mapping = { ...GRAY, scale: 1 / 255, offset: -0.5 };
    const tensor = tensorFromPng(gray(2, 2, [0, 255, 0, 255]), input([-1, 1, 2, 2]), mapping);
    expect(tensor).toEqual({
      name: "image",
      datatype: "FP32",
      shape: [1, 1, 2, 2],
      data: [-0.5, 0.5, -0.5, 0.5],
    });
  });

  it("turns dark ink on paper into light on dark, and pads with the model's background", () => {
    const ink = gray(3, 3, [255, 255, 255, 255, 0, 255, 255, 255, 255]);
    const tensor = tensorFromPng(ink, input([1, 1, 3, 5]), { ...GRAY, invert: "auto" });
    expect(tensor.data).toEqual([0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("orders channels as the layout says", () => {
    const colours = png(2, 1, (x) => (x === 0 ? [1, 2, 3] : [4, 5, 6]));
    const rgb = { ...GRAY, channels: "rgb" } as const;
    expect(tensorFromPng(colours, input([1, 3, 1, 2]), rgb).data).toEqual([1, 4, 2, 5, 3, 6]);
    const last = { ...rgb, layout: "NHWC" } as const;
    expect(tensorFromPng(colours, input([1, 1, 2, 3]), last).data).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("rounds for integer inputs", () => {
    const tensor = tensorFromPng(gray(2, 1, [0, 1]), input([1, 1, 1, 1], "UINT8"), GRAY);
    expect(tensor.data).toEqual([1]);
  });

  it.each([[[1, 28, 28]], [[1, 3, 8, 8]], [[1, 1, -1, 8]]])("refuses shape %j", (shape) => {
    expect(() => tensorFromPng(gray(1, 1, [0]), input(shape), GRAY)).toThrow("no gray NCHW image");
  });
});
