/** Sizes, times and moments as people write them where they live. */

const HOUR = 3600;

export function size(bytes: number, tag?: string): string {
  const power = bytes < 1000 ? 0 : bytes < 999_500 ? 1 : 2;
  const value = bytes / 1000 ** power;
  const digits = { maximumFractionDigits: value < 10 ? 1 : 0 };
  return `${value.toLocaleString(tag, digits)} ${["B", "kB", "MB"][power]}`;
}

/** Time that is left: `4:09`, `2:04:09` or `3 days`. */
export function duration(seconds: number, tag?: string): string {
  const whole = Math.ceil(seconds);
  if (whole >= 48 * HOUR) {
    const style = { style: "unit", unit: "day", unitDisplay: "long" } as const;
    return Math.floor(whole / (24 * HOUR)).toLocaleString(tag, style);
  }
  const two = (part: number) => String(part).padStart(2, "0");
  const minutes = Math.floor((whole % HOUR) / 60);
  const rest = `${whole < HOUR ? minutes : two(minutes)}:${two(whole % 60)}`;
  return whole < HOUR ? rest : `${Math.floor(whole / HOUR)}:${rest}`;
}

/** A moment in Unix seconds. */
export function moment(at: number | undefined, tag: string): string | undefined {
  if (at === undefined) return undefined;
  return new Date(at * 1000).toLocaleString(tag, { dateStyle: "medium", timeStyle: "short" });
}

/** A day as `2026-11-21`. */
export function day(date: string, tag: string): string {
  return new Date(`${date}T00:00`).toLocaleDateString(tag, { dateStyle: "medium" });
}
