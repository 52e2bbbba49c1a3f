import { hex } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { type AmfBudget, AmfReferences } from './amf-budget.ts';
import { type AmfObject, type AmfValue, AmfXml, ecmaArray, setKey, typedObject } from './amf-value.ts';

// AMF 3 specification §3.1.
const UNDEFINED = 0x00;
const NULL = 0x01;
const FALSE = 0x02;
const TRUE = 0x03;
const INTEGER = 0x04;
const DOUBLE = 0x05;
const STRING = 0x06;
const XML_DOCUMENT = 0x07;
const DATE = 0x08;
const ARRAY = 0x09;
const OBJECT = 0x0a;
const XML = 0x0b;
const BYTE_ARRAY = 0x0c;

/** The shape of a class, told once and referred to after. */
interface Traits {
  readonly className: string;
  readonly keys: readonly string[];
  readonly dynamic: boolean;
}

/**
 * Decodes AMF3 behind AMF0's switch (0x11), as Flash-era clients send their commands. Vectors, dictionaries and externalizable
 * classes, which no RTMP command needs, are errors.
 */
export class Amf3Decoder {
  readonly #bytes: Buffer;
  readonly #budget: AmfBudget;
  readonly #strings: string[] = [];
  readonly #traits: Traits[] = [];
  readonly #references: AmfReferences<AmfValue>;
  #offset: number;

  constructor(bytes: Buffer, offset: number, budget: AmfBudget) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#budget = budget;
    this.#references = new AmfReferences(budget);
  }

  /** Where the next value begins. */
  get offset(): number {
    return this.#offset;
  }

  value(): AmfValue {
    this.#budget.count(1);
    const at = this.#offset;
    const marker = this.#bytes[this.#take(1)]!;
    switch (marker) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case INTEGER:
        return (this.#u29() << 3) >> 3; // 29 bits with their sign
      case DOUBLE:
        return this.#bytes.readDoubleBE(this.#take(8));
      case STRING:
        return this.#string();
      case XML_DOCUMENT:
      case XML:
        return this.#referable((length) => {
          const start = this.#take(length);
          return new AmfXml(this.#bytes.toString('utf8', start, start + length));
        });
      case DATE:
        return this.#referable(() => new Date(this.#bytes.readDoubleBE(this.#take(8))));
      case BYTE_ARRAY:
        return this.#referable((length) => {
          const start = this.#take(length);
          return Buffer.from(this.#bytes.subarray(start, start + length));
        });
      case ARRAY:
        return this.#array();
      case OBJECT:
        return this.#object();
      default:
        throw new FormatError('amf', `AMF3 marker ${hex(marker)} at byte ${at} of ${this.#bytes.length} is not known`);
    }
  }

  /** A value without values inside: a reference, or `length` and content. */
  #referable(read: (length: number) => AmfValue): AmfValue {
    const header = this.#u29();
    if ((header & 1) === 0) return this.#references.resolve(header >> 1);
    const value = read(header >> 1);
    this.#references.close(this.#references.open(value));
    return value;
  }

  #array(): AmfValue {
    const header = this.#u29();
    if ((header & 1) === 0) return this.#references.resolve(header >> 1);
    const count = header >> 1;
    if (count > this.#bytes.length - this.#offset) throw this.#short(count);
    this.#budget.enter();
    const dense: AmfValue[] = [];
    const index = this.#references.open(dense);
    const associative: AmfObject = {};
    let keys = 0;
    for (let key = this.#string(); key !== ''; key = this.#string(), keys++) setKey(associative, key, this.value());
    for (let i = 0; i < count; i++) dense.push(this.value());
    this.#budget.leave();
    if (keys === 0) {
      this.#references.close(index);
      return dense;
    }
    for (const [i, value] of dense.entries()) setKey(associative, `${i}`, value);
    this.#references.close(index, ecmaArray(associative));
    return associative;
  }

  #object(): AmfValue {
    const header = this.#u29();
    if ((header & 1) === 0) return this.#references.resolve(header >> 1);
    this.#budget.enter();
    const traits = this.#readTraits(header);
    const object: AmfObject = {};
    if (traits.className !== '') typedObject(traits.className, object);
    const index = this.#references.open(object);
    for (const key of traits.keys) setKey(object, key, this.value());
    if (traits.dynamic) {
      for (let key = this.#string(); key !== ''; key = this.#string()) setKey(object, key, this.value());
    }
    this.#references.close(index);
    this.#budget.leave();
    return object;
  }

  #readTraits(header: number): Traits {
    if ((header & 2) === 0) {
      const traits = this.#traits[header >> 2];
      if (traits === undefined)
        throw new FormatError('amf', `AMF3 traits reference ${header >> 2} names no class before it`);
      return traits;
    }
    if ((header & 4) !== 0)
      throw new FormatError('amf', `AMF3 externalizable class at byte ${this.#offset} cannot be read`);
    const count = header >> 4;
    if (count > this.#bytes.length - this.#offset) throw this.#short(count);
    const className = this.#string();
    // Keys are no values but take memory as values do.
    this.#budget.count(count);
    const keys: string[] = [];
    for (let i = 0; i < count; i++) keys.push(this.#string());
    const traits: Traits = { className, keys, dynamic: (header & 8) !== 0 };
    this.#traits.push(traits);
    return traits;
  }

  #string(): string {
    const header = this.#u29();
    if ((header & 1) === 0) {
      const text = this.#strings[header >> 1];
      if (text === undefined)
        throw new FormatError('amf', `AMF3 string reference ${header >> 1} names no string before it`);
      return text;
    }
    const length = header >> 1;
    const start = this.#take(length);
    const text = this.#bytes.toString('utf8', start, start + length);
    if (text !== '') this.#strings.push(text);
    return text;
  }

  /** U29: seven bits a byte, the fourth byte eight. §1.3.1 */
  #u29(): number {
    let value = 0;
    for (let i = 0; i < 3; i++) {
      const byte = this.#bytes[this.#take(1)]!;
      value = (value << 7) | (byte & 0x7f);
      if (byte < 0x80) return value;
    }
    return (value << 8) | this.#bytes[this.#take(1)]!;
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
      `AMF3 of ${this.#bytes.length} bytes ends too early: ${count} more were to come at byte ${this.#offset}`,
    );
  }
}
