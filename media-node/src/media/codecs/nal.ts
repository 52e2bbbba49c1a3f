/** A NAL unit without its emulation prevention bytes (H.264 §7.4.1, HEVC §7.4.2.1): 00 00 03 → 00 00. */
export function unescapeNal(nal: Buffer): Buffer {
  if (nal.indexOf('000003', 0, 'hex') === -1) return nal;
  const out = Buffer.allocUnsafe(nal.length);
  let length = 0;
  let zeros = 0;
  for (const byte of nal) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    out[length++] = byte;
  }
  return out.subarray(0, length);
}
