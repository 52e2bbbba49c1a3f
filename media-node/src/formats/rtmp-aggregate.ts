import type { RtmpMessage } from './rtmp-message.ts';

/**
 * Splits an aggregate message (type 22, RTMP 1.0 §7.1.6) into its audio, video and data messages, with times moved so that
 * the first has the aggregate's own. Payloads share the aggregate's memory. Throws FormatError.
 */
export function splitAggregate(aggregate: RtmpMessage, onMessage: (message: RtmpMessage) => void): void {
  void [aggregate, onMessage];
  throw new Error('to come');
}
