/**
 * Libraries that are scripts rather than modules: each leaves what it has with the page, whose own
 * of that name, if it has one, is put back.
 */

const found = new Map<string, Promise<unknown>>();

export function script<T>(file: string, name: string): Promise<T> {
  const known = found.get(file) ?? fetchScript(file, name);
  found.set(file, known);
  known.catch(() => found.delete(file));
  return known as Promise<T>;
}

async function fetchScript(file: string, name: string): Promise<unknown> {
  const page = globalThis as Record<string, unknown>;
  const own = page[name];
  await import(/* @vite-ignore */ new URL(file, import.meta.url).href);
  const brought = page[name];
  if (own !== undefined) page[name] = own;
  return brought;
}
