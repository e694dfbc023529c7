/**
 * The lab that all document vectors of one run come from: a vendor's root, chains below it, and
 * documents that its leaves sign, each written part by part so that exactly one can be wrong.
 *
 * Keys are made at first use and leave the process never: what is published cannot be signed again.
 */
import {
  type CertificateParts,
  type Changes,
  defaultParts,
  FAKE_NOW_MS,
  hex,
  MODULE_ID,
  type Signer,
  signerAt,
  writeCertificate,
} from "../fakes/nitro.ts";
import { array, bstr, type Entry, map, NULL, tstr, uint } from "./cbor.ts";

/** Positions in a chain of three, the usual one. */
export const AUTHORITY = 1;
export const LEAF = 2;

/** RFC 9053 §2.1: `{1: -35}`, the content of the protected header. */
export const ES384: Uint8Array = hex("a1013822");

export interface ChainOptions {
  /** Certificates, root and leaf included. */
  readonly length?: number;
  readonly changes?: Changes;
  /** Keys by position where they are not the lab's own. */
  readonly signers?: Readonly<Record<number, Signer>>;
}

/** Certificates that every document may share. Written only by {@link certificateAt}. */
const shared = new Map<string, Promise<Uint8Array>>();

/** A chain, root first, leaf last. The root is the lab's own unless `changes` breaks it. */
export async function labChain(options: ChainOptions = {}): Promise<readonly Uint8Array[]> {
  const { length = LEAF + 1 } = options;
  return Promise.all(Array.from({ length }, (_, index) => certificateAt(index, length, options)));
}

/** The usual chain of three. */
export async function usualChain(): Promise<
  readonly [root: Uint8Array, authority: Uint8Array, leaf: Uint8Array]
> {
  const chain = await labChain();
  return [certificateIn(chain, 0), certificateIn(chain, AUTHORITY), certificateIn(chain, LEAF)];
}

/** @throws TypeError where the chain is not that long. */
export function certificateIn(chain: readonly Uint8Array[], index: number): Uint8Array {
  const certificate = chain[index];
  if (certificate === undefined) throw new TypeError(`no certificate ${index} in a chain`);
  return certificate;
}

function certificateAt(index: number, length: number, options: ChainOptions): Promise<Uint8Array> {
  const { changes = {}, signers = {} } = options;
  const issuer = Math.max(0, index - 1);
  const write = async (): Promise<Uint8Array> =>
    labCertificate(index, length, changes[index], {
      subject: signers[index] ?? (await signerAt(index)),
      issuer: signers[issuer] ?? (await signerAt(issuer)),
    });
  if ([changes[index], signers[index], signers[issuer]].some((part) => part !== undefined)) {
    return write();
  }
  // What a certificate says depends on how far the leaf is; the root's does not.
  const place = index === 0 ? "root" : `${index} of ${length}`;
  const known = shared.get(place) ?? write();
  shared.set(place, known);
  return known;
}

/** The certificate at a position of a chain, by any issuer's key. */
export async function labCertificate(
  index: number,
  length: number,
  changes: Partial<CertificateParts> = {},
  keys: { readonly subject: Signer; readonly issuer: Signer },
): Promise<Uint8Array> {
  const parts = { ...defaultParts(index, length, keys.subject.point), ...changes };
  return writeCertificate(parts, keys.issuer);
}

/** SHA-384 values of the image that the lab's policies accept: 0101…, 0202…, 0303…. */
export function register(fill: number, bytes: number = 48): Uint8Array {
  return new Uint8Array(bytes).fill(fill);
}

/** Encoded registers 0, 1 and 2 of that image, and what comes on top or instead. */
export function registers(changes: Readonly<Record<number, Uint8Array | null>> = {}): Entry[] {
  const values = { 0: register(1), 1: register(2), 2: register(3), ...changes };
  return Object.entries(values).flatMap(([index, value]): Entry[] =>
    value === null ? [] : [[uint(Number(index)), bstr(value)]],
  );
}

/** Encoded values by field; null leaves one out, a new name is appended. */
export type FieldChanges = Readonly<Record<string, Uint8Array | null>>;

/** The entries of a document over `chain`, in AWS's order. */
export function documentEntries(
  chain: readonly Uint8Array[],
  changes: FieldChanges = {},
): readonly Entry[] {
  const fields: FieldChanges = {
    module_id: tstr(MODULE_ID),
    digest: tstr("SHA384"),
    timestamp: uint(FAKE_NOW_MS),
    pcrs: map(registers()),
    certificate: bstr(certificateIn(chain, chain.length - 1)),
    cabundle: array(chain.slice(0, -1).map((der) => bstr(der))),
    public_key: NULL,
    user_data: NULL,
    nonce: NULL,
    ...changes,
  };
  return Object.entries(fields).flatMap(([name, value]): Entry[] =>
    value === null ? [] : [[tstr(name), value]],
  );
}

/** Contents of an envelope's parts, not their encoding. */
export interface Envelope {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

export interface DocumentOptions {
  readonly chain?: readonly Uint8Array[];
  readonly fields?: FieldChanges;
  /** From the entries to the payload; a map unless said otherwise. */
  readonly payload?: (entries: readonly Entry[]) => Uint8Array;
  /** Content of the protected header, which is signed with the payload. */
  readonly header?: Uint8Array;
  /** Who signs; the lab's leaf at the end of `chain` unless said otherwise. */
  readonly signer?: Signer;
  /** From the contents to the document. */
  readonly envelope?: (parts: Envelope) => Uint8Array;
}

/** A document signed by the leaf of its chain. */
export async function labDocument(options: DocumentOptions = {}): Promise<Uint8Array> {
  const chain = options.chain ?? (await labChain());
  const entries = documentEntries(chain, options.fields);
  const payload = (options.payload ?? map)(entries);
  const header = options.header ?? ES384;
  const signer = options.signer ?? (await signerAt(chain.length - 1));
  const signature = await signer.sign(toBeSigned(header, payload));
  return (options.envelope ?? envelope)({ header, payload, signature });
}

/** RFC 9052 §4.4: Sig_structure of a COSE_Sign1, with a context and external data to choose. */
export function toBeSigned(
  header: Uint8Array,
  payload: Uint8Array,
  context: string = "Signature1",
  externalData: Uint8Array = new Uint8Array(),
): Uint8Array {
  return array([tstr(context), bstr(header), bstr(externalData), bstr(payload)]);
}

/** The envelope as AWS writes it, with encoded parts to put in place of those it would have. */
export function envelope(
  { header, payload, signature }: Envelope,
  changes: {
    readonly header?: Uint8Array;
    readonly unprotected?: Uint8Array;
    readonly payload?: Uint8Array;
    readonly signature?: Uint8Array;
  } = {},
): Uint8Array {
  return array([
    changes.header ?? bstr(header),
    changes.unprotected ?? map([]),
    changes.payload ?? bstr(payload),
    changes.signature ?? bstr(signature),
  ]);
}

/** A document with other fields. */
export function withFields(fields: FieldChanges): Promise<Uint8Array> {
  return labDocument({ fields });
}

/** A document whose payload is made of its entries in another way than as a map. */
export function withPayload(
  payload: (entries: readonly Entry[]) => Uint8Array,
): Promise<Uint8Array> {
  return labDocument({ payload });
}

/** Like {@link labDocument}, with encoded parts of the envelope replaced. */
export function labEnvelope(
  changes: Parameters<typeof envelope>[1],
  options: DocumentOptions = {},
): Promise<Uint8Array> {
  return labDocument({ ...options, envelope: (parts) => envelope(parts, changes) });
}
