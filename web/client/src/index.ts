/** Parlour's wire for TypeScript: a client without a screen. */

export { Client, type ClientOptions } from "./client";
export type { Connection, ConnectionState } from "./connection";
export type { Answer, Beginning, Conversation, Trouble } from "./conversation";
export { withDetour } from "./detour";
export type { HttpOptions } from "./http";
export type {
  BotItem,
  ComponentItem,
  Item,
  NoticeItem,
  PartItem,
  QuestionItem,
  UserItem,
} from "./items";
export { fetchOffer, type Key, type Offer, type Profile, type Starter } from "./offer";
export { freshId, type Outgoing } from "./outbox";
export { fetched, type OpenPipe, type Pipe, type PipeListener, webSocket } from "./pipe";
export { memoryShelf, type Shelf, storageShelf } from "./shelf";
export { Transcript } from "./transcript";
export { fileAddress, type Upload, UploadFailed, type UploadOptions, upload } from "./upload";
export type * from "./wire";
