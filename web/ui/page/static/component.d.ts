/** What a component of an app's own folder is: a module whose default export is a `Component`. */

export interface About<Data = unknown> {
  /** What the handler gave to `session.show`. */
  data: Data;
  theme: "light" | "dark";
  /** The user's language, like `de-AT`. */
  language: string;
  direction: "ltr" | "rtl";
}

export interface Place<Data = unknown> extends About<Data> {
  /** Where to show it. The chat's colours are custom properties: `--ink`, `--accent`, `--line` … */
  element: HTMLElement;
  /** Says something in the user's name; at most twice a second. */
  say(text: string): void;
  /** Sends a signal to the app's `on_signal`; at most twice a second. */
  signal(name: string, data?: unknown): void;
}

export interface Life<Data = unknown> {
  /** The theme or the language has changed. */
  update?(about: About<Data>): void;
}

export type Component<Data = unknown> = (
  place: Place<Data>,
) => Life<Data> | undefined | Promise<Life<Data> | undefined>;
