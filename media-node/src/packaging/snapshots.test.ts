import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { ledgerTextOf } from './ledger-state.ts';
import { MemoryLedger } from './memory-ledger.ts';
import type { PackagingWitnesses } from './packaged-stream.ts';
import type { VhostChanges } from './testing-node.ts';
import { configOf, EPOCH_MS, TestNode } from './testing-node.ts';
import { audioTrack, streamOf, videoTrack } from './testing.ts';

/* Whatever happens to a stream, what its viewers are told makes sense from one snapshot to the next. */

const FORMATS: readonly VhostChanges[] = [
  {},
  { hls: { container: 'fmp4' } },
  { hls: { container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } } },
  { dash: { enabled: true }, hls: { fragmentMs: 1_000, windowMs: 3_000 } },
  { hls: { keys: { enabled: true, fragmentsPerKey: 2, keyFile: '[app]/[stream]-[seq].key', keyUrl: '' } } },
];

const event = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('media' as const), gop: fc.integer({ min: 5, max: 200 }) }) },
  fc.record({ kind: fc.constantFrom('again', 'picture', 'sound', 'silent', 'away', 'lost', 'other') }),
  fc.record({ kind: fc.constant('format' as const), format: fc.nat({ max: FORMATS.length - 1 }) }),
);

/** A viewer, who follows whichever node packages, and remembers what was shown last for the one after it. */
class Viewer {
  #last: PackagingSnapshot | undefined;
  /** By name, of all nodes. */
  readonly #contents = new Map<string, Buffer>();

  /** Changes of the format so far. */
  formats = 0;

  get files(): number {
    return this.#contents.size;
  }

  witness(nowMs: number): PackagingWitnesses {
    return {
      ask: (_, __, onState) => {
        if (this.#last !== undefined) onState(ledgerTextOf(this.#last, nowMs));
        return Promise.resolve(true);
      },
    };
  }

  async look(node: TestNode): Promise<void> {
    const snapshot = node.packagings.find({ vhost: '__defaultVhost__', app: 'live', stream: 'stream01' })?.snapshot;
    if (snapshot === undefined || snapshot === this.#last) return;
    const { segments, open, targetDurationS, partTargetMs } = node.snapshot;
    const all = [...segments, ...(open === undefined ? [] : [open])];
    for (const [index, segment] of all.entries()) {
      const before = all[index - 1];
      if (before !== undefined) {
        assert.equal(segment.seq, before.seq + 1);
        assert.ok(segment.programDateTimeMs >= before.programDateTimeMs);
      }
      for (const media of [segment.media.ts, segment.media.video, segment.media.audio]) {
        if (media === undefined) continue;
        if (segment !== open) assert.ok(Math.round(media.durationMs / 1_000) <= targetDurationS, JSON.stringify(media));
        for (const part of media.parts) assert.ok(part.durationMs <= (partTargetMs ?? 0));
        const files = [...media.parts, ...(media.init === undefined ? [] : [media.init])];
        if (segment !== open) files.push(media);
        for (const { file, bytes } of files) await this.#read(node, file, bytes);
      }
      if (segment.key !== undefined) await this.#read(node, segment.key.file, 16);
    }
    this.#compare(snapshot);
    this.#last = snapshot;
  }

  async #read(node: TestNode, file: string, bytes: number): Promise<void> {
    const content = await node.packaged.read(file);
    // A segment of the node before is in other memories.
    if (content === undefined && this.#contents.has(file)) return;
    assert.equal(content?.length, bytes, file);
    const known = this.#contents.get(file);
    assert.ok(known === undefined || known.equals(content), `${file} has two contents`);
    this.#contents.set(file, content);
  }

  #compare(snapshot: PackagingSnapshot): void {
    const last = this.#last;
    if (last === undefined) return;
    assert.ok(snapshot.nodeId !== last.nodeId || snapshot.revision > last.revision);
    const [from, to] = [snapshot.segments[0]?.seq ?? snapshot.open?.seq, snapshot.segments.at(-1)?.seq];
    assert.ok((from ?? Infinity) >= (last.segments[0]?.seq ?? 0), 'numbers never go back');
    const lastTo = last.segments.at(-1)?.seq ?? 0;
    if (to !== undefined) assert.ok(to >= lastTo);
    // The one that was open may be left out, and another format's list begins without the last one of before.
    assert.ok((from ?? 0) <= Math.max(lastTo, last.open?.seq ?? 0) + 2 + this.formats, 'nor do they leap');
    const gone = last.segments.filter(({ seq, isDiscontinuity }) => isDiscontinuity && seq < (from ?? 0)).length;
    assert.ok(snapshot.discontinuitySequence >= last.discontinuitySequence + gone);
    const isSame = last.segments.some(({ seq }) => seq === from);
    if (!isSame) return;
    assert.equal(snapshot.targetDurationS, last.targetDurationS, 'the target duration stays');
    assert.equal(snapshot.discontinuitySequence, last.discontinuitySequence + gone);
  }
}

test('numbers, names, times and durations hold through everything that happens', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 3, maxLength: 14 }), async (events) => {
      const viewer = new Viewer();
      let ledger = new MemoryLedger(() => EPOCH_MS);
      let changes = FORMATS[0]!;
      let id = 10;
      let [video, audio, hasAudio, startMs] = [videoTrack(), audioTrack(), true, 0];
      const nodes: TestNode[] = [];
      const start = async () => {
        const nowMs = nodes.at(-1)?.nowMs ?? EPOCH_MS;
        const witnesses = () => viewer.witness(nowMs);
        const node = new TestNode(changes, { ledger, witnesses, nodeId: `node-${nodes.length}` });
        node.nowMs = nowMs;
        nodes.push(node);
        await node.publish();
        return node;
      };
      let node = await start();
      for (const happens of [...events, { kind: 'media' as const, gop: 60 }]) {
        if (happens.kind === 'media') {
          const shape = { startMs, seconds: 4, gop: happens.gop, hasAudio, video, audio };
          for (const frame of streamOf(shape)) {
            node.feed([frame]);
            if (frame.track.kind === 'video') await viewer.look(node);
          }
          startMs += 4_000;
        } else if (happens.kind === 'again') {
          node.unpublish(false);
          await node.publish();
          startMs = 500;
        } else if (happens.kind === 'other') {
          await node.close();
          node = await start();
        } else if (happens.kind === 'format' && 'format' in happens) {
          changes = FORMATS[happens.format]!;
          viewer.formats += 1;
          node.config.swap(configOf(changes));
        } else if (happens.kind === 'picture') video = videoTrack(id++);
        else if (happens.kind === 'sound') audio = audioTrack(id++);
        else if (happens.kind === 'silent') hasAudio = !hasAudio;
        else if (happens.kind === 'lost') ledger = new MemoryLedger(() => EPOCH_MS);
        else ledger.isAway = !ledger.isAway;
      }
      await viewer.look(node);
      assert.ok(viewer.files > 0, 'something was looked at');
      for (const each of nodes) await each.close();
    }),
    { numRuns: 40 },
  );
});
