import type { S3Client } from '@aws-sdk/client-s3';
import type { S3File } from '#contract/s3-file.ts';
import type { ListedObject, ObjectStore, UploadedPart } from './object-store.ts';
import { ObjectStoreError } from './object-store.ts';

/** A bucket and how to reach it. */
export interface S3Place {
  readonly bucket: string;
  /** Left out: Amazon's. */
  readonly endpoint?: string | undefined;
  readonly region: string;
  /** The bucket is in the path, not in the host's name. */
  readonly pathStyle: boolean;
  /** Asked again and again, since they change; undefined: there are none. */
  readonly credentials: () => Promise<Omit<S3File, 'version'> | undefined>;
}

type Sdk = typeof import('@aws-sdk/client-s3');

const CONNECT_MS = 5_000;
/** Of one request; a part of 5 MiB takes so long at 0.7 Mbit/s. */
const REQUEST_MS = 60_000;
/** The client keeps credentials until shortly before they end. */
const CREDENTIALS_MS = 60_000;

const GONE = new Set(['NoSuchUpload', 'NoSuchKey', 'NotFound']);

/** A bucket of S3, or of what speaks its protocol. The client's library is loaded with the first call. */
export class S3ObjectStore implements ObjectStore {
  readonly #place: S3Place;
  #client: Promise<{ readonly sdk: Sdk; readonly client: S3Client }> | undefined;

  constructor(place: S3Place) {
    this.#place = place;
  }

  async exists(key: string): Promise<boolean> {
    try {
      await this.#call(({ sdk, client, Bucket }) => client.send(new sdk.HeadObjectCommand({ Bucket, Key: key })));
      return true;
    } catch (error) {
      if ((error as ObjectStoreError).code === 'gone') return false;
      throw error;
    }
  }

  async get(key: string): Promise<Buffer | undefined> {
    try {
      return await this.#call(async ({ sdk, client, Bucket }) => {
        const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key: key }));
        return Buffer.from((await Body?.transformToByteArray()) ?? []);
      });
    } catch (error) {
      if ((error as ObjectStoreError).code === 'gone') return undefined;
      throw error;
    }
  }

  async put(key: string, body: Buffer, contentType: string): Promise<void> {
    await this.#call(({ sdk, client, Bucket }) =>
      client.send(new sdk.PutObjectCommand({ Bucket, Key: key, Body: body, ContentType: contentType })),
    );
  }

  async delete(key: string): Promise<void> {
    await this.#call(({ sdk, client, Bucket }) => client.send(new sdk.DeleteObjectCommand({ Bucket, Key: key })));
  }

  list(prefix: string): Promise<readonly ListedObject[]> {
    return this.#call(async ({ sdk, client, Bucket }) => {
      const { Contents = [] } = await client.send(new sdk.ListObjectsV2Command({ Bucket, Prefix: prefix }));
      return Contents.map(({ Key = '', LastModified }) => ({ key: Key, modifiedMs: LastModified?.getTime() ?? 0 }));
    });
  }

  beginUpload(key: string, contentType: string): Promise<string> {
    return this.#call(async ({ sdk, client, Bucket }) => {
      const begun = await client.send(
        new sdk.CreateMultipartUploadCommand({ Bucket, Key: key, ContentType: contentType }),
      );
      if (begun.UploadId === undefined) throw new ObjectStoreError('refused', 'the store gave an upload no id');
      return begun.UploadId;
    });
  }

  uploadPart(key: string, uploadId: string, number: number, body: Buffer): Promise<UploadedPart> {
    return this.#call(async ({ sdk, client, Bucket }) => {
      const { ETag = '' } = await client.send(
        new sdk.UploadPartCommand({ Bucket, Key: key, UploadId: uploadId, PartNumber: number, Body: body }),
      );
      return { number, etag: ETag, bytes: body.length };
    });
  }

  listParts(key: string, uploadId: string): Promise<readonly UploadedPart[]> {
    return this.#call(async ({ sdk, client, Bucket }) => {
      const parts: UploadedPart[] = [];
      // Not by the library's paginator: it goes on while there is a marker, which some stores give with the last page too.
      for (let marker: string | undefined; ;) {
        const page = await client.send(
          new sdk.ListPartsCommand({ Bucket, Key: key, UploadId: uploadId, PartNumberMarker: marker }),
        );
        for (const { PartNumber = 0, ETag = '', Size = 0 } of page.Parts ?? []) {
          parts.push({ number: PartNumber, etag: ETag, bytes: Size });
        }
        if (page.IsTruncated !== true || page.NextPartNumberMarker === marker) break;
        marker = page.NextPartNumberMarker;
      }
      return parts.sort((a, b) => a.number - b.number);
    });
  }

  async completeUpload(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void> {
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
    await this.#call(({ sdk, client, Bucket }) =>
      client.send(
        new sdk.CompleteMultipartUploadCommand({ Bucket, Key: key, UploadId: uploadId, MultipartUpload: { Parts } }),
      ),
    );
  }

  async abortUpload(key: string, uploadId: string): Promise<void> {
    await this.#call(({ sdk, client, Bucket }) =>
      client.send(new sdk.AbortMultipartUploadCommand({ Bucket, Key: key, UploadId: uploadId })),
    );
  }

  close(): void {
    void this.#client?.then(({ client }) => client.destroy());
  }

  async #call<T>(work: (call: { sdk: Sdk; client: S3Client; Bucket: string }) => Promise<T>): Promise<T> {
    try {
      this.#client ??= this.#connect();
      const { sdk, client } = await this.#client;
      return await work({ sdk, client, Bucket: this.#place.bucket });
    } catch (error) {
      throw asStoreError(error);
    }
  }

  async #connect(): Promise<{ sdk: Sdk; client: S3Client }> {
    const { endpoint, region, pathStyle, credentials } = this.#place;
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client({
      region,
      forcePathStyle: pathStyle,
      ...(endpoint !== undefined && { endpoint }),
      credentials: async () => {
        const found = await credentials().catch((cause: Error) => {
          throw new ObjectStoreError('no-credentials', cause.message, { cause });
        });
        const { accessKeyId, secretAccessKey, sessionToken } = found ?? {};
        if (accessKeyId === undefined || secretAccessKey === undefined) {
          throw new ObjectStoreError('no-credentials', 'this node has no credentials for the bucket');
        }
        const expiration = new Date(Date.now() + CREDENTIALS_MS);
        return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }), expiration };
      },
      // Who calls tries again, with its own patience.
      maxAttempts: 1,
      // Checksums in trailers are not every store's.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: REQUEST_MS, throwOnRequestTimeout: true },
    });
    return { sdk, client };
  }
}

/** Says what the store called its fault, never what it said: answers quote requests. */
function asStoreError(error: unknown): ObjectStoreError {
  if (error instanceof ObjectStoreError) return error;
  const { name, code, $metadata } = error as Error & { code?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode;
  if (GONE.has(name) || status === 404) {
    if (name === 'NoSuchBucket')
      return new ObjectStoreError('refused', 'the store has no such bucket', { cause: error });
    return new ObjectStoreError('gone', `the store has no such upload or object (${name})`, { cause: error });
  }
  const isNo = status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429;
  return isNo
    ? new ObjectStoreError('refused', `the store refused (${name}, HTTP ${status})`, { cause: error })
    : new ObjectStoreError('unreachable', `the store did not answer (${code ?? name})`, { cause: error });
}
