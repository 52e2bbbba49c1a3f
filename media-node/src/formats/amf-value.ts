/**
 * A decoded AMF value. Objects, ECMA arrays and typed objects are plain objects (own keys only, `__proto__` included);
 * which of them one was, and must be again when encoded, is kept beside it: see amfKind. AMF0's `unsupported` is the
 * symbol AMF_UNSUPPORTED, an XML document an AmfXml, AMF3's ByteArray a Buffer. No value holds itself.
 */
export type AmfValue =
  undefined | null | boolean | number | string | symbol | Date | Buffer | AmfXml | AmfValue[] | AmfObject;

/** An object or an ECMA array; `__proto__` is a key as any other. */
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

/** Bounds on one decoded or encoded piece of AMF. */
export interface AmfLimits {
  /** Levels of nesting. */
  readonly maxDepth: number;
  /** Values in all; a reference counts as all that it refers to. */
  readonly maxValues: number;
}

export const DEFAULT_AMF_LIMITS: AmfLimits = { maxDepth: 32, maxValues: 8192 };

/** How an object travels. `className` is empty but for `typed`. */
export interface AmfKind {
  readonly kind: 'object' | 'ecma-array' | 'typed';
  readonly className: string;
}

const OBJECT: AmfKind = { kind: 'object', className: '' };
const ECMA_ARRAY: AmfKind = { kind: 'ecma-array', className: '' };
/** Kept apart from the objects, whose keys are all the peer's. */
const kinds = new WeakMap<object, AmfKind>();

/** How a decoded or marked object travels. */
export function amfKind(object: object): AmfKind {
  return kinds.get(object) ?? OBJECT;
}

/** Marks an object to be encoded as an ECMA array, the form of onMetaData; returns it. */
export function ecmaArray<T extends object>(object: T): T {
  kinds.set(object, ECMA_ARRAY);
  return object;
}

/** Marks an object to be encoded as a typed object; returns it. */
export function typedObject<T extends object>(className: string, object: T): T {
  kinds.set(object, { kind: 'typed', className });
  return object;
}

/** Sets a key that a peer chose: `__proto__` is a key like others. */
export function setKey(object: AmfObject, key: string, value: AmfValue): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[key] = value;
  }
}

/** Whether a value has keys: not null, an array, a date or another of AMF's own classes. */
export function isAmfObject(value: AmfValue): value is AmfObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof AmfXml) &&
    !Buffer.isBuffer(value)
  );
}
