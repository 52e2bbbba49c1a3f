import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apply, kubectl } from './kubectl.ts';

/*
 * Persistent volumes for a rig that has no provisioner: folders of this machine, which the test can read.
 */

export class Volumes {
  readonly storageClassName: string;
  readonly #folder: string;
  readonly #names: readonly string[];

  private constructor(storageClassName: string, folder: string, names: readonly string[]) {
    this.storageClassName = storageClassName;
    this.#folder = folder;
    this.#names = names;
  }

  /** Makes `count` volumes, of a storage class of that name which nothing else serves. */
  static async make(storageClassName: string, count: number): Promise<Volumes> {
    const folder = mkdtempSync(join(tmpdir(), 'livecluster-volumes-'));
    chmodSync(folder, 0o755);
    const names = Array.from({ length: count }, (_, index) => `${storageClassName}-${index}`);
    const volumes = new Volumes(storageClassName, folder, names);
    const items = names.map((name) => {
      const path = join(folder, name);
      mkdirSync(path);
      // The kubelet leaves a hostPath's owner as it is, and pods don't run as root.
      chmodSync(path, 0o777);
      return {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: {
          capacity: { storage: '20Gi' },
          accessModes: ['ReadWriteOnce'],
          persistentVolumeReclaimPolicy: 'Retain',
          storageClassName,
          hostPath: { path, type: 'Directory' },
        },
      };
    });
    await kubectl(['delete', 'persistentvolume', ...names, '--ignore-not-found']);
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), 'default');
    return volumes;
  }

  /** Folder of each volume. */
  get folders(): readonly string[] {
    return this.#names.map((name) => join(this.#folder, name));
  }

  /** Removes volumes and files; their claims have to be gone. */
  async remove(): Promise<void> {
    await kubectl(['delete', 'persistentvolume', ...this.#names, '--ignore-not-found', '--wait=false']);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
