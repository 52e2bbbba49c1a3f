/** A part of an upload that the store has. */
export interface UploadedPart {
  /** From 1. */
  readonly number: number;
  readonly etag: string;
  readonly bytes: number;
}

/** An object as a list tells of it. */
export interface ListedObject {
  readonly key: string;
  /** Milliseconds since 1970, by the store's clock. */
  readonly modifiedMs: number;
}

/**
 * A bucket, as far as recordings need one. Everything rejects with ObjectStoreError. An upload is an object to be: it can't be
 * read, and costs, until it is completed with the parts that it then has.
 */
export interface ObjectStore {
  exists(key: string): Promise<boolean>;
  /** Undefined: there is no such object. */
  get(key: string): Promise<Buffer | undefined>;
  put(key: string, body: Buffer, contentType: string): Promise<void>;
  delete(key: string): Promise<void>;
  /** The first thousand at most. */
  list(prefix: string): Promise<readonly ListedObject[]>;
  /** Answers the upload's id. */
  beginUpload(key: string, contentType: string): Promise<string>;
  /** Replaces one that has the number. All but the last one have at least 5 MiB. */
  uploadPart(key: string, uploadId: string, number: number, body: Buffer): Promise<UploadedPart>;
  /** By number. */
  listParts(key: string, uploadId: string): Promise<readonly UploadedPart[]>;
  completeUpload(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void>;
  abortUpload(key: string, uploadId: string): Promise<void>;
  /** Idempotent. */
  close(): void;
}

/**
 * `gone`: there is no such upload, or not any more. `refused`: the store answered no, by its credentials, bucket or rules.
 * `no-credentials`: this node has none yet. `unreachable`: no answer, or one that passes by itself.
 */
export type ObjectStoreErrorCode = 'gone' | 'refused' | 'no-credentials' | 'unreachable';

/** What a bucket did not do. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly code: ObjectStoreErrorCode;
  constructor(code: ObjectStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What a person does about it. */
export const OBJECT_STORE_MENDS: Readonly<Record<ObjectStoreErrorCode, string>> = {
  gone: 'nothing: what is left of the recording becomes another object',
  refused: 'check bucket, region and rights of the key in origin.storage.dvr.s3 of the LiveCluster',
  'no-credentials': 'create the Secret that origin.storage.dvr.s3.secretRef of the LiveCluster names',
  unreachable: 'check origin.storage.dvr.s3.endpoint of the LiveCluster and the way to it',
};
