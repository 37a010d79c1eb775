/** All that is fetched once there is something to do with conversations; one file, for one fetch. */

export { sayInstead } from "./branching";
export { EditBar } from "./edit";
export { Panel } from "./panel";
export { showShared } from "./shared";
export { Tools } from "./tools";
