import type { AmfObject, AmfValue } from '../../formats/amf0.ts';
import { isAmfObject } from '../../formats/amf0.ts';

/*
 * What client and server tell each other in connect and its answer: E-RTMP v2, "Enhancing NetConnection connect Command".
 */

/** Bits of capsEx. */
const CAPS_RECONNECT = 0x01;
const CAPS_MULTITRACK = 0x02;
const CAPS_MOD_EX = 0x04;

/** FourCcInfoMask: what comes is passed on. */
const CAN_FORWARD = 0x04;

/** The codecs we carry on, as FourCCs. */
const FOURCC_LIST: readonly string[] = ['hvc1', 'av01', 'vp09', 'avc1', 'Opus', 'fLaC', 'ac-3', 'ec-3', 'mp4a', '.mp3'];

/** What a client said it can, as far as it makes a difference here. */
export interface ClientCapabilities {
  /** It knows E-RTMP at all; only then does it hear of ours. */
  readonly isEnhanced: boolean;
  /** It follows NetConnection.Connect.ReconnectRequest. */
  readonly canReconnect: boolean;
  /** It takes several tracks of a kind. */
  readonly isMultitrack: boolean;
}

/** Of a client that has said nothing. */
export const NO_CAPABILITIES: ClientCapabilities = { isEnhanced: false, canReconnect: false, isMultitrack: false };

const ENHANCED_KEYS = ['capsEx', 'fourCcList', 'videoFourCcInfoMap', 'audioFourCcInfoMap'];

/**
 * Reads a connect command's object; values of other types than the specification's count as not there. `extra`: the optional
 * user arguments behind it, where ffmpeg puts what its user has it say (`-rtmp_conn`): by itself it announces nothing, though it
 * reads several tracks from version 8 on, and what an older one takes for another codec and fails.
 */
export function readCapabilities(object: AmfObject, extra: readonly AmfValue[] = []): ClientCapabilities {
  const said = [object, ...extra.filter(isAmfObject)];
  const has = (bit: number): boolean => said.some(({ capsEx }) => typeof capsEx === 'number' && (capsEx & bit) !== 0);
  return {
    isEnhanced: said.some((each) => ENHANCED_KEYS.some((key) => each[key] !== undefined && each[key] !== null)),
    canReconnect: has(CAPS_RECONNECT),
    isMultitrack: has(CAPS_MULTITRACK),
  };
}

/**
 * What the answer to an enhanced client's connect adds: reconnect requests are sent, ModEx and several tracks are read, these
 * codecs pass.
 */
export function serverCapabilities(): AmfObject {
  return { capsEx: CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MOD_EX, fourCcList: [...FOURCC_LIST] };
}

/** What a node says of itself in its own connect: it passes everything on. */
export function nodeCapabilities(): AmfObject {
  return {
    capsEx: CAPS_MULTITRACK | CAPS_MOD_EX,
    fourCcList: ['*'],
    videoFourCcInfoMap: { '*': CAN_FORWARD },
    audioFourCcInfoMap: { '*': CAN_FORWARD },
  };
}
