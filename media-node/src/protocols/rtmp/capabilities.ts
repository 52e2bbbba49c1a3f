import type { AmfObject, AmfValue } from '../../formats/amf0.ts';

/*
 * What client and server tell each other in connect and its answer: E-RTMP v2, "Enhancing NetConnection connect Command".
 */

/** Bits of capsEx. */
const CAPS_RECONNECT = 0x01;
const CAPS_MOD_EX = 0x04;

/** The codecs we carry on, as FourCCs. */
const FOURCC_LIST: readonly string[] = ['hvc1', 'av01', 'vp09', 'avc1', 'Opus', 'fLaC', 'ac-3', 'ec-3', 'mp4a', '.mp3'];

/** What a client said it can, as far as it makes a difference here. */
export interface ClientCapabilities {
  /** It knows E-RTMP at all; only then does it hear of ours. */
  readonly isEnhanced: boolean;
  /** It follows NetConnection.Connect.ReconnectRequest. */
  readonly canReconnect: boolean;
}

const ENHANCED_KEYS = ['capsEx', 'fourCcList', 'videoFourCcInfoMap', 'audioFourCcInfoMap'];

/** Reads a connect command's object; values of other types than the specification's count as not there. */
export function readCapabilities(object: AmfObject): ClientCapabilities {
  const capsEx: AmfValue = object['capsEx'];
  return {
    isEnhanced: ENHANCED_KEYS.some((key) => object[key] !== undefined && object[key] !== null),
    canReconnect: typeof capsEx === 'number' && (capsEx & CAPS_RECONNECT) !== 0,
  };
}

/** What the answer to an enhanced client's connect adds: reconnect requests are sent, ModEx is read, these codecs pass. */
export function serverCapabilities(): AmfObject {
  return { capsEx: CAPS_RECONNECT | CAPS_MOD_EX, fourCcList: [...FOURCC_LIST] };
}
