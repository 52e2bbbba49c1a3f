import type { ListedObject, ObjectStore, UploadedPart } from './object-store.ts';
import { ObjectStoreError } from './object-store.ts';

interface PendingUpload {
  readonly key: string;
  readonly parts: Map<number, { readonly etag: string; readonly body: Buffer }>;
}

/** A bucket in memory, for tests; keeps S3's rules on the sizes of parts. */
export class MemoryObjectStore implements ObjectStore {
  readonly objects = new Map<string, { readonly body: Buffer; modifiedMs: number }>();
  readonly uploads = new Map<string, PendingUpload>();
  readonly calls: string[] = [];
  /** Set, every call fails with it. */
  fault: ObjectStoreError | undefined;
  #count = 0;

  exists(key: string): Promise<boolean> {
    return this.#answer('exists', () => this.objects.has(key));
  }
  get(key: string): Promise<Buffer | undefined> {
    return this.#answer('get', () => this.objects.get(key)?.body);
  }
  put(key: string, body: Buffer): Promise<void> {
    return this.#answer('put', () => void this.objects.set(key, { body: Buffer.from(body), modifiedMs: Date.now() }));
  }
  delete(key: string): Promise<void> {
    return this.#answer('delete', () => void this.objects.delete(key));
  }
  list(prefix: string): Promise<readonly ListedObject[]> {
    return this.#answer('list', () =>
      [...this.objects].filter(([key]) => key.startsWith(prefix)).map(([key, { modifiedMs }]) => ({ key, modifiedMs })),
    );
  }
  beginUpload(key: string): Promise<string> {
    return this.#answer('begin', () => {
      const id = `upload-${++this.#count}`;
      this.uploads.set(id, { key, parts: new Map() });
      return id;
    });
  }
  uploadPart(key: string, uploadId: string, number: number, body: Buffer): Promise<UploadedPart> {
    return this.#answer('part', () => {
      const etag = `etag-${++this.#count}`;
      this.#upload(key, uploadId).parts.set(number, { etag, body: Buffer.from(body) });
      return { number, etag, bytes: body.length };
    });
  }
  listParts(key: string, uploadId: string): Promise<readonly UploadedPart[]> {
    return this.#answer('parts', () =>
      [...this.#upload(key, uploadId).parts]
        .map(([number, { etag, body }]) => ({ number, etag, bytes: body.length }))
        .sort((a, b) => a.number - b.number),
    );
  }
  completeUpload(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void> {
    return this.#answer('complete', () => {
      const upload = this.#upload(key, uploadId);
      const bodies = parts.map(({ number, etag }, index) => {
        const part = upload.parts.get(number);
        const isSmall = index < parts.length - 1 && (part?.body.length ?? 0) < 5 * 1024 * 1024;
        if (part?.etag !== etag || number !== index + 1 || isSmall) {
          throw new ObjectStoreError('refused', `part ${number} is wrong`);
        }
        return part.body;
      });
      this.uploads.delete(uploadId);
      this.objects.set(key, { body: Buffer.concat(bodies), modifiedMs: Date.now() });
    });
  }
  abortUpload(key: string, uploadId: string): Promise<void> {
    return this.#answer('abort', () => void (this.#upload(key, uploadId) && this.uploads.delete(uploadId)));
  }
  close(): void {
    this.calls.push('close');
  }

  #upload(key: string, uploadId: string): PendingUpload {
    const upload = this.uploads.get(uploadId);
    if (upload?.key !== key) throw new ObjectStoreError('gone', 'no such upload');
    return upload;
  }

  async #answer<T>(call: string, work: () => T): Promise<T> {
    await new Promise((resolve) => setImmediate(resolve));
    this.calls.push(call);
    if (this.fault !== undefined) throw this.fault;
    return work();
  }
}
