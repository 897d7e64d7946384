import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkTarget } from "../../src/core/target.ts";

const PUBLIC = { allowPrivate: false };
const DEVELOPMENT = { allowPrivate: true };

function refused(url: string, options = PUBLIC): string {
  const check = checkTarget(url, options);
  return check.ok ? `${url} was accepted` : check.reason;
}

describe("public targets", () => {
  test.each([
    "https://example.com/hook",
    "https://hooks.example.com:8443/a?b=c#d",
    "https://example.com./hook",
    "https://bücher.example/hook",
    "https://internal.example.com/",
    "https://localhost.example.com/",
    "https://93.184.216.34/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/",
    "https://[::ffff:93.184.216.34]/",
    "https://100.128.0.1/",
    "https://172.32.0.1/",
    "https://lan.example.com/",
  ])("accepts %s", (url) => {
    expect(checkTarget(url, PUBLIC)).toEqual({ ok: true, url: new URL(url) });
  });
});

describe("forms", () => {
  test.each(["", "example.com/hook", "/hook", "https://", "https://exa mple.com", "https://[::1"])(
    "refuses %j, which is no URL",
    (url) => {
      expect(refused(url)).toBe("The webhook URL is not a valid absolute URL.");
    },
  );

  test.each(["http://example.com", "ftp://example.com", "file:///etc/passwd", "javascript:1"])(
    "refuses %s, which is not https",
    (url) => {
      expect(refused(url)).toMatch(/must begin with https:\/\//);
    },
  );

  test.each([
    "https://user@example.com",
    "https://user:pass@example.com",
    "https://:p@example.com",
  ])("refuses %s, which has a user", (url) => {
    expect(refused(url)).toMatch(/must not contain a user name or password/);
    expect(refused(url, DEVELOPMENT)).toMatch(/must not contain a user name or password/);
  });
});

describe("addresses", () => {
  test.each([
    ["loopback", "127.0.0.1"],
    ["loopback", "127.255.255.254"],
    ["loopback", "127.0.0.1."],
    ["loopback", "127.0.0.1.."],
    ["loopback", "127.1"],
    ["loopback", "2130706433"],
    ["loopback", "0x7f000001"],
    ["loopback", "0x7f.0.0.1"],
    ["loopback", "0177.0.0.1"],
    ["loopback", "017700000001"],
    ["loopback", "%31%32%37.0.0.1"],
    ["loopback", "１２７.０.０.１"],
    ["loopback", "127。0。0。1"],
    ["loopback", "127.0x0.0.01"],
    ["loopback", "①②⑦.⓪.⓪.①"],
    ["loopback", "12\t7.0.0.1"],
    ["loopback", "[::1]"],
    ["loopback", "[::FFFF:127.0.0.1]"],
    ["loopback", "[0:0:0:0:0:0:0:1]"],
    ["loopback", "[::ffff:127.0.0.1]"],
    ["loopback", "[::ffff:7f00:1]"],
    ["private", "10.0.0.1"],
    ["private", "172.16.0.1"],
    ["private", "172.31.255.255"],
    ["private", "192.168.1.1"],
    ["private", "[::ffff:10.0.0.1]"],
    ["private", "[fc00::1]"],
    ["private", "[fdff::1]"],
    ["carrier-grade NAT", "100.64.0.1"],
    ["carrier-grade NAT", "100.127.255.255"],
    ["carrier-grade NAT", "[::ffff:100.64.0.1]"],
    ["link-local", "169.254.169.254"],
    ["link-local", "169.254.0.1"],
    ["link-local", "0xa9fea9fe"],
    ["link-local", "2852039166"],
    ["link-local", "0251.0376.0251.0376"],
    ["link-local", "169.254.43518"],
    ["link-local", "[::ffff:a9fe:a9fe]"],
    ["link-local", "[::ffff:169.254.169.254]"],
    ["link-local", "[fe80::1]"],
    ["unspecified", "0.0.0.0"],
    ["unspecified", "0"],
    ["unspecified", "[::]"],
    ["multicast", "224.0.0.1"],
    ["multicast", "[ff02::1]"],
    ["broadcast", "255.255.255.255"],
    ["cloud metadata", "168.63.129.16"],
    ["cloud metadata", "100.100.100.200"],
    ["cloud metadata", "[fd00:ec2::254]"],
    ["cloud metadata", "[fd20:ce::254]"],
    ["special-purpose", "[64:ff9b::7f00:1]"],
    ["special-purpose", "[64:ff9b:1::7f00:1]"],
    ["special-purpose", "[64:ff9b::a9fe:a9fe]"],
    ["special-purpose", "[64:ff9b::93.184.216.34]"],
    ["special-purpose", "[2002:7f00:1::]"],
    ["special-purpose", "[2002:a9fe:a9fe::1]"],
    ["special-purpose", "[2001:0:7f00:1::]"],
    ["special-purpose", "[2001:0:4136:e378:8000:63bf:5601:5601]"],
    ["special-purpose", "[2001:10::1]"],
    ["special-purpose", "[100::1]"],
    ["special-purpose", "[::127.0.0.1]"],
    ["special-purpose", "[::ffff:0:127.0.0.1]"],
    ["special-purpose", "[2001:db8::1]"],
    ["special-purpose", "[fec0::1]"],
    ["special-purpose", "[4000::1]"],
    ["unspecified", "0.1.2.3"],
    ["special-purpose", "192.0.0.192"],
    ["special-purpose", "192.0.2.1"],
    ["special-purpose", "192.88.99.1"],
    ["special-purpose", "198.51.100.1"],
    ["special-purpose", "203.0.113.1"],
    ["special-purpose", "198.18.0.1"],
    ["special-purpose", "240.0.0.1"],
  ])("refuses a %s address: %s", (kind, host) => {
    expect(refused(`https://${host}/hook`)).toMatch(
      new RegExp(`^The webhook URL points to .+, an? ${kind} address; it must be a public one\\.$`),
    );
  });

  test("inside 10/8 and 127/8 are refused however they are written", () => {
    const address = fc
      .tuple(fc.constantFrom(10, 127), fc.nat(255), fc.nat(255), fc.nat(255))
      .map(([a, b, c, d]) => ((a * 256 + b) * 256 + c) * 256 + d);
    const hex = (value: number) => value.toString(16);
    const spelling = fc.constantFrom<(value: number) => string>(
      (value) => String(value),
      (value) => `0x${hex(value)}`,
      (value) => `0${value.toString(8)}`,
      (value) => `${value >>> 24}.${value & 0xffffff}`,
      (value) => `0x${hex(value >>> 24)}.${(value >>> 16) & 255}.${value & 0xffff}`,
      (value) => `[::ffff:${hex(value >>> 16)}:${hex(value & 0xffff)}]`,
    );
    fc.assert(
      fc.property(address, spelling, fc.constantFrom("", "."), (value, spell, dot) => {
        const host = spell(value);
        const url = `https://${host}${host.endsWith("]") ? "" : dot}/`;
        expect(checkTarget(url, PUBLIC).ok).toBe(false);
      }),
    );
  });
});

describe("ways to hide the host", () => {
  test.each([
    "https:127.0.0.1/",
    "https:\\\\127.0.0.1\\hook",
    " https://127.0.0.1/",
    "https:///127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://127.0.0.1\\@example.com/",
    "HTTPS://LocalHost:443/",
  ])("refuses %j", (url) => {
    expect(refused(url)).toMatch(/(a loopback address|a local name); it must be a public one\.$/);
  });

  test.each(["https://example.com@127.0.0.1/", "https://example.com%40@127.0.0.1/"])(
    "refuses %s for its user",
    (url) => expect(refused(url)).toMatch(/must not contain a user name/),
  );
});

describe("names", () => {
  test.each([
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost..",
    "ⓛocalhost",
    "local\u00adhost",
    "app.localhost",
    "localhost.localdomain",
    "printer.local",
    "printer.local.",
    "db.internal",
    "router.home.arpa",
    "home.arpa",
    "intranet",
    "intranet.",
    "wiki.intranet",
    "nas.lan",
    "ad.corp",
    "kubernetes.default.svc",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ.",
  ])("refuses the local name %s", (host) => {
    expect(refused(`https://${host}/`)).toMatch(/, a local name; it must be a public one\.$/);
  });

  test("refuses the metadata name of a cloud even in development", () => {
    expect(refused("https://metadata.google.internal/")).toMatch(/metadata name/);
    expect(refused("https://METADATA.google.internal./")).toMatch(/metadata name/);
    expect(refused("https://metadata.goog/")).toMatch(/metadata name/);
    expect(refused("http://metadata.google.internal/", DEVELOPMENT)).toMatch(/metadata name/);
  });
});

describe("in development", () => {
  test.each([
    "http://localhost:3000/hook",
    "http://127.0.0.1:8787/",
    "https://127.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://192.168.1.20/",
    "http://100.64.0.1/",
    "http://[fd12::1]/",
    "http://receiver:8080/",
    "http://host.docker.internal/",
    "http://example.com/",
  ])("accepts %s", (url) => {
    expect(checkTarget(url, DEVELOPMENT)).toEqual({ ok: true, url: new URL(url) });
  });

  test.each([
    "ftp://localhost/",
    "http://0.0.0.0/",
    "http://169.254.169.254/",
    "http://224.0.0.1/",
    "http://[::]/",
    "http://[64:ff9b::7f00:1]/",
    "http://100.100.100.200/",
  ])("still refuses %s", (url) => {
    expect(checkTarget(url, DEVELOPMENT).ok).toBe(false);
  });
});
