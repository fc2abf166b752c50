/**
 * A client of Musher for Node and browsers.
 *
 * What is on the wire has the names that it has there, see {@link types}; what is this package's own has names of its
 * language.
 */
export type { CallOptions } from "./call.js";
export {
  ConnectionError,
  CursorExpiredError,
  ForbiddenError,
  GapError,
  HistoryChangedError,
  MusherError,
  type MusherErrorCode,
  OptionError,
  TimeUpError,
  TokenError,
  TooLargeError,
  UnauthorizedError,
  UnreadableError,
  WorkerNotFoundError,
} from "./errors.js";
export { EventStream, type FollowOptions, type Lost, type Reconnect, type Start } from "./event-stream.js";
export type { Target } from "./http.js";
export { type ChangeOptions, Musher, type MusherOptions, type WaitOptions } from "./musher.js";
export type { Place } from "./order.js";
export type { Retry } from "./retry.js";
export type * from "./types.js";
