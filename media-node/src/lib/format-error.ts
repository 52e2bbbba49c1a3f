/** What is wrong with input bytes; counted in metrics by this code, so the set stays small and fixed. */
export type FormatErrorCode =
  | 'amf' // an AMF0 or AMF3 value that breaks its specification, or a limit of depth, count or size
  | 'amf-encode' // a value of ours that AMF0 cannot carry
  | 'chunk' // an RTMP chunk or protocol control message
  | 'message-too-large' // an RTMP message, FLV tag or sum of unfinished messages over its bound
  | 'handshake' // an RTMP handshake
  | 'flv' // an FLV header, tag or tag body
  | 'codec-config' // a decoder configuration record
  | 'nal' // NAL units of a frame whose lengths do not add up to it
  | 'frame'; // a frame that a container has no room for

/**
 * Bytes from outside that do not mean anything lawful. It ends the session that sent them and nothing else; the
 * message says what was found, where, and where useful what the peer should send instead. It never holds payload.
 */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly code: FormatErrorCode;

  constructor(code: FormatErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
