import { hex, readU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { AmfBudget, AmfReferences } from './amf-budget.ts';
import {
  AMF_UNSUPPORTED,
  type AmfLimits,
  type AmfObject,
  type AmfValue,
  AmfXml,
  DEFAULT_AMF_LIMITS,
  ecmaArray,
  setKey,
  typedObject,
} from './amf-value.ts';
import { Amf3Decoder } from './amf3.ts';

export * from './amf-value.ts';
export { encodeAmf0 } from './amf0-encoder.ts';

// AMF 0 specification §2.1.
const NUMBER = 0x00;
const BOOLEAN = 0x01;
const STRING = 0x02;
const OBJECT = 0x03;
const NULL = 0x05;
const UNDEFINED = 0x06;
const REFERENCE = 0x07;
const ECMA_ARRAY = 0x08;
const OBJECT_END = 0x09;
const STRICT_ARRAY = 0x0a;
const DATE = 0x0b;
const LONG_STRING = 0x0c;
const UNSUPPORTED = 0x0d;
const XML_DOCUMENT = 0x0f;
const TYPED_OBJECT = 0x10;
const AVM_PLUS = 0x11;

/** Decodes all values that the bytes hold (AMF 0 specification §2). Throws FormatError 'amf'. */
export function decodeAmf0(bytes: Buffer, limits: AmfLimits = DEFAULT_AMF_LIMITS): AmfValue[] {
  const decoder = new Amf0Decoder(bytes, limits);
  const values: AmfValue[] = [];
  while (decoder.bytesLeft > 0) values.push(decoder.value());
  return values;
}

/** Decodes values one by one. The table of references is one for all values of the bytes. */
export class Amf0Decoder {
  readonly #bytes: Buffer;
  readonly #budget: AmfBudget;
  readonly #references: AmfReferences<AmfValue>;
  #offset = 0;

  constructor(bytes: Buffer, limits: AmfLimits = DEFAULT_AMF_LIMITS) {
    this.#bytes = bytes;
    this.#budget = new AmfBudget(limits);
    this.#references = new AmfReferences(this.#budget);
  }

  get bytesLeft(): number {
    return this.#bytes.length - this.#offset;
  }

  /** The next value. Throws FormatError 'amf', also where none is left. */
  value(): AmfValue {
    this.#budget.count(1);
    const at = this.#offset;
    const marker = this.#bytes[this.#take(1)]!;
    switch (marker) {
      case NUMBER:
        return this.#bytes.readDoubleBE(this.#take(8));
      case BOOLEAN:
        return this.#bytes[this.#take(1)] !== 0;
      case STRING:
        return this.#shortString();
      case OBJECT:
        return this.#object({});
      case NULL:
        return null;
      case UNDEFINED:
        return undefined;
      case REFERENCE:
        return this.#references.resolve(this.#bytes.readUInt16BE(this.#take(2)));
      case ECMA_ARRAY:
        // The count is a hint that encoders get wrong; the end marker decides. §2.10
        this.#take(4);
        return this.#object(ecmaArray({}));
      case STRICT_ARRAY:
        return this.#strictArray();
      case DATE: {
        const date = new Date(this.#bytes.readDoubleBE(this.#take(8)));
        this.#take(2); // time zone: reserved, to be 0
        return date;
      }
      case LONG_STRING:
        return this.#longString();
      case UNSUPPORTED:
        return AMF_UNSUPPORTED;
      case XML_DOCUMENT:
        return new AmfXml(this.#longString());
      case TYPED_OBJECT:
        return this.#object(typedObject(this.#shortString(), {}));
      case AVM_PLUS: {
        const decoder = new Amf3Decoder(this.#bytes, this.#offset, this.#budget);
        const value = decoder.value();
        this.#offset = decoder.offset;
        return value;
      }
      default:
        throw new FormatError('amf', `AMF0 marker ${hex(marker)} at byte ${at} of ${this.#bytes.length} is no value`);
    }
  }

  #object(object: AmfObject): AmfObject {
    this.#budget.enter();
    const index = this.#references.open(object);
    while (true) {
      const key = this.#shortString();
      if (this.bytesLeft > 0 && this.#bytes[this.#offset] === OBJECT_END) {
        if (key !== '') throw new FormatError('amf', `AMF0 object ends behind a key at byte ${this.#offset}`);
        this.#offset += 1;
        break;
      }
      setKey(object, key, this.value());
    }
    this.#references.close(index);
    this.#budget.leave();
    return object;
  }

  #strictArray(): AmfValue[] {
    this.#budget.enter();
    const count = readU32(this.#bytes, this.#take(4));
    if (count > this.bytesLeft) throw this.#short(count);
    const array: AmfValue[] = [];
    const index = this.#references.open(array);
    for (let i = 0; i < count; i++) array.push(this.value());
    this.#references.close(index);
    this.#budget.leave();
    return array;
  }

  #shortString(): string {
    const length = this.#bytes.readUInt16BE(this.#take(2));
    const start = this.#take(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  #longString(): string {
    const length = readU32(this.#bytes, this.#take(4));
    const start = this.#take(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  #take(count: number): number {
    const start = this.#offset;
    if (start + count > this.#bytes.length) throw this.#short(count);
    this.#offset = start + count;
    return start;
  }

  #short(count: number): FormatError {
    return new FormatError(
      'amf',
      `AMF0 of ${this.#bytes.length} bytes ends too early: ${count} more were to come at byte ${this.#offset}`,
    );
  }
}
