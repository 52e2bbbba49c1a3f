import { FormatError } from '../lib/format-error.ts';
import { AMF_UNSUPPORTED, AmfXml, DEFAULT_AMF_LIMITS, amfKind } from './amf-value.ts';

/**
 * Encodes the values one after another (AMF 0 specification §2). Plain objects and null-prototype objects become objects,
 * ECMA arrays or typed objects as marked; strings of over 65535 bytes long strings; an object met again is written again.
 * Throws FormatError 'amf-encode' for what AMF0 has no form for, and for values nested too deep, such as in themselves.
 */
export function encodeAmf0(...values: readonly unknown[]): Buffer {
  const writer = new Amf0Writer();
  for (const value of values) writer.value(value, 0);
  return writer.bytes();
}

class Amf0Writer {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  value(value: unknown, depth: number): void {
    switch (typeof value) {
      case 'number':
        this.#number(0x00, value);
        break;
      case 'boolean':
        this.#marker(0x01);
        this.#marker(value ? 1 : 0);
        break;
      case 'string':
        this.#string(value);
        break;
      case 'undefined':
        this.#marker(0x06);
        break;
      case 'object':
        if (value === null) this.#marker(0x05);
        else this.#structure(value, depth);
        break;
      case 'symbol':
        if (value !== AMF_UNSUPPORTED) throw noForm('a symbol');
        this.#marker(0x0d);
        break;
      default:
        throw noForm(`a ${typeof value}`);
    }
  }

  #structure(value: object, depth: number): void {
    if (depth >= DEFAULT_AMF_LIMITS.maxDepth) {
      throw new FormatError('amf-encode', `AMF0 is nested over ${DEFAULT_AMF_LIMITS.maxDepth} deep`);
    }
    if (Array.isArray(value)) {
      this.#marker(0x0a);
      this.#uint(value.length, 4);
      for (const item of value as unknown[]) this.value(item, depth + 1);
    } else if (value instanceof Date) {
      this.#number(0x0b, value.getTime());
      this.#uint(0, 2);
    } else if (value instanceof AmfXml) {
      this.#marker(0x0f);
      this.#text(value.text, 4);
    } else {
      const prototype: unknown = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null)
        throw noForm(`an object of class ${value.constructor.name}`);
      this.#object(value as Record<string, unknown>, depth);
    }
  }

  #object(object: Record<string, unknown>, depth: number): void {
    const { kind, className } = amfKind(object);
    const keys = Object.keys(object);
    if (kind === 'typed') {
      this.#marker(0x10);
      this.#text(className, 2);
    } else if (kind === 'ecma-array') {
      this.#marker(0x08);
      this.#uint(keys.length, 4);
    } else {
      this.#marker(0x03);
    }
    for (const key of keys) {
      this.#text(key, 2);
      this.value(object[key], depth + 1);
    }
    this.#uint(0x000009, 3);
  }

  #string(text: string): void {
    const long = text.length > 0xffff || Buffer.byteLength(text) > 0xffff;
    this.#marker(long ? 0x0c : 0x02);
    this.#text(text, long ? 4 : 2);
  }

  /** UTF-8 behind its length of `lengthBytes` bytes. */
  #text(text: string, lengthBytes: 2 | 4): void {
    const length = Buffer.byteLength(text);
    if (lengthBytes === 2 && length > 0xffff) {
      throw new FormatError('amf-encode', `AMF0 key or class name has ${length} bytes, 65535 at the most`);
    }
    this.#uint(length, lengthBytes);
    const start = this.#grow(length);
    this.#bytes.write(text, start, 'utf8');
  }

  #number(marker: number, value: number): void {
    this.#marker(marker);
    const start = this.#grow(8);
    this.#bytes.writeDoubleBE(value, start);
  }

  #uint(value: number, byteLength: number): void {
    const start = this.#grow(byteLength);
    this.#bytes.writeUIntBE(value, start, byteLength);
  }

  #marker(marker: number): void {
    const start = this.#grow(1);
    this.#bytes[start] = marker;
  }

  /** Makes room for `count` bytes; returns where they begin. May replace #bytes: call it before naming them. */
  #grow(count: number): number {
    const start = this.#length;
    this.#length = start + count;
    if (this.#length > this.#bytes.length) {
      const bytes = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length));
      this.#bytes.copy(bytes, 0, 0, start);
      this.#bytes = bytes;
    }
    return start;
  }
}

function noForm(what: string): FormatError {
  return new FormatError('amf-encode', `AMF0 has no form for ${what}`);
}
