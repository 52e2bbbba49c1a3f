/**
 * A decoded AMF value. Object, ECMA array and typed object are plain objects (own keys only, `__proto__` included); which
 * of them an object was, and must be again when encoded, is kept beside it: see ecmaArray, typedObject.
 * AMF0's `unsupported` is the symbol AMF_UNSUPPORTED; an XML document an AmfXml; AMF3's ByteArray a Buffer.
 */
export type AmfValue =
  undefined | null | boolean | number | string | symbol | Date | Buffer | AmfXml | AmfValue[] | AmfObject;
export interface AmfObject {
  [key: string]: AmfValue;
}
/** The value of AMF0's marker 0x0D. */
export const AMF_UNSUPPORTED: unique symbol = Symbol('AMF unsupported');
/** An XML document as its text. */
export class AmfXml {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export interface AmfLimits {
  /** Levels of nesting. */
  readonly maxDepth: number;
  /** Values in all, an object's reference counted as all that it holds. */
  readonly maxValues: number;
}
export const DEFAULT_AMF_LIMITS: AmfLimits = { maxDepth: 32, maxValues: 8192 };

/** Marks an object to be encoded as an ECMA array, the form of onMetaData; returns it. */
export function ecmaArray<T extends object>(object: T): T {
  return object;
}
/** Marks an object to be encoded as a typed object; returns it. */
export function typedObject<T extends object>(className: string, object: T): T {
  void className;
  return object;
}
/** How a decoded or marked object travels: a class name, ECMA array, or a plain object. */
export function amfKind(object: object): {
  readonly kind: 'object' | 'ecma-array' | 'typed';
  readonly className: string;
} {
  void object;
  throw new Error('to come');
}
/** Decodes all values that the bytes hold (AMF 0 specification §2). Throws FormatError 'amf'. */
export function decodeAmf0(bytes: Buffer, limits: AmfLimits = DEFAULT_AMF_LIMITS): AmfValue[] {
  void [bytes, limits];
  throw new Error('to come');
}
/** Encodes the values one after another. Throws FormatError 'amf-encode' for what AMF0 has no form for. */
export function encodeAmf0(...values: readonly unknown[]): Buffer {
  void values;
  throw new Error('to come');
}
