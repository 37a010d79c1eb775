/** What an app offers before anything is said: `GET /app` of docs/wire.md. */

export interface Starter {
  label: string;
  message?: string;
  description?: string;
}

export interface Profile {
  name: string;
  label: string;
  description: string;
}

/** Something secret that the user brings. */
export interface Key {
  name: string;
  label?: string;
  help?: string;
  required?: boolean;
}

export interface Offer {
  title: string;
  welcome: string;
  starters: Starter[];
  profiles: Profile[];
  keys: Key[];
  feedback: boolean;
  /** The app's own words for the chat's texts, by language; those of "" are for all. */
  texts: Record<string, Record<string, string>>;
  components: string[];
  styled: boolean;
  logo?: string;
  logo_dark?: string;
  settings?: { schema: Record<string, unknown>; defaults: Record<string, unknown> };
}

/** The offer of the server at `base`; null if it cannot be had. */
export async function fetchOffer(base: URL, token: string, profile = ""): Promise<Offer | null> {
  const address = new URL("app", base);
  if (profile) address.searchParams.set("profile", profile);
  try {
    const headers: HeadersInit = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(address, { headers });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
