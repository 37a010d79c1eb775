/**
 * Where a client keeps what must outlive a reload: values of JSON by name. Storage may be full or
 * forbidden; then nothing is kept and nothing breaks.
 */

export interface Shelf {
  read(name: string): unknown;
  /** `null` forgets it. */
  write(name: string, value: unknown): void;
}

/** A shelf in a browser's storage, asked for late, because asking may throw. */
export function storageShelf(storage: () => Storage, prefix: string): Shelf {
  return {
    read(name) {
      try {
        return JSON.parse(storage().getItem(prefix + name) ?? "null");
      } catch {
        return null;
      }
    },
    write(name, value) {
      try {
        if (value === null) storage().removeItem(prefix + name);
        else storage().setItem(prefix + name, JSON.stringify(value));
      } catch {
        // what cannot be kept is at least on the screen
      }
    },
  };
}

/** A shelf that lasts as long as the process. */
export function memoryShelf(): Shelf {
  const kept = new Map<string, unknown>();
  return {
    read: (name) => kept.get(name) ?? null,
    write: (name, value) => void (value === null ? kept.delete(name) : kept.set(name, value)),
  };
}
