import { describe, expect, it } from "vitest";
import { parseModule } from "./declarations.ts";
import { rollUp } from "./rollup.ts";

/** The rollup of `index.d.ts` among `modules`, line by line, without blank ones. */
function rolled(modules: Readonly<Record<string, string>>): readonly string[] {
  const read = (path: string): string => {
    const text = modules[path];
    if (text === undefined) throw new Error(`no module ${path}`);
    return text;
  };
  return rollUp("index.d.ts", read)
    .split("\n")
    .filter((line) => line !== "");
}

describe("a rollup", () => {
  it("has what the index exports by name, then what that mentions, and nothing else", () => {
    const modules = {
      "index.d.ts": 'export { type B, a } from "./a.ts";\nexport type { C } from "./sub/c.ts";\n',
      "a.d.ts": [
        'import { type Own, unused } from "./own.ts";',
        "/** B. */",
        "export interface B {",
        "    // a note",
        "    readonly own: /* here */ Own;",
        "",
        "    readonly left: readonly B[];",
        "}",
        "export declare const LIMIT = 3;",
        "export declare function a(own: B, more?: typeof LIMIT): void;",
        "export interface Unseen {",
        "}",
      ].join("\n"),
      "own.d.ts": "declare const tag: unique symbol;\nexport type Own = {\n    [tag]: 1;\n};\n",
      "sub/c.d.ts": 'import type { Own } from "../own.ts";\nexport type C = Own;\nexport {};\n',
    };
    expect(rolled(modules)).toEqual([
      "export interface B {",
      "    readonly own: Own;",
      "    readonly left: readonly B[];",
      "}",
      "export type C = Own;",
      "export declare function a(own: B, more?: typeof LIMIT): void;",
      "declare const LIMIT = 3;",
      "type Own = {",
      "    [tag]: 1;",
      "};",
      "declare const tag: unique symbol;",
      "export {};",
    ]);
  });

  it("names what comes from other packages, and follows exports to where they are from", () => {
    const modules = {
      "index.d.ts": 'export { f } from "./one.ts";\nexport declare const own: number;\n',
      "one.d.ts": 'export { f } from "./two.ts";\n',
      "two.d.ts":
        'import type { B, A } from "@countersign/attestation";\nimport { C } from "node:net";\n' +
        "export declare function f(a: A): C;\nexport declare function f(b: B): void;\n",
    };
    expect(rolled(modules)).toEqual([
      'import type { A, B } from "@countersign/attestation";',
      'import type { C } from "node:net";',
      "export declare function f(a: A): C;",
      "export declare function f(b: B): void;",
      "export declare const own: number;",
      "export {};",
    ]);
  });

  it("tells a class that is exported from one that is so as a type only", () => {
    const two = "export declare class A {\n    #private;\n}\n";
    const as = (list: string): readonly string[] =>
      rolled({ "index.d.ts": `export ${list} from "./a.ts";\n`, "a.d.ts": two });
    expect(as("{ A }")[0]).toBe("export declare class A {");
    for (const list of ["{ type A }", "type { A }"]) {
      expect(as(list)).toEqual([
        "declare class A {",
        "    #private;",
        "}",
        "export type { A };",
        "export {};",
      ]);
    }
  });

  it("takes a type from either branch of a condition, and none from the name of a member", () => {
    const modules = {
      "index.d.ts": 'export { X, Y } from "./a.ts";\n',
      "a.d.ts": [
        "type Yes = 1;",
        "type No = 2;",
        "type label = 3;",
        "type call = 4;",
        "type field = 5;",
        "export type X<T> = T extends 0 ? Yes : No;",
        "export type Y = { field?: [label: 1]; call(label: 2): typeof self.field; };",
      ].join("\n"),
    };
    const names = rolled(modules).map((line) =>
      line.split(" ").at(line.startsWith("export t") ? 2 : 1),
    );
    expect(names).toEqual(["X<T>", "Y", "No", "Yes", "{};"]);
  });

  it.each<[string, Readonly<Record<string, string>>, string]>([
    [
      "one name for two declarations",
      {
        "index.d.ts": 'export { A } from "./a.ts";\nexport { B } from "./b.ts";\n',
        "a.d.ts": "interface Same {\n}\nexport type A = Same;\n",
        "b.d.ts": "interface Same {\n}\nexport type B = Same;\n",
      },
      "Same has two meanings",
    ],
    [
      "one name for a declaration and an import",
      {
        "index.d.ts": 'export { A } from "./a.ts";\nexport { B } from "./b.ts";\n',
        "a.d.ts": 'import type { Same } from "hono";\nexport type A = Same;\n',
        "b.d.ts": "interface Same {\n}\nexport type B = Same;\n",
      },
      "Same has two meanings",
    ],
    [
      "a name that is not there",
      { "index.d.ts": 'export { A } from "./a.ts";\n', "a.d.ts": "" },
      "a.d.ts does not export A",
    ],
    [
      "a name that its module keeps",
      { "index.d.ts": 'export { A } from "./a.ts";\n', "a.d.ts": "type A = 1;\n" },
      "a.d.ts does not export A",
    ],
    [
      "a package passed on",
      { "index.d.ts": 'export { A } from "hono";\n' },
      "is no module beside it",
    ],
    [
      "one name exported twice",
      {
        "index.d.ts": 'export { A } from "./a.ts";\nexport { A } from "./a.ts";\n',
        "a.d.ts": "export type A = 1;\n",
      },
      "exports A twice",
    ],
  ])("is refused: %s", (_, modules, message) => {
    expect(() => rolled(modules)).toThrow(message);
  });
});

describe("a declaration file", () => {
  it.each([
    'export * from "./a.ts";',
    'export * as a from "./a.ts";',
    'export { a as b } from "./a.ts";',
    'export { default } from "./a.ts" with { a: "b" };',
    "export { a };",
    "export type { a };",
    'import a from "./a.ts";',
    'import * as a from "./a.ts";',
    'import "./a.ts";',
    'import { type a as b } from "./a.ts";',
    "export default a;",
    "export = a;",
    "declare let a: number;",
    "declare var a: number;",
    "declare enum A {\n}",
    "declare namespace A {\n}",
    'declare module "a" {\n}',
    "declare global {\n}",
    "declare const a: 1, b: 2;",
    "declare const { a }: B;",
    "function a(): void;",
    "declare interface A {\n}",
    "type A = `a${string}`;",
    "type A = 'a';",
    'type A = import("./a.ts").A;',
    '/// <reference types="node" />',
    "interface A {",
    "type A = 1",
    "}",
  ])("of a form that is not known is refused: %s", (text) => {
    expect(() => parseModule(`${text}\n`)).toThrow("a declaration of a form that is not known");
  });

  it("may hold braces, brackets and arrows wherever types do", () => {
    const text = [
      "export interface A<T = { a: 1 }> extends B<{ b: 2 }> {",
      "    f: (a: Map<string, () => void>) => { readonly c: 3; };",
      "}",
      'export type C = ";" | "}" | "\\"{";',
      "export declare abstract class D {",
      "    private constructor();",
      "}",
    ].join("\n");
    const { declarations } = parseModule(text);
    expect(declarations.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      "interface A",
      "type C",
      "class D",
    ]);
    expect(declarations.map((found) => `export ${found.text}`).join("\n")).toBe(text);
  });
});
