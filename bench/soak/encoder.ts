import { setTimeout as delay } from 'node:timers/promises';
import { RTMP_AUDIO, RTMP_VIDEO } from '../../media-node/src/formats/rtmp-message.ts';
import type { RtmpPeer } from '../../media-node/src/protocols/testing/rtmp-peer.ts';
import { AAC_HEADER, AVC_HEADER } from '../../media-node/src/protocols/testing/rtmp-peer.ts';
import type { SoakStream } from './vhosts.ts';

const FRAME_MS = 40;
/** Half a second. */
const GOP_FRAMES = 12;
const AUDIO = Buffer.concat([Buffer.from('af01', 'hex'), Buffer.alloc(180, 0x21)]);
const KEY = video(0x17, 0x65, 4_000);
const INTER = video(0x27, 0x41, 600);
const LOOK_MS = 5;

/** One NAL unit of no meaning: FLV's tag byte, the NAL unit's header, and so many bytes. */
function video(tag: number, nalHeader: number, bytes: number): Buffer {
  const body = Buffer.alloc(10 + bytes, 0xaa);
  body.set([tag, 1, 0, 0, 0]);
  body.writeUInt32BE(1 + bytes, 5);
  body[9] = nalHeader;
  return body;
}

/** `taken`: another one publishes that stream, or took it over. */
export type PublishEnd = 'done' | 'taken' | 'closed';

/** Publishes 25 frames a second with AAC, as an encoder does, until `signal` is aborted. `peer`: connected to the stream's Vhost; it
 * stays open. */
export async function publish(
  peer: RtmpPeer,
  { name }: SoakStream,
  signal: AbortSignal,
  hasVideo = true,
): Promise<PublishEnd> {
  peer.call('publish', null, name, 'live');
  while (!peer.codes().includes('NetStream.Publish.Start')) {
    if (signal.aborted) return 'done';
    if (peer.codes().includes('NetStream.Publish.BadName')) return 'taken';
    if (peer.isClosed) return 'closed';
    await delay(LOOK_MS);
  }
  if (hasVideo) peer.send(RTMP_VIDEO, AVC_HEADER);
  peer.send(RTMP_AUDIO, AAC_HEADER);
  const startedMs = performance.now();
  for (let frame = 0; !signal.aborted && !peer.isClosed; frame++) {
    const dtsMs = frame * FRAME_MS;
    if (hasVideo) peer.send(RTMP_VIDEO, frame % GOP_FRAMES === 0 ? KEY : INTER, dtsMs);
    peer.send(RTMP_AUDIO, AUDIO, dtsMs);
    await delay(Math.max(1, startedMs + dtsMs + FRAME_MS - performance.now()));
  }
  return signal.aborted ? 'done' : 'taken';
}
