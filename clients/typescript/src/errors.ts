import type { Approval, Cursor, ErrorBody, ErrorCode, WorkerDetail } from "./types.js";

/** What a failure is: the server's word for it, or one of this package's own where no server said any. */
export type MusherErrorCode =
  | ErrorCode
  /** No answer came, or it broke off. */
  | "connection_failed"
  /** What came is not what a server of Musher sends: a proxy's page, or another version. */
  | "unreadable_answer"
  /** What came is larger than anything that a server sends. */
  | "answer_too_large"
  /** Another event came than the next one. */
  | "gap"
  /** What was waited for did not come in time. */
  | "time_up"
  /** The function that gets the token failed. */
  | "token_failed"
  /** An option of this package makes no sense. */
  | "invalid_option";

interface Details {
  code: MusherErrorCode;
  status?: number | null;
  retryable?: boolean;
  retryAfterMs?: number | undefined;
  body?: ErrorBody;
  cause?: unknown;
}

/** Every failure of this package. Its message never holds the token. */
export class MusherError extends Error {
  /** What it is. A server newer than this package may say another word than the type knows. */
  readonly code: MusherErrorCode;
  /** The status of the answer; null where there was none. */
  readonly status: number | null;
  /** The request, for finding it in the server's log. */
  readonly requestId: string | null;
  /** Whether the same may succeed later. */
  readonly retryable: boolean;
  /** How long the server asked to be left alone, in milliseconds. */
  readonly retryAfterMs: number | null;
  /** Where in the body of the request the fault is, as a JSON pointer. */
  readonly field: string | null;
  /** The limit that the request went over. */
  readonly limit: number | null;
  /** What is missing on the server, by name. */
  readonly missing: readonly string[];
  /** The approval as it is, when it does not take the decision. */
  readonly approval: Approval | null;

  constructor(message: string, details: Details) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    const { body } = details;
    this.code = details.code;
    this.status = details.status ?? null;
    this.requestId = body?.request_id ?? null;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.field = body?.field ?? null;
    this.limit = body?.limit ?? null;
    this.missing = body?.missing ?? [];
    this.approval = body?.approval ?? null;
  }
}

/** The token is missing or wrong. */
export class UnauthorizedError extends MusherError {}

/** The token may not do this, or the request came from a page of another origin. */
export class ForbiddenError extends MusherError {}

/** There is no such worker, or it was deleted. */
export class WorkerNotFoundError extends MusherError {}

/** The events behind the cursor are kept no longer. */
export class CursorExpiredError extends MusherError {
  /** Going on from it gives all that is left. */
  readonly oldestCursor: Cursor | null;

  constructor(message: string, details: Details) {
    super(message, details);
    this.oldestCursor = details.body?.oldest_cursor ?? null;
  }
}

/**
 * The log has another history than when the cursor was given, as after a backup was restored: what was seen before may
 * not have happened.
 */
export class HistoryChangedError extends CursorExpiredError {}

/** No answer came, or it broke off. The request may have been done. */
export class ConnectionError extends MusherError {
  constructor(message: string, cause?: unknown) {
    super(message, { code: "connection_failed", retryable: true, cause });
  }
}

/** What came is not what a server of Musher sends. */
export class UnreadableError extends MusherError {
  constructor(message: string, details: { status?: number; retryAfterMs?: number | undefined; cause?: unknown } = {}) {
    super(message, { code: "unreadable_answer", ...details });
  }
}

/** What came is larger than anything that a server sends. */
export class TooLargeError extends MusherError {
  constructor(
    /** How much of it would have been taken. */
    readonly most: number,
  ) {
    super(`what came is larger than ${most}`, { code: "answer_too_large" });
  }
}

/** Another event came than the next one: one is missing, or comes twice. */
export class GapError extends MusherError {
  constructor(
    /** The number of the event that comes next. */
    readonly expected: number,
    /** The number of the event that came. */
    readonly came: number,
  ) {
    super(`event ${came} came in the place of event ${expected}`, { code: "gap" });
  }
}

/** What was waited for did not come in time. */
export class TimeUpError extends MusherError {
  constructor(
    /** The worker as it was seen last. */
    readonly worker: WorkerDetail | null,
  ) {
    super("the time to wait is up", { code: "time_up", retryable: true });
  }
}

/** The function that gets the token failed; its error is the cause. Nothing was sent. */
export class TokenError extends MusherError {
  constructor(cause: unknown) {
    super("the token could not be got", { code: "token_failed", cause });
  }
}

/** An option of this package makes no sense. */
export class OptionError extends MusherError {
  constructor(message: string, cause?: unknown) {
    super(message, { code: "invalid_option", cause });
  }
}

/** What a server's error is here. */
export function refusal(body: ErrorBody, status: number, retryAfterMs: number | undefined): MusherError {
  const details: Details = { code: body.code, status, retryable: body.retryable, retryAfterMs, body };
  switch (body.code) {
    case "unauthorized":
      return new UnauthorizedError(body.message, details);
    case "forbidden":
      return new ForbiddenError(body.message, details);
    case "worker_not_found":
      return new WorkerNotFoundError(body.message, details);
    case "cursor_expired":
      return body.reason === "history_changed"
        ? new HistoryChangedError(body.message, details)
        : new CursorExpiredError(body.message, details);
    default:
      return new MusherError(body.message, details);
  }
}
