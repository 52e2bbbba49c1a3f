import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '#contract/testing/until.ts';
import type { Packet, Tool } from '../testing/ffmpeg.ts';
import { probePackets, publishTestPicture, run, TEST_INPUT } from '../testing/ffmpeg.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/** Every track's decoding times strictly increase, and the first picture is a key frame. */
function assertPlayable(packets: readonly Packet[]): void {
  for (const type of ['video', 'audio'] as const) {
    const track = packets.filter(({ codec_type }) => codec_type === type);
    assert.ok(track.length > 10, `${track.length} ${type} packets`);
    for (const [index, packet] of track.entries()) {
      const previous = track[index - 1];
      if (previous === undefined) continue;
      const stepMs = (packet.dts_time - previous.dts_time) * 1_000;
      assert.ok(stepMs > 0 && stepMs < 200, `${type} steps by ${stepMs} ms at ${previous.dts_time}`);
    }
  }
  assert.equal(packets.find(({ codec_type }) => codec_type === 'video')?.isKey, true);
}

describe('ffmpeg publishes', () => {
  let node: TestNode;
  let encoder: Tool;
  before(async () => {
    node = await startTestNode();
    encoder = publishTestPicture(`rtmp://127.0.0.1:${node.rtmpPort}/live/test?token=secret`);
    const key = { vhost: '__defaultVhost__', app: 'live', stream: 'test' };
    await until('frames from ffmpeg', () => (node.gate.registry.get(key)?.stats().framesIn ?? 0) > 50);
  });
  after(() => {
    encoder.stop();
    node.close();
  });

  test('and ffprobe plays it over RTMP', async () => {
    const { packets, codecs } = await probePackets(`rtmp://127.0.0.1:${node.rtmpPort}/live/test`, 2);
    assert.deepEqual(codecs, ['aac', 'h264']);
    assertPlayable(packets);
  });

  test('and ffmpeg plays it that was told to begin elsewhere: a live stream answers that and goes on', async () => {
    const url = `rtmp://127.0.0.1:${node.rtmpPort}/live/test`;
    const player = run('ffmpeg', ['-ss', '3', '-i', url, '-t', '1', '-c', 'copy', '-f', 'framecrc', '-']);
    const ended = await Promise.race([player.done, delay(60_000, undefined, { ref: false })]);
    player.stop();
    assert.ok((ended?.match(/^0,/gm)?.length ?? 0) > 10, ended ?? 'ffmpeg waits for ever');
  });

  test('and ffprobe plays it over HTTP-FLV', async () => {
    const { packets, codecs } = await probePackets(`http://127.0.0.1:${node.httpPort}/live/test.flv`, 2);
    assert.deepEqual(codecs, ['aac', 'h264']);
    assertPlayable(packets);
  });

  test('and comes again after it was killed: viewers keep their connections and see no step in time', async () => {
    const url = `rtmp://127.0.0.1:${node.rtmpPort}/live/again`;
    const stream = node.gate.registry.open({ vhost: '__defaultVhost__', app: 'live', stream: 'again' });
    const probes = [probePackets(url, 6), probePackets(`http://127.0.0.1:${node.httpPort}/live/again.flv`, 6)];
    for (let round = 1; round <= 2; round++) {
      const again = publishTestPicture(url);
      await until('its frames', () => stream.stats().framesIn > 150 * round);
      if (round === 2) {
        const results = await Promise.all(probes);
        for (const { packets } of results) assertPlayable(packets);
      }
      again.stop();
      await until('its end', () => stream.publisher === undefined);
    }
    assert.equal(stream.stats().seams, 1);
  });

  test('and what it says about itself reaches the gate', () => {
    const asked = node.gate.asked.find(({ action }) => action === 'publish');
    assert.equal(asked?.session.param, '?token=secret');
    assert.equal(asked.session.tcUrl, `rtmp://127.0.0.1:${node.rtmpPort}/live`);
    assert.equal(asked.session.ip, '127.0.0.1');
  });

  test('and its end is its own: the connection is not said to have broken', async () => {
    const own = await startTestNode();
    const url = `rtmp://127.0.0.1:${own.rtmpPort}/live/short`;
    await run('ffmpeg', [...TEST_INPUT, '-t', '1', '-f', 'flv', url]).done;
    await until('its end', () => own.rtmp.sessions.size === 0);
    assert.deepEqual([...own.rtmp.stats().ends], [['peer', 1]]);
    own.close();
  });

  test('and a second ffmpeg under the same name is refused, the first goes on', async () => {
    const second = publishTestPicture(`rtmp://127.0.0.1:${node.rtmpPort}/live/test`);
    await assert.rejects(second.done, /ffmpeg ended/);
    assert.equal(encoder.child.exitCode, null);
    const { packets } = await probePackets(`rtmp://127.0.0.1:${node.rtmpPort}/live/test`, 1);
    assertPlayable(packets);
  });
});
