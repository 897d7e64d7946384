import type { AcquireReply, AcquireRequest } from "../limiter/acquire.ts";
import type { LogEvent } from "../log.ts";
import type { Digest } from "../project/digest.ts";
import type { EndpointAttempt, EndpointTarget, Subscriber } from "../project/endpoint-rpc.ts";
import type { OutputFile } from "../project/output-file.ts";
import type { Sent, Target } from "../webhooks/deliver.ts";
import type { EventType } from "../wire/event.ts";
import type { BatchRef, Pointer } from "../wire/messages.ts";
import type { DeliveryRow } from "./schema.ts";

/**
 * Everything a Batch has to do with outside its own storage: time and chance too, so that a
 * simulator can drive the very code that runs.
 */
export interface World {
  nowMs(): number;
  /** In [0, 1). */
  random(): number;
  /** Sets the object's one alarm, in place of the one that is set. */
  setAlarm(atMs: number): void;
  deleteAlarm(): void;
  /** Lets whoever waits for the object in between; work with many steps says this after each. */
  breathe(): Promise<void>;
  /** Lets work go on after the answer. */
  background(work: Promise<unknown>): void;
  acquire(request: AcquireRequest): Promise<AcquireReply>;
  /** Tells the Limiter of work that nobody asks permits for. */
  announce(quota: string, ref: BatchRef, weight: number, wanted: number): Promise<void>;
  /** At most 100 pointers. */
  sendPointers(messages: { body: Pointer }[]): Promise<void>;
  /** The size of a file in R2, or undefined when there is none. */
  fileSize(key: string): Promise<number | undefined>;
  /** A part of it, or undefined when the file is gone. */
  readFile(key: string, offset: number, length: number): Promise<Uint8Array | undefined>;
  /** Lets the batch's project know how it stands. */
  tellProject(ref: BatchRef, digest: Digest): Promise<void>;
  registerFiles(ref: BatchRef, files: OutputFile[], nowMs: number): Promise<void>;
  /** The project's endpoints that take an event of this type. */
  endpointsFor(ref: BatchRef, type: EventType): Promise<Subscriber[]>;
  /** How to send an event of this type to an endpoint, as of now. */
  endpointTarget(ref: BatchRef, endpointId: string, type: EventType): Promise<EndpointTarget>;
  /** Tells the project how sending to its endpoints went. Twice is once. */
  tellEndpoints(ref: BatchRef, attempts: EndpointAttempt[]): Promise<void>;
  /** Makes one attempt. Never throws. */
  deliver(delivery: DeliveryRow, target: Target): Promise<Sent>;
  /** Deletes everything there is of the batch, here and in its project's index. */
  forget(ref: BatchRef): Promise<void>;
  log(event: LogEvent): void;
}
