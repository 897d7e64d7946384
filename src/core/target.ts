import ipaddr from "ipaddr.js";
import { quoted } from "./quoted.ts";

export type TargetCheck = { ok: true; url: URL } | { ok: false; reason: string };

export interface TargetOptions {
  /** For development: http, private addresses and local names are fine too. */
  allowPrivate: boolean;
  /** What the URL is, for the reason. */
  what?: string | undefined;
}

/**
 * RFC 6761 (localhost), RFC 6762 (local, and those of its appendix G), RFC 8375 (home.arpa), ICANN
 * 2024 (internal); svc is what a Kubernetes cluster's resolver completes.
 */
const LOCAL_DOMAINS = [
  ...["localhost", "localdomain", "local", "internal", "home.arpa"],
  ...["intranet", "private", "corp", "home", "lan", "svc"],
];

/** Where somebody's own machines may be; ipaddr.js's names for the ranges. */
const PRIVATE_RANGES = ["loopback", "private", "uniqueLocal", "carrierGradeNat"];

/**
 * Clouds hand credentials to whoever asks here. The usual 169.254.169.254 is link-local, which is
 * always refused; these (Azure, Alibaba, AWS and Google over IPv6) are not.
 */
const METADATA_ADDRESSES = ["168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"];
const METADATA_NAMES = ["metadata.google.internal", "metadata.goog"];

/** All of IPv6 that is given out to the public internet (IANA, IPv6 Global Unicast). */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3");

/** The named ranges a sentence can end with; the rest is "special-purpose". */
const RANGE_WORDS: Readonly<Record<string, string>> = {
  broadcast: "a broadcast",
  carrierGradeNat: "a carrier-grade NAT",
  linkLocal: "a link-local",
  loopback: "a loopback",
  metadata: "a cloud metadata",
  multicast: "a multicast",
  private: "a private",
  uniqueLocal: "a private",
  unspecified: "an unspecified",
};

/**
 * Whether a webhook, or a call with an upstream's key, may be sent to this URL. The host is judged as the URL parser normalised it, by
 * number, so `0x7f.1`, `2130706433` and `[::ffff:127.0.0.1]` are all 127.0.0.1. The reason is a
 * sentence for whoever gave the URL.
 *
 * Names are not looked up (src/README.md, decisions): a public name that resolves to a private
 * address passes here. It gets no request all the same, unless it has a certificate for its name.
 */
export function checkTarget(
  url: string,
  { allowPrivate, what = "The webhook URL" }: TargetOptions,
): TargetCheck {
  const refuse = (reason: string): TargetCheck => ({ ok: false, reason: `${what} ${reason}` });
  let target: URL;
  try {
    target = new URL(url);
  } catch {
    return refuse("is not a valid absolute URL.");
  }
  if (target.protocol !== "https:" && !(allowPrivate && target.protocol === "http:")) {
    return refuse(`must begin with https://, not ${quoted(target.protocol)}//.`);
  }
  if (target.username !== "" || target.password !== "") {
    return refuse("must not contain a user name or password.");
  }
  const host = target.hostname.replace(/^\[|\]$/g, "").replace(/\.+$/, "");
  const reason = ipaddr.isValid(host)
    ? refuseAddress(host, allowPrivate)
    : refuseName(host, allowPrivate);
  return reason === undefined ? { ok: true, url: target } : refuse(reason);
}

function refuseAddress(host: string, allowPrivate: boolean): string | undefined {
  const range = rangeOf(host);
  if (range === "unicast" || (allowPrivate && PRIVATE_RANGES.includes(range))) return undefined;
  const words = RANGE_WORDS[range] ?? "a special-purpose";
  return `points to ${quoted(host)}, ${words} address; it must be a public one.`;
}

function rangeOf(host: string): string {
  const address = ipaddr.process(host);
  if (METADATA_ADDRESSES.includes(address.toString())) return "metadata";
  const range = address.range();
  // Outside of it are forms that carry an IPv4 address and that ipaddr.js calls unicast (::a.b.c.d).
  const unassigned =
    range === "unicast" && address.kind() === "ipv6" && !address.match(GLOBAL_UNICAST);
  return unassigned ? "reserved" : range;
}

function refuseName(name: string, allowPrivate: boolean): string | undefined {
  if (METADATA_NAMES.includes(name)) {
    return `points to ${name}, a cloud metadata name; it must be a public one.`;
  }
  if (allowPrivate) return undefined;
  const local = LOCAL_DOMAINS.find((domain) => `.${name}`.endsWith(`.${domain}`));
  if (local !== undefined || !name.includes(".")) {
    return `points to ${quoted(name)}, a local name; it must be a public one.`;
  }
  return undefined;
}
