/** The app's own picture, one for each theme if it has two. The name beside it says what it is. */

import { useSurroundings } from "./surroundings";

export function Logo({ large = false }: { large?: boolean }) {
  const { chat } = useSurroundings();
  const { logo, logo_dark: dark } = chat.offer ?? {};
  if (!logo) return null;
  const size = large ? " large" : "";
  const address = (path: string) => new URL(path, chat.base).href;
  return (
    <>
      <img class={`logo${size}${dark ? " by-day" : ""}`} src={address(logo)} alt="" />
      {dark && <img class={`logo${size} by-night`} src={address(dark)} alt="" />}
    </>
  );
}
